"""The README's commands print what it says they print."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCK = r"^    \$ openqueues (mg1\b.*)\n((?:    .*\n|\n(?=    ))+)"
SAID = dict(re.findall(BLOCK, TEXT, re.MULTILINE))


@pytest.mark.parametrize("command", SAID)
def test_a_command_prints_what_the_readme_shows(command):
    run = subprocess.run(
        [sys.executable, "-m", "openqueues", *command.split()],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    shown = [line.strip() for line in SAID[command].strip().splitlines()]
    assert [line.strip() for line in run.stdout.strip().splitlines()] == shown


def test_a_command_with_its_output_is_found():
    assert [command.split()[0] for command in SAID] == ["mg1"]


def test_ci_runs_the_two_commands_of_the_readme():
    commands = re.findall(r"^    (python3 -m venv .*)$", TEXT, re.MULTILINE)
    assert len(commands) == 2
    ci = (ROOT / ".ci" / "run").read_text()
    for command in commands:
        assert command in ci
