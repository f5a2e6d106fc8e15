"""Predicted against measured, as a file: one row a measurement, and what the rows of a group come to.

The package ships such a file (silicon.csv), so that the book can show it without the measurements.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.results import replace

SHIPPED = Path(__file__).parent / "silicon.csv"
TARGETS = {"tpot": 0.10, "ttft": 0.25}
"""Median absolute relative errors that we want to stay within."""
GROUP = ("model", "gpu", "backend", "precision")
SERVING = ("policy", "token_budget", "think_ms", "places_lost", "kv", "rounds", "prompts", "scale", "step_ms", "seq_ms")
"""How a group was served in the engine, and the correction of its times, as in silicon.Serving."""
CROSS = ("fitted", "cross_tpot", "cross_ttft")
"""What was fitted of this, and the median errors of cross-validation in the fitting half; nan where there was none."""
NUMBERS = (
    "tp",
    "input_tokens",
    "output_tokens",
    "clients",
    "ttft_ms",
    "tpot_ms",
    "predicted_ttft_ms",
    "predicted_tpot_ms",
    "token_budget",
    "think_ms",
    "places_lost",
    "rounds",
    "prompts",
    "scale",
    "step_ms",
    "seq_ms",
    "cross_tpot",
    "cross_ttft",
)
COLUMNS = (
    *("id", *GROUP, "version", "tp", "input_tokens", "output_tokens", "clients", "half"),
    *("ttft_ms", "tpot_ms", "predicted_ttft_ms", "predicted_tpot_ms", "failed", *SERVING, *CROSS, "package"),
)
"""half: fitting or held-out. failed: why the row cannot run, or nothing. package: version of the operator tables."""


@dataclass(frozen=True)
class Summary:
    """The rows of a group, or of all. Errors are medians over the held-out rows, those that cannot run infinite."""

    name: tuple[str, ...]
    fitting: int
    held_out: int
    failed: int
    """Rows of both halves that cannot run."""
    tpot: float
    ttft: float
    cross_tpot: float
    cross_ttft: float
    """As the fitting half let expect in cross-validation; nan where it is too small, and for all groups together."""
    tpot_within: float
    """Share of the held-out rows whose error is within the target."""
    ttft_within: float

    @property
    def shares(self) -> list[str]:
        """Of TPOT and then of TTFT the median error expected, that found, and the share within the target, in words."""
        numbers = self.cross_tpot, self.tpot, self.tpot_within, self.cross_ttft, self.ttft, self.ttft_within
        return ["–" if math.isnan(value) else f"{100 * value:.1f}%" for value in numbers]

    @property
    def good(self) -> bool:
        return self.tpot <= TARGETS["tpot"] and self.ttft <= TARGETS["ttft"]


def error(row: dict, what: str) -> float:
    """Predicted over measured, less 1; infinite for a row that cannot run."""
    value = row[f"predicted_{what}_ms"] / row[f"{what}_ms"] - 1.0
    return math.inf if math.isnan(value) else value


def summary(name: tuple[str, ...], rows: list[dict]) -> Summary:
    out = [row for row in rows if row["half"] == "held-out"]
    size = {what: np.array([abs(error(row, what)) for row in out]) for what in TARGETS}
    return Summary(
        name=name,
        fitting=len(rows) - len(out),
        held_out=len(out),
        failed=sum(bool(row["failed"]) for row in rows),
        **{what: float(np.median(values)) for what, values in size.items()},
        **{key: rows[0][key] if len(name) > 1 else math.nan for key in ("cross_tpot", "cross_ttft")},
        **{f"{what}_within": float((values <= TARGETS[what]).mean()) for what, values in size.items()},
    )


def grouped(rows: Iterable[dict]) -> dict[tuple[str, ...], list[dict]]:
    """The rows by model, GPU, backend and precision, in that order."""
    groups: dict[tuple[str, ...], list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in GROUP), []).append(row)
    return dict(sorted(groups.items()))


def summaries(rows: list[dict]) -> list[Summary]:
    """One a group, and the last of all rows."""
    return [summary(name, some) for name, some in grouped(rows).items()] + [summary(("all",), rows)]


def table(rows: list[dict]) -> list[list[str]]:
    """A header, a line a group, and one of all rows."""
    lines = [["model", "GPU", "backend", "weights", "fitting", "held out", "cannot run"]]
    for what, target in TARGETS.items():
        lines[0] += [f"{what.upper()}: expected", "found", f"within {100 * target:.0f}%"]
    for one in summaries(rows):
        name = [*one.name, "", "", ""][:4]
        lines.append([*name, str(one.fitting), str(one.held_out), str(one.failed), *one.shares])
    return lines


def write(rows: list[dict], path: Path) -> None:
    """Write the rows as CSV, whole or not at all; times to six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([f"{row[key]:.6g}" if isinstance(row[key], float) else row[key] for key in COLUMNS])
    replace(path, lambda target: Path(target).write_text(text.getvalue(), encoding="utf-8"))


def read(path: Path = SHIPPED) -> list[dict]:
    """The rows of a file that `write` made. InputError where it cannot be read or lacks a column."""
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as problem:
        raise InputError(f"cannot read the measurements '{path}': {problem.strerror or problem}.") from None
    absent = [key for key in COLUMNS if rows and key not in rows[0]]
    if absent or not rows:
        raise InputError(f"the measurements '{path}' lack {', '.join(absent) or 'rows'}.")
    return [{key: float(row[key]) if key in NUMBERS else row[key] for key in COLUMNS} for row in rows]
