"""Make data/ssjf_histogram.csv from the full table of true lengths and announced classes.

python -m openqueues.models.laws.make_ssjf_histogram FILE OUT
"""

from __future__ import annotations

import sys

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.ssjf import CUTS, FULL, full

_HEADER = f"""\
# Jobs by length in tokens (first to last, both included) and by announced class, of 3 and of 5 classes.
# Source: github.com/James-QiuHaoran/LLM-serving-with-proxy-models, commit 4b86686, Apache-2.0,
# model-serving/prediction/final/predictions_warmup_cls_1000K.csv and predictions_warmup_multi_cls_1000K.csv,
# joined row by row as {FULL}. Prompts: LMSYS-Chat-1M (none here).
# A true class begins at {CUTS[3]} tokens of 3 and {CUTS[5]} of 5 classes.
# Made by: python -m openqueues.models.laws.make_ssjf_histogram {FULL} ssjf_histogram.csv
"""
# The cuts of both numbers of classes, and the other cuts that the source names, always begin a bin.
_CUTS = {cut for cuts in CUTS.values() for cut in cuts} | {58, 147, 280, 499}


def starts() -> np.ndarray:
    """First length of each bin: width 1 below 20 tokens, 2 below 60, 4 below 160, then 8."""
    grid = {*range(1, 20), *range(20, 60, 2), *range(60, 160, 4), *range(160, 512, 8)}
    return np.array(sorted(grid | _CUTS))


def text(path: str) -> str:
    """The histogram of the full table at `path`, as the text of a CSV file."""
    counts = full(path)
    place = np.searchsorted(starts(), counts.first, side="right")
    names = [f"announced{n}_{i}" for n in (3, 5) for i in range(n)]
    lines = [",".join(["first", "last", "tokens", *names])]
    ends = np.append(starts()[1:] - 1, 511)
    for index in np.unique(place):
        rows = place == index
        cells = [starts()[index - 1], ends[index - 1], counts.tokens[rows].sum()]
        for n in (3, 5):
            cells.extend(counts.announced[n][rows].sum(axis=0))
        lines.append(",".join(str(cell) for cell in cells))
    return _HEADER + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        content = text(arguments[0])
        with open(arguments[1], "w", encoding="utf-8", newline="\n") as stream:
            stream.write(content)
    except (InputError, OSError) as error:
        print(f"make_ssjf_histogram: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
