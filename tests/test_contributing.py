"""What contributors are told exists: commands, files, and workflows that do what the README says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tiny
import yaml
from openqueues import cli

ROOT = Path(__file__).parents[1]
TEXTS = ["CONTRIBUTING.md", "README.md", ".github/PULL_REQUEST_TEMPLATE.md", "book/contributing.md", "book/machines.md"]


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_that_is_named_exists(name):
    known = next(a for a in cli._parser("")._actions if a.dest == "command").choices
    named = set(re.findall(r"(?:`|\$ |^    )openqueues ([a-z0-9]+)", (ROOT / name).read_text(), re.M))
    assert named and named <= set(known), named - set(known)


def test_a_new_policy_is_announced_as_the_readme_shows(tmp_path, monkeypatch, capsys):
    block = re.search(
        r"^    \$ openqueues (new policy (\S+) \S+)\n((?:    [^$\n]+\n)+)", (ROOT / "README.md").read_text(), re.M
    )
    command, entry, shown = block.groups()
    tiny.write(tmp_path / "problems", entry)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(tmp_path / "problems"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.split()) == 0
    assert capsys.readouterr().out == re.sub("^    ", "", shown, flags=re.M)


def test_every_file_that_is_named_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"\]\([^)#:]+\)|tests/\w+\.py|[\w/]+\.(?:md|cff)\b|pyproject\.toml", text)
    paths = {name.strip("]()") for name in named}
    assert len(paths) >= 5 and {path for path in paths if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda file: file.name)
def test_forms_and_workflows_are_valid(file):
    read = yaml.safe_load(file.read_text())
    if file.parent.name == "ISSUE_TEMPLATE" and file.name != "config.yml":
        assert read["name"] and read["description"]
        ids = [part["id"] for part in read["body"]]
        assert len(set(ids)) == len(ids)
        kinds = {part["type"] for part in read["body"]}
        assert kinds <= {"textarea", "input", "checkboxes", "dropdown", "markdown"}
    if file.parent.name == "workflows":
        steps = [step for job in read["jobs"].values() for step in job["steps"]]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        assert read["permissions"] == {"contents": "read"}
        assert all("timeout-minutes" in job for job in read["jobs"].values() if len(job["steps"]) > 1)


def test_the_book_is_built_by_the_command_of_the_readme():
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())
    steps = [step.get("run") for step in workflow["jobs"]["build"]["steps"]]
    command = next(line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.endswith("snakemake"))
    assert command in steps


def test_the_hooks_of_pre_commit_run_programs_of_the_environment(tmp_path):
    read = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"]: hook for repo in read["repos"] for hook in repo["hooks"]}
    assert {repo["repo"] for repo in read["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    assert {stage for hook in hooks.values() for stage in hook["stages"]} == set(read["default_install_hook_types"])
    # That of the entries checks each that has a changed file, once, and fails where one does not keep its contract.
    for name in ("first", "second"):
        tiny.write(tmp_path / "problems", name)
    files = [f"problems/{name}" for name in ("first/problem.toml", "first/problem.py", "second/problem.toml")]
    assert all(re.match(hooks["entries"]["files"], file) for file in files)
    assert not re.match(hooks["entries"]["files"], "problems/costs.csv")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = os.environ | {"PATH": path, "OPENQUEUES_PROBLEMS": str(tmp_path / "problems")}
    command = [*shlex.split(hooks["entries"]["entry"]), *files]
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "first: ok\nsecond: ok\n")
    (tmp_path / files[2]).write_text("title = 7\n")
    assert subprocess.run(command, env=given, capture_output=True).returncode != 0


def test_a_release_takes_its_notes_from_the_changelog_and_its_version_is_said_once(tmp_path):
    """The step of the workflow is run as it stands there."""
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["release"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("name") == "notes"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    changes = (ROOT / "CHANGELOG.md").read_text()
    (tmp_path / "CHANGELOG.md").write_text(
        changes.replace("\n## ", "\n## 99.0\n\n- Later.\n\n## ", 1) + "\n## 0.0.1\n\n- First.\n"
    )

    def notes(tag: str) -> str | None:
        given = os.environ | {"GITHUB_REF_NAME": tag}
        done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=given)
        return None if done.returncode else (tmp_path / "notes.md").read_text()

    own = notes(f"v{version}")
    assert own.strip() and own.strip() in changes and "Later." not in own and "First." not in own
    assert notes("v0.0.1").strip() == "- First."
    assert notes("v0.0.2") is None and notes("v0.0") is None


def test_the_catalogue_of_workflows_finds_ours():
    """It lists repositories whose README has both words, with a Snakefile and rules that end on .smk."""
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "Snakefile").is_file() and any((ROOT / "workflow/rules").glob("*.smk"))
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda"}
