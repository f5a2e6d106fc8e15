"""Make data/infercept.toml, the laws of requests that call tools, from the file of segments in a folder.

python -m openqueues.models.llm.make_calls FOLDER OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import calls

QUANTITIES = ("output", "delay", "returned")


def text(rows: list[calls.Row]) -> str:
    """The tables of all classes, as the text of a TOML file."""
    lines = [
        "# Requests that call tools: by class, how many there are, how many calls each of them makes, and quantiles",
        "# at the levels of calls.LEVELS of the tokens of its prompt, of those written before a call, its seconds, the",
        "# tokens that it returns (in turn, where two kinds of call alternate), and the tokens after the last call.",
        "# Source: mars-repository/mars-codebase merged_exp_uniform.json at 4cedd10, Apache-2.0 (InferCept, MARS).",
        "# Made by: python -m openqueues.models.llm.make_calls FOLDER OUT",
    ]
    for kind in calls.CLASSES:
        own = [row for row in rows if row.kind == kind]
        turns = calls.TURNS[kind]
        lines += ["", f"[{kind}]", f"requests = {len(own)}", f"calls = {_list(sorted(len(row.delay) for row in own))}"]
        lines.append(f"prompt = {_list(quantiles([row.prompt for row in own]))}")
        for quantity in QUANTITIES:
            by_turn = [[value for row in own for value in getattr(row, quantity)[turn::turns]] for turn in range(turns)]
            lines.append(f"{quantity} = [{', '.join(_list(quantiles(values)) for values in by_turn)}]")
        lines.append(f"last = {_list(quantiles([row.last for row in own if row.last]))}")
    return "\n".join(lines) + "\n"


def quantiles(values) -> np.ndarray:
    """Values at the levels, linear between the middles of their ranks."""
    if not len(values):
        return np.empty(0)
    ordered = np.sort(np.asarray(values, np.float64))
    return np.interp(calls.LEVELS, (np.arange(len(ordered)) + 0.5) / len(ordered), ordered)


def _list(numbers) -> str:
    return "[" + ",".join(f"{float(one):.5g}" for one in numbers) + "]"


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        rows = calls.read_rows(Path(arguments[0]) / calls.FILE)
        (Path(arguments[1]) / "infercept.toml").write_text(text(rows), encoding="utf-8", newline="\n")
    except (InputError, OSError) as error:
        print(f"make_calls: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
