"""Published numbers against ours: does each printed value agree, differ, or can we not tell?

A print made by a formula must be the exact value, rounded. A print that was simulated may miss it by its own
noise, which the entry states. Where no exact value is known, our simulation stands for it if its interval is
narrow enough. A printed range, whose ends are taken as printed, agrees where it holds our whole interval, and differs
where it holds none of it. A print of the largest value ("up to 5.1") agrees where our largest one reaches it,
however far it goes beyond.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pandas
from openqueues.entry import Entry, Expected, Point, canonical, points_of
from openqueues.printed import ALL, Printed, apart, half_unit, inside, printed
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
    share of the reference, which is the exact value, else the simulated one; of a range its nearer end, 0
    within), print_error (how far the print may lie from what it stands for: rounding and noise), allowed
    (that and our own error or interval), verdict ("agrees", "differs", "cannot tell"), reason, internal
    (our simulation against our analysis, at 99% for all rows jointly: "agrees", "differs", "cannot tell").
    Numbers that are missing are NaN. For the largest value over several points, numbers are those of the
    point that has it, with a half-width such that the interval holds the largest of the true means with
    95%, and the parameters that vary have the value "all".
    """
    known = {}
    if not frame.empty:
        own = summary(frame[frame["problem"] == entry.slug])
        known = {(r.experiment, r.policy, r.point, r.metric): r for r in own.itertuples()}
    cells = [
        (expected, row, policy, text, points_of(entry.experiment(expected.experiment), expected, row))
        for expected in entry.expected
        for row, policy, text in expected.cells()
    ]
    comparisons = {(e.experiment, policy, p.index, e.metric) for e, _, policy, _, points in cells for p in points}
    level = 1 - (1 - JOINT) / max(1, len(comparisons))
    rows = []
    for expected, row, policy, text, points in cells:
        ours = [known.get((expected.experiment, policy, point.index, expected.metric)) for point in points]
        rows.append(_row(expected, row, policy, text, points, ours, level))
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
            difference = apart(printed(a["printed"]), printed(b["printed"]))
            allowed = a["print_error"] + b["print_error"]
            key = (parameters, policy, metric, a["printed"], b["printed"])
            if abs(difference) <= allowed or key in seen:
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
                    "difference": difference,
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


def _row(
    expected: Expected, row: str, policy: str, text: str, points: list[Point], ours: list[Any], level: float
) -> dict[str, Any]:
    value = printed(text)
    place, (exact, exact_error, simulated, width), whole = _largest(ours)
    noise = expected.noise_at(row)
    by_analysis = math.isfinite(exact)
    reference, interval = (exact, exact_error) if by_analysis else (simulated, width)
    nearest = value.nearest(reference)
    own = noise * abs(float(nearest)) + (half_unit(nearest) if value.single else 0.0)
    allowed, gap = own + interval, value.gap(reference) if math.isfinite(reference) else math.nan
    if not math.isfinite(allowed):
        verdict, reason = "cannot tell", _why_missing(next(one for one in ours if not _has_value(one)))
    elif value.single:
        verdict, reason = _judge(float(text), reference, allowed)
        if verdict == "agrees" and not by_analysis and interval > NARROW * own:
            verdict = "cannot tell"
            reason = f"our interval of ±{interval:.2g} is too wide beside the {own:.2g} that the print may miss"
    else:
        verdict, reason = _judge_range(value, reference, interval, noise, whole)
        if value.largest:
            at = f"at {expected.rows} {points[place].parameters[expected.rows]}"
            count = sum(map(_has_value, ours))
            reason = f"the largest of {count} here, {at}, is {reason}"
    return {
        "experiment": expected.experiment,
        "parameters": _common(points, expected.rows if row == ALL else ""),
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
        "deviation": gap / abs(reference) if reference else gap,
        "print_error": own,
        "allowed": allowed,
        "verdict": verdict,
        "reason": reason,
        "internal": _internal(ours[place], level),
    }


def _common(points: list[Point], rows: str) -> str:
    """The parameters that the points share as JSON text; "all" for those that vary, and for the printed rows."""
    shared = dict(points[0].parameters)
    for point in points:
        shared |= {key: "all" for key, value in point.parameters.items() if key == rows or value != shared[key]}
    return canonical(shared)


def _has_value(ours: Any) -> bool:
    return ours is not None and (math.isfinite(ours.exact) or math.isfinite(ours.halfwidth))


def _largest(ours: list[Any]) -> tuple[int, tuple[float, float, float, float], bool]:
    """(place, (exact, exact_error, simulated, halfwidth), whether all points have values) of the largest value.

    The exact numbers are given only if every point has them. The half-width is such that all the points' intervals
    together hold the true means with 95%, so that the largest true mean lies within it.
    """
    there = [place for place, one in enumerate(ours) if _has_value(one)]
    if not there:
        one = ours[0]
        nothing = (math.nan,) * 4
        return 0, nothing if one is None else (one.exact, one.exact_error, one.mean, one.halfwidth), False
    by_analysis = all(math.isfinite(ours[place].exact) for place in there)
    best = max(there, key=lambda place: ours[place].exact if by_analysis else ours[place].mean)
    one, whole = ours[best], len(there) == len(ours)
    if len(ours) == 1 or by_analysis:
        return best, (one.exact, one.exact_error, one.mean, one.halfwidth), whole
    level = 1 - (1 - LEVEL) / len(there)
    widths = [
        ours[place].halfwidth * student(level, ours[place].replications) / student(LEVEL, ours[place].replications)
        for place in there
    ]
    ends = [(ours[place].mean - width, ours[place].mean + width) for place, width in zip(there, widths, strict=True)]
    width = max(max(high for _, high in ends) - one.mean, one.mean - max(low for low, _ in ends))
    return best, (math.nan, math.nan, one.mean, width), whole


def _judge_range(value: Printed, reference: float, width: float, noise: float, whole: bool) -> tuple[str, str]:
    where = inside(value, reference, width, noise)
    found = f"{reference:.4g} ± {width:.2g}"
    if value.largest:
        if where == "yes":
            return "agrees", f"{found}, which reaches {value.low}"
        if not whole:
            return "cannot tell", f"{found}, but not every point has a value"
        if where == "below":
            return "differs", f"{found}, which does not reach {value.low}"
        return "cannot tell", f"{found}, an interval across {value.low}"
    if where == "yes":
        return "agrees", f"{found} lies within {value.words}"
    if where == "across":
        return "cannot tell", f"{found} lies across an end of {value.words}"
    return "differs", f"{found} lies {where} {value.words}"


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
