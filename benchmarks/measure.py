"""Timing that is fair on a shared machine, and a check of every timed run."""

from __future__ import annotations

import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import twin
from reference import mean_response

PREDICTIONS = {"fcfs": "exact", "srpt": "exact", "sprpt": "exponential"}
DEVIATIONS = 4.5  # a run further from the exact value than so many standard errors is refused


class WrongResult(Exception):
    """A timed run gave a mean response time that cannot be right: its time is worth nothing."""


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process (all threads) in `work`, and what it returned."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def wall(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall-clock seconds of `work`, and what it returned."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def interleave(repetitions: int, **works: Callable[[int], float]) -> dict[str, list[float]]:
    """Times by name. Repetition k runs every work once: a slow spell of the machine meets them all."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for k in range(repetitions):
        for name, work in works.items():
            times[name].append(work(k))
    return times


def median_ratio(above: list[float], below: list[float]) -> float:
    """The median over repetitions of the ratio within one repetition."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def law(policy: str) -> Any:
    from openqueues.models.laws import joint_law

    return joint_law("exponential", PREDICTIONS[policy])


@cache
def deviation(policy: str, load: float) -> float:
    """Standard deviation of the mean response time of a run, times the square root of its number of jobs.

    From runs of the twin, so that the program under test does not set the width of its own interval.
    """
    jobs, runs = 200_000, 25
    means = [twin.run(policy, load, 10_000 + k, jobs)["mean_response"] for k in range(runs)]
    return statistics.stdev(means) * math.sqrt(jobs)


def check(who: str, policy: str, load: float, mean: float, jobs: int) -> float:
    """Hold `mean` against the exact value; returns its distance in standard errors, or raises WrongResult."""
    value = mean_response(policy, load)
    off = abs(mean - value) / (deviation(policy, load) / math.sqrt(jobs))
    if not off <= DEVIATIONS:
        raise WrongResult(
            f"{who} {policy} at load {load}: E[T] = {mean:.5g} is {off:.1f} standard errors off {value:.5g}"
        )
    return off


def table(rows: list[dict[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table."""

    def text(value: Any) -> str:
        if isinstance(value, bool | str):
            return str(value)
        if value is None:
            return ""
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([text(row[head]) for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def provenance() -> dict[str, Any]:
    """The machine and the versions that the numbers belong to."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    packages = ("numpy", "numba", "llvmlite", "scipy", "pandas", "snakemake")
    return {
        "date": date.today().isoformat(),
        "cpu": fields.get("model name", platform.processor()),
        "cpu_family_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "cores": len([line for line in lines if line.startswith("processor")]) or None,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "compiler": compiler,
        "versions": {name: _version(name) for name in packages},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
