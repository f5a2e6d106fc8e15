"""Runs one cell: replications in threads, exact values and bounds once per point, rows and provenance."""

from __future__ import annotations

import math
import os
import platform
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
from openqueues import plan, registry, results
from openqueues.entry import Entry, Experiment, Point
from openqueues.models.errors import InputError
from openqueues.models.streams import derive_seed

Report = Callable[[int, int], None]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a cell: `state` is made, kept (it was there) or failed; `messages` say why it failed."""

    cell: plan.Cell
    state: str
    seconds: float
    messages: list[str] = []


def is_made(cell: plan.Cell) -> bool:
    """Whether the cell's file exists, undamaged, without failures, made from the sources as they are now."""
    noted = cell.noted
    if noted.get("hash") != cell.hash or noted.get("failures", True):
        return False
    try:
        return noted.get("digest") == results.digest(Path(cell.path).read_bytes())
    except OSError:
        return False


def run_cell(
    entry: Entry,
    experiment: Experiment,
    policy: str,
    tier: str,
    folder: str | Path = "results",
    cores: int = 1,
    force: bool = False,
    keep_going: bool = True,
    report: Report = lambda done, total: None,
    killed: bool = False,
) -> Outcome:
    """Make the Parquet and the provenance of one policy in one experiment.

    The Parquet's bytes depend on the sources only, not on `cores` or on what was run before. A policy that
    raises, or returns what is no number, gives rows with status failed when `keep_going`, else no file.
    `report(done, total)` is called after every replication. A cell that has `killed` its process is not run again.
    """
    cell = plan.cell(entry, experiment, policy, tier, folder)
    started = time.perf_counter()
    if not force and is_made(cell):
        return Outcome(cell, "kept", time.perf_counter() - started)
    problem = SimpleNamespace(simulate=_killed) if killed else registry.problem(entry)
    argument = registry.policy_argument(entry, policy)
    size = experiment.tier(tier)
    points = experiment.points(tier)
    rows: list[dict[str, Any]] = []
    messages: dict[tuple, str] = {}
    tasks = [(point, replication) for point in points for replication in range(size.replications)]
    with ThreadPoolExecutor(max_workers=max(1, cores)) as pool:
        futures = {}
        for point, replication in tasks:
            seed = seed_of(entry, experiment, point, replication)
            future = pool.submit(simulate, entry, problem, point, argument, seed, size.jobs)
            futures[future] = (point, replication, seed)
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                point, replication, seed = futures[future]
                values, status, message = future.result()
                if message:
                    messages[(point.index, replication)] = message
                rows += _rows(entry, experiment, cell.policy, point, replication, seed, size.jobs, values, status)
                report(done, len(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for point in points:
        for source, values, status, message in unsimulated(problem, point, argument):
            if message:
                messages[(point.index, source)] = message
            rows += _rows(entry, experiment, cell.policy, point, -1, -1, 0, values, status, source)
    # Each distinct message once, in the order of points: a policy that always fails says so one time.
    said = list(dict.fromkeys(messages[key] for key in sorted(messages, key=str)))
    seconds = time.perf_counter() - started
    if said and not keep_going:
        return Outcome(cell, "failed", seconds, said)
    results.write(rows, Path(cell.path))
    results.write_json(_provenance(entry, cell, policy, tier, cores, seconds, said), Path(cell.provenance))
    return Outcome(cell, "failed" if said else "made", seconds, said)


def _killed(*arguments) -> None:
    raise InputError("its process was killed: it may have needed more memory than there was")


def seed_of(entry: Entry, experiment: Experiment, point: Point, replication: int) -> int:
    """Seed of a replication: the same for every policy, so that policies meet the same jobs."""
    return derive_seed(entry.slug, experiment.name, point.text, replication)


def simulate(
    entry: Entry, problem: ModuleType, point: Point, policy: str, seed: int, jobs: int
) -> tuple[dict[str, float], str, str]:
    """(values, status, message) of one replication; never raises what an entry or a policy raised."""
    failed = dict.fromkeys(entry.simulated, math.nan)
    try:
        values = problem.simulate(dict(point.parameters), policy, seed, jobs)
    except Exception as error:
        return failed, "failed", _message(error)
    wrong = _wrong(values, entry)
    if wrong:
        return failed, "failed", f"simulate {wrong}"
    unstable = bool(values.get("unstable", 0))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad and not unstable:
        return failed, "failed", f"simulate returned {values[bad[0]]} for {bad[0]} at {point.text}"
    return {name: float(value) for name, value in values.items()}, "unstable" if unstable else "ok", ""


def _wrong(values: Any, entry: Entry) -> str:
    """What is wrong with the type or the names of what simulate returned; empty when nothing is."""
    if not isinstance(values, dict):
        return f"returned {type(values).__name__} instead of a dict of metrics"
    for name, value in values.items():
        if not isinstance(name, str) or not hasattr(value, "__float__") or getattr(value, "ndim", 0):
            return f"returned {type(value).__name__} for the metric {name!r} instead of a number"
    missing = [name for name in entry.simulated if name not in values]
    if missing:
        return f"does not return the metric '{missing[0]}' that problem.toml declares"
    return ""


def unsimulated(problem: ModuleType, point: Point, policy: str):
    """(source, values, status, message) of the exact values and of the bounds, where the entry has them."""
    for source, name, arguments in (("analysis", "exact", (policy,)), ("bound", "bound", ())):
        function = getattr(problem, name, None)
        if function is None:
            continue
        try:
            values = function(dict(point.parameters), *arguments) or {}
            pairs = {m: (v if isinstance(v, tuple) else (v, 0.0)) for m, v in values.items()}
            pairs = {m: (float(v), float(e)) for m, (v, e) in pairs.items()}
            yield source, pairs, "ok", ""
        except Exception as error:
            yield source, {}, "failed", f"{name} failed: {_message(error)}"


def _message(error: Exception) -> str:
    """One line that says what was raised and where."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text[:400]}{at}"


def _rows(
    entry: Entry,
    experiment: Experiment,
    policy: str,
    point: Point,
    replication: int,
    seed: int,
    n: int,
    values: dict[str, Any],
    status: str,
    source: str = "simulation",
) -> list[dict[str, Any]]:
    shared = {
        "problem": entry.slug,
        "version": entry.version,
        "experiment": experiment.name,
        "policy": policy,
        "point": point.index,
        "parameters": point.text,
        "replication": replication,
        "seed": seed,
        "n": n,
        "status": status,
        "source": source,
    }
    rows = []
    for metric, value in values.items():
        value, error = value if isinstance(value, tuple) else (value, math.nan)
        rows.append(shared | {"metric": metric, "value": value, "error": error})
    return rows


def _provenance(
    entry: Entry, cell: plan.Cell, policy: str, tier: str, cores: int, seconds: float, messages: list[str]
) -> dict[str, Any]:
    return {
        "problem": entry.slug,
        "version": entry.version,
        "experiment": cell.experiment,
        "policy": cell.policy,
        "tier": tier,
        "hash": cell.hash,
        "digest": results.digest(Path(cell.path).read_bytes()),
        "sources": plan.sources(entry, policy),
        "versions": {"python": platform.python_version()} | plan.libraries(),
        "cpu": _cpu(),
        "cores": cores,
        "cores_of_machine": os.cpu_count(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_seconds": round(seconds, 3),
        "failures": messages,
    }


def _cpu() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
