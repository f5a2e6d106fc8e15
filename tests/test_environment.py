"""environment.yml, for conda users, says the same set of packages as pyproject.toml."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
NAMES = {"snakemake": "snakemake-minimal"}  # conda's package without optional storage plugins


def requirement(text: str) -> tuple[str, str]:
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*((?:[<>=!].*)?)", text).groups()
    return name.lower(), bounds.replace(" ", "")


def test_conda_and_uv_users_get_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = dict(
        requirement(text)
        for text in project["project"]["dependencies"]
        + project["project"]["optional-dependencies"]["slurm"]
        + project["dependency-groups"]["dev"]
    )
    wanted["python"] = project["project"]["requires-python"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(item["pip"] for item in environment if isinstance(item, dict))
    said = dict(requirement(text) for item in environment if isinstance(item, str) for text in [item])
    assert said.pop("pip") == ""
    said |= dict(requirement(text) for text in pip if not text.startswith("-e"))
    assert said == {NAMES.get(name, name): bounds for name, bounds in wanted.items()}
    assert "-e ." in pip
    assert {"conda-forge", "bioconda"} <= set(yaml.safe_load((ROOT / "environment.yml").read_text())["channels"])


def test_the_lock_file_belongs_to_the_project_file():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = {package["name"]: package for package in lock["package"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for text in project["project"]["dependencies"] + project["dependency-groups"]["dev"]:
        assert requirement(text)[0] in locked
    assert locked["openqueues"]["version"] == project["project"]["version"]
