"""Published numbers against ours: does each printed value agree, differ, or can we not tell?

A print made by a formula must be the exact value, rounded. A print that was simulated may miss it by its own
noise, which the entry states. Where no exact value is known, our simulation stands for it if its interval is
narrow enough.
"""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from typing import Any

import pandas
from openqueues.entry import Entry, Expected, Point, point_of
from openqueues.statistics import LEVEL, student, summary

COLUMNS = [
    "experiment",
    "parameters",
    "policy",
    "metric",
    "source",
    "made_by",
    "row",
    "printed",
    "exact",
    "exact_error",
    "simulated",
    "halfwidth",
    "deviation",
    "print_error",
    "allowed",
    "verdict",
    "reason",
    "internal",
]
NARROW = 0.25  # our interval, as a share of the allowed difference, that is narrow enough to agree
JOINT = 0.99  # confidence of all comparisons of simulation with analysis together
WIDE = 0.05  # a simulation whose interval is wider than this share of the exact value tells nothing about it


def verdicts(entry: Entry, frame: pandas.DataFrame) -> pandas.DataFrame:
    """A row per printed value of the entry.

    Columns: experiment, parameters (JSON text), policy, metric, source, made_by, row and printed (as
    printed), exact, exact_error, simulated, halfwidth (95%), deviation (printed less the reference, as a
    share of the reference, which is the exact value, else the simulated one), print_error (how far the
    print may lie from what it stands for: rounding and noise), allowed (that and our own error or
    interval), verdict ("agrees", "differs", "cannot tell"), reason, internal (our simulation against our
    analysis, at 99% for all rows jointly: "agrees", "differs", "cannot tell"). Numbers that are missing are
    NaN.
    """
    known = {}
    if not frame.empty:
        own = summary(frame[frame["problem"] == entry.slug])
        known = {(r.experiment, r.policy, r.point, r.metric): r for r in own.itertuples()}
    printed = [
        (expected, row, policy, text, point_of(entry.experiment(expected.experiment), expected, row))
        for expected in entry.expected
        for row, policy, text in expected.cells()
    ]
    comparisons = {(e.experiment, policy, point.index, e.metric) for e, _, policy, _, point in printed}
    level = 1 - (1 - JOINT) / max(1, len(comparisons))
    rows = []
    for expected, row, policy, text, point in printed:
        ours = known.get((expected.experiment, policy, point.index, expected.metric))
        rows.append(_row(expected, row, policy, text, point, ours, level))
    return pandas.DataFrame(rows, columns=COLUMNS)


def conflicts(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Printed values of one quantity that disagree beyond their rounding and noise, with what is exact.

    `rows` comes from `verdicts`. A row per pair of sources: parameters, policy, metric, source_a,
    printed_a, source_b, printed_b, difference (b - a), allowed, exact, exact_error, supported (the source
    that agrees with the exact value: its name, "both", "neither", or "cannot tell" where none is known).
    """
    found, seen = [], set()
    for (parameters, policy, metric), group in rows.groupby(["parameters", "policy", "metric"], sort=False):
        for a, b in itertools.combinations(group.to_dict("records"), 2):
            gap = abs(Decimal(a["printed"]) - Decimal(b["printed"]))
            allowed = a["print_error"] + b["print_error"]
            key = (parameters, policy, metric, a["printed"], b["printed"])
            if float(gap) <= allowed or key in seen:
                continue
            seen.add(key)
            found.append(
                {
                    "parameters": parameters,
                    "policy": policy,
                    "metric": metric,
                    "source_a": a["source"],
                    "printed_a": a["printed"],
                    "source_b": b["source"],
                    "printed_b": b["printed"],
                    "difference": float(Decimal(b["printed"]) - Decimal(a["printed"])),
                    "allowed": allowed,
                    "exact": a["exact"],
                    "exact_error": a["exact_error"],
                    "supported": _supported(a, b),
                }
            )
    columns = [
        "parameters",
        "policy",
        "metric",
        "source_a",
        "printed_a",
        "source_b",
        "printed_b",
        "difference",
        "allowed",
        "exact",
        "exact_error",
        "supported",
    ]
    return pandas.DataFrame(found, columns=columns)


def half_unit(printed: str) -> float:
    """Half a unit of the last printed digit: 0.00005 for 1.4254."""
    return float(Decimal(5).scaleb(Decimal(printed).as_tuple().exponent - 1))


def _row(
    expected: Expected, row: str, policy: str, text: str, point: Point, ours: Any, level: float
) -> dict[str, Any]:
    exact, exact_error, simulated, width = (
        (ours.exact, ours.exact_error, ours.mean, ours.halfwidth) if ours is not None else (math.nan,) * 4
    )
    value, own = float(text), half_unit(text) + expected.noise_at(row) * abs(float(text))
    by_analysis = math.isfinite(exact)
    reference, interval = (exact, exact_error) if by_analysis else (simulated, width)
    allowed = own + interval
    verdict, reason = _judge(value, reference, allowed)
    if not math.isfinite(allowed):
        verdict, reason = "cannot tell", _why_missing(ours)
    elif verdict == "agrees" and not by_analysis and interval > NARROW * own:
        verdict = "cannot tell"
        reason = f"our interval of ±{interval:.2g} is too wide beside the {own:.2g} that the print may miss"
    return {
        "experiment": expected.experiment,
        "parameters": point.text,
        "policy": policy,
        "metric": expected.metric,
        "source": expected.source,
        "made_by": expected.made_by,
        "row": row,
        "printed": text,
        "exact": exact,
        "exact_error": exact_error,
        "simulated": simulated,
        "halfwidth": width,
        "deviation": (value - reference) / abs(reference) if reference else value - reference,
        "print_error": own,
        "allowed": allowed,
        "verdict": verdict,
        "reason": reason,
        "internal": _internal(ours, level),
    }


def _judge(value: float, reference: float, allowed: float) -> tuple[str, str]:
    # A print of 2.0000 is not to differ from 2.00005 by the last bit of a difference of floats.
    gap = abs(value - reference)
    if gap <= allowed + 4 * math.ulp(max(abs(value), abs(reference))):
        return "agrees", f"off by {gap:.2g}, of {allowed:.2g} allowed"
    return "differs", f"off by {gap:.2g}, but {allowed:.2g} allowed"


def _why_missing(ours: Any) -> str:
    if ours is None:
        return "this tier has no result for it"
    return {
        "ok": "there is neither an exact value nor an interval",
        "unstable": "the simulated system is not stable",
    }.get(ours.status, f"the run has status {ours.status}")


def _internal(ours: Any, level: float) -> str:
    """Our simulation against our analysis, the interval widened to the joint level."""
    if ours is None or not (math.isfinite(ours.exact) and math.isfinite(ours.halfwidth)):
        return "cannot tell"
    width = ours.halfwidth * student(level, ours.replications) / student(LEVEL, ours.replications)
    if abs(ours.mean - ours.exact) > width + ours.exact_error:
        return "differs"
    return "agrees" if width <= WIDE * abs(ours.exact) else "cannot tell"


def _supported(a: dict[str, Any], b: dict[str, Any]) -> str:
    said = [row["verdict"] for row in (a, b)]
    if "cannot tell" in said:
        return "cannot tell"
    agreeing = [row["source"] for row in (a, b) if row["verdict"] == "agrees"]
    return "both" if len(agreeing) == 2 else agreeing[0] if agreeing else "neither"
