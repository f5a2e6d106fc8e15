"""What contributors are told exists: commands, files, and workflows that do what the README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from openqueues import cli

ROOT = Path(__file__).parents[1]
TEXTS = ["CONTRIBUTING.md", "README.md", ".github/PULL_REQUEST_TEMPLATE.md", "book/contributing.md", "book/machines.md"]


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_that_is_named_exists(name):
    known = next(a for a in cli._parser("")._actions if a.dest == "command").choices
    named = set(re.findall(r"(?:`|\$ |^    )openqueues ([a-z0-9]+)", (ROOT / name).read_text(), re.M))
    assert named and named <= set(known), named - set(known)


def test_every_file_that_is_named_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"\]\(([^)#:]+)\)|(tests/\w+\.py|CHANGELOG\.md)", text):
        assert (ROOT / "".join(path)).exists(), path


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


def test_the_catalogue_of_workflows_finds_ours():
    read = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert "usage" in read and (ROOT / "Snakefile").is_file() and (ROOT / "workflow/config.yaml").is_file()
