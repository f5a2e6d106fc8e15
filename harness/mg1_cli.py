"""`openqueues mg1`: response times of one M/G/1 queue with predictions, by analysis and by simulation."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from openqueues.models.errors import InputError

DIGITS = 13


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues mg1` to its parser."""
    parser.add_argument(
        "--sizes",
        default="exponential",
        metavar="LAW",
        help="law of the sizes, like weibull:shape=0.5; mean 1 unless given (default: exponential)",
    )
    parser.add_argument(
        "--predictions",
        default="exponential",
        metavar="LAW",
        help="law of the predictions, like lognormal:sigma=1 (default: exponential)",
    )
    parser.add_argument(
        "--load", nargs="+", required=True, metavar="L", help="arrival rate times mean size, between 0 and 1"
    )
    parser.add_argument(
        "--policy",
        action="append",
        required=True,
        metavar="P",
        help="policy, like sprpt or onebit:threshold=optimal, or a policy file; may be repeated",
    )
    parser.add_argument(
        "--quantiles",
        nargs="*",
        metavar="Q",
        help="quantiles of the response time, too, like 0.5 0.99 or 0.5,0.99 (by themselves: 0.5, 0.9, 0.99, 0.999, "
        "the ones that are simulated)",
    )
    parser.add_argument("--simulate", metavar="JOBS", help="simulate so many jobs per replication, too")
    parser.add_argument("--replications", metavar="R", default="10", help="replications (default: 10)")
    parser.add_argument("--seed", metavar="S", default="1", help="seed of the simulation (default: 1)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(chosen: argparse.Namespace) -> int:
    """Print a row per policy and load; times are in the unit of the size law (mean 1 unless given)."""
    loads = [_load(text) for text in chosen.load]
    jobs = None if chosen.simulate is None else _whole(chosen.simulate, "--simulate", 1)
    replications, seed = _whole(chosen.replications, "--replications", 2), _whole(chosen.seed, "--seed", 0)
    levels = _levels(chosen.quantiles)
    from openqueues.models.laws import joint_law

    joint = joint_law(chosen.sizes, chosen.predictions)
    rows = []
    for name in chosen.policy:
        for load in loads:
            row = {"policy": name, "load": load, **_analysed(joint, load, name, jobs is not None)}
            if levels:
                row["quantiles"] = _tails(joint, load, name, levels, jobs is not None)
            rows.append(row)
    if jobs is not None:
        for row in rows:
            means, tails = _simulated(joint, row["load"], row["policy"], jobs, replications, seed)
            row.update(means)
            for level, quantile in row.get("quantiles", {}).items():
                quantile.update(tails.get(level, {"simulated": None, "halfwidth": None}))
    print(json.dumps([_rounded(row) for row in rows], indent=1) if chosen.json else _table(rows))
    return 0


def _analysed(joint, load: float, name: str, simulated: bool) -> dict:
    """Mean response time by analysis; None for a policy that can only be simulated."""
    from openqueues.models.analysis import analysable, mean_response
    from openqueues.models.policies import is_path, policy

    chosen = policy(name)
    if is_path(name) or chosen.name not in analysable():
        if not simulated:
            raise InputError(f"there is no analysis of policy '{name}': add --simulate JOBS to have it simulated.")
        return {"mean_response": None, "error": None}
    result = mean_response(joint, load, name)
    return {"mean_response": result.mean_response, "error": result.error}


def _tails(joint, load: float, name: str, levels: dict[str, float], simulated: bool) -> dict[str, dict]:
    """Quantiles by analysis; None for a policy whose quantiles can only be simulated."""
    from openqueues.models.analysis import TAILED, quantiles
    from openqueues.models.policies import is_path, policy

    if is_path(name) or policy(name).name not in TAILED:
        if not simulated:
            raise InputError(
                f"quantiles of policy '{name}' are not analysed, but those of {', '.join(TAILED)} are: use one of"
                " these, or add --simulate JOBS."
            )
        return {key: {"value": None, "error": None} for key in levels}
    known = quantiles(joint, load, name, list(levels.values()))
    return {key: dict(zip(("value", "error"), known[level], strict=True)) for key, level in levels.items()}


def _simulated(joint, load: float, name: str, jobs: int, replications: int, seed: int) -> tuple[dict, dict]:
    """Mean, and quantiles by name, over replications with 95% half-widths; None when one is unstable."""
    from openqueues.models.queues import QUANTILES, simulate
    from openqueues.models.streams import derive_seed
    from openqueues.statistics import mean_and_halfwidth

    # Never the policy: all policies meet the same jobs.
    seeds = [derive_seed("mg1", seed, replication) for replication in range(replications)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        runs = list(pool.map(lambda one: simulate(joint, load, name, one, jobs), seeds))
    if any(values["unstable"] for values in runs):
        print(
            f"openqueues: {name} at load {load:g} is unstable or {jobs} jobs are too few to tell.",
            file=sys.stderr,
        )
        return {"simulated_mean": None, "simulated_halfwidth": None}, {}
    mean, width = mean_and_halfwidth([values["mean_response"] for values in runs])
    tails = {}
    for key in QUANTILES:
        value, halfwidth = mean_and_halfwidth([values[key] for values in runs])
        tails[key] = {"simulated": value, "halfwidth": halfwidth}
    return {"simulated_mean": mean, "simulated_halfwidth": width}, tails


def _rounded(row: dict) -> dict:
    def rounded(key, value):
        if isinstance(value, dict):
            return _rounded(value)
        return float(f"{value:.{DIGITS}g}") if isinstance(value, float) and key != "load" else value

    return {key: rounded(key, value) for key, value in row.items()}


def _table(rows: list[dict]) -> str:
    from openqueues.listing import columns

    simulated = "simulated_mean" in rows[0]
    title = ["policy", "load"]
    for name in ("mean response", *rows[0].get("quantiles", {})):
        title += [name, "error", *(["simulated", "95% +-"] if simulated else [])]
    table = [title]
    for row in rows:
        line = [
            row["policy"],
            f"{row['load']:g}",
            _number(row["mean_response"], row["error"]),
            _error(row["error"]),
        ]
        if simulated:
            width = row["simulated_halfwidth"]
            line += [_number(row["simulated_mean"], width), _error(width)]
        for quantile in row.get("quantiles", {}).values():
            line += [_number(quantile["value"], quantile["error"]), _error(quantile["error"])]
            if simulated:
                width = quantile["halfwidth"]
                line += [_number(quantile["simulated"], width), _error(width)]
        table.append(line)
    return columns(table, right=range(1, len(table[0])))


def _number(value: float | None, error: float | None) -> str:
    """As many digits as the error leaves, two of them uncertain, and never more than ten."""
    if value is None:
        return "-"
    digits = 10
    if error and math.isfinite(error):
        digits = min(digits, max(2, math.floor(math.log10(abs(value) / error)) + 2)) if error < abs(value) else 2
    return f"{value:#.{digits}g}".rstrip(".")


def _error(error: float | None) -> str:
    return "-" if error is None else f"{error:.1e}"


def _levels(texts: list[str] | None) -> dict[str, float]:
    """Names like p50, p99, p999 and levels, ascending, of texts like 0.5,0.99; of no text those simulated."""
    if texts is None:
        return {}
    from openqueues.models.analysis import checked_level
    from openqueues.models.queues import QUANTILES

    levels = set() if texts else set(QUANTILES.values())
    for part in ",".join(texts).split(",") if texts else ():
        try:
            level = float(part)
        except ValueError:
            raise InputError(
                f"--quantiles has '{part}', which is not a number: give levels like 0.5,0.99,0.999."
            ) from None
        levels.add(checked_level(level))
    return {f"p{f'{level:.12f}'.rstrip('0')[2:]:0<2}": level for level in sorted(levels)}


def _load(text: str) -> float:
    try:
        load = float(text)
    except ValueError:
        raise InputError(f"load '{text}' is not a number: give one between 0 and 1, like 0.8.") from None
    if not 0 < load < 1:
        raise InputError(f"load is {text}: a stable single server needs a load above 0 and below 1.")
    return load


def _whole(text: str, option: str, least: int) -> int:
    """A whole number, 1e6 included; InputError below `least`."""
    try:
        value = float(text)
        whole = int(text) if text.strip().lstrip("+-").isdigit() else int(value)
    except (ValueError, OverflowError):
        raise InputError(f"{option} is '{text}': give a whole number of at least {least}.") from None
    if whole != value and not text.strip().lstrip("+-").isdigit() or whole < least:
        raise InputError(f"{option} is {text}: give a whole number of at least {least}.")
    return whole
