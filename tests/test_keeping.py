"""Compiled kernels that lie damaged in the cache are made again: no traceback, no other number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# One kernel of ours (a generated module) in a process of its own, since a process loads each kernel only once.
NUMBER = """
from openqueues.models.laws import joint_law
from openqueues.models.queues import simulate
print(repr(simulate(joint_law("exponential", "exponential"), 0.8, "fcfs", seed=1, jobs=2000)["mean_response"]))
"""


def number(cache: Path) -> str:
    environment = os.environ | {"OPENQUEUES_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", NUMBER], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """The last bit before the digest flipped; in a source file, the last letter changed."""
    place = len(data) - 60
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flip], ids=["cut", "flipped"])
def test_a_damaged_file_of_any_kind_is_made_again(tmp_path, damage):
    first = number(tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".py", ".nbi", ".nbc")}
    assert {path.suffix for path in whole} == {".py", ".nbi", ".nbc"}
    for kind in (".py", ".nbi", ".nbc"):
        for path, data in whole.items():
            if path.suffix == kind:
                path.write_bytes(damage(data))
        assert number(tmp_path) == first
        mended = [path for path, data in whole.items() if path.suffix == kind and path.read_bytes() == damage(data)]
        assert mended == [], f"{kind} was left damaged"
