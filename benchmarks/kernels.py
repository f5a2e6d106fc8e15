"""The kernels: against C++ twins and other simulators, with a contributor's policy, on two cores."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import twin
from measure import PREDICTIONS, WrongResult, check, cpu, interleave, law, median_ratio, wall
from openqueues.models.queues import simulate
from openqueues.models.queues.replication import WARM_UP

LOADS = (0.8, 0.95)
SEED = 20_260
PEERS = Path(__file__).with_name("peers.py")
# What each peer can do exactly, and the jobs of one run (tens of seconds in all on one core).
JOBS = {"simpy": 300_000, "ciw": 200_000, "most-queue": 200_000, "line": 4_000_000}
CAN = {
    "simpy": ("fcfs", "srpt", "sprpt"),
    "ciw": ("fcfs",),
    "most-queue": ("fcfs", "srpt", "sprpt"),
    "line": ("fcfs", "srpt"),
}


def ours(
    policy: str, load: float, seed: int, jobs: int, spec: str | None = None, means: list[float] | None = None
) -> float:
    """CPU seconds of one checked run of our kernel; `spec` is a file that says the same as `policy`.

    The mean response time is appended to `means`.
    """
    joint = law(policy)
    seconds, metrics = cpu(lambda: simulate(joint, load, spec or policy, seed, jobs))
    check(f"openqueues {spec or ''}", policy, load, metrics["mean_response"], jobs)
    if means is not None:
        means.append(metrics["mean_response"])
    return seconds


def cpp(policy: str, load: float, seed: int, jobs: int, mean: float) -> float:
    """CPU seconds of one checked run of the twin, which must find the `mean` that ours found."""
    metrics = twin.run(policy, load, seed, jobs)
    check("twin", policy, load, metrics["mean_response"], jobs)
    if not abs(metrics["mean_response"] / mean - 1.0) <= 1e-12:
        raise WrongResult(f"{policy} at load {load}, seed {seed}: ours {mean!r}, the twin {metrics}")
    return metrics["cpu"]


def difference(policy: str, load: float) -> float:
    """The largest relative difference between a metric of ours and of the twin's on the same seed."""
    jobs = 300_000
    mine, twins = simulate(law(policy), load, policy, SEED, jobs), twin.run(policy, load, SEED, jobs)
    largest = max(abs(mine[name] / twins[name] - 1.0) for name in twins if name not in ("cpu", "unstable"))
    if not largest <= 1e-12:
        raise WrongResult(f"{policy} at load {load}: ours and the twin's metrics differ by {largest:.1e}")
    return largest


def kernels(quick: bool) -> list[dict[str, Any]]:
    """M/M/1, all metrics, random numbers included, ns of CPU time a simulated job; ours against the twin."""
    jobs, repetitions = (1_000_000, 3) if quick else (10_000_000, 5)
    rows = []
    for policy in PREDICTIONS:
        for load in LOADS:
            apart = difference(policy, load)  # compiles, too
            means: list[float] = []
            times = interleave(
                repetitions,
                ours=lambda k, p=policy, u=load, m=means: ours(p, u, SEED + k, jobs, means=m),
                twin=lambda k, p=policy, u=load, m=means: cpp(p, u, SEED + k, jobs, m[k]),
            )
            work = jobs * (1 + WARM_UP) / 1e9
            rows.append(
                {
                    "policy": policy,
                    "load": load,
                    "jobs": jobs,
                    "ours, ns/job": statistics.median(times["ours"]) / work,
                    "C++, ns/job": statistics.median(times["twin"]) / work,
                    "ours / C++": median_ratio(times["ours"], times["twin"]),
                    "largest difference of a metric": f"{apart:.1e}",
                }
            )
    return rows


def peers(quick: bool) -> list[dict[str, Any]]:
    """M/M/1 on one core, random numbers included, thousand jobs a second of CPU time; each run checked."""
    python = _environment()
    scale, repetitions, jobs = (0.2, 1, 1_000_000) if quick else (1.0, 3, 10_000_000)
    simulated = jobs * (1 + WARM_UP)
    rows = []
    for policy in PREDICTIONS:
        for load in LOADS:
            ours(policy, load, 1, 10_000)
            runs = {"openqueues": lambda k, p=policy, u=load: simulated / ours(p, u, SEED + k, jobs)}
            for peer in JOBS:
                if policy in CAN[peer]:
                    runs[peer] = lambda k, peer=peer, p=policy, u=load: _peer(
                        python, peer, p, u, int(JOBS[peer] * scale), SEED + k
                    )
            rates = {name: statistics.median(r) for name, r in interleave(repetitions, **runs).items()}
            for name in ("openqueues", *JOBS):
                rate = rates.get(name)
                rows.append(
                    {
                        "policy": policy,
                        "load": load,
                        "simulator": name,
                        "kjobs/s": rate / 1e3 if rate else "cannot, exactly",
                        "openqueues is faster by": rates["openqueues"] / rate if rate else None,
                    }
                )
    return rows


def plugin(quick: bool) -> list[dict[str, Any]]:
    """A policy that a contributor wrote as a plain Python rank, in a file, against the built-in one."""
    jobs, repetitions = (1_000_000, 3) if quick else (5_000_000, 5)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.py"
        path.write_text(
            '"""The smallest predicted remaining time first."""\n\n'
            'SEES = ("predicted", "age")\nSHAPE = "falling"\n\n\n'
            "def rank(predicted, age):\n    remaining = predicted - age\n    return remaining\n"
        )
        for load in LOADS:
            ours("sprpt", load, 1, 10_000, str(path))
            times = interleave(
                repetitions,
                built_in=lambda k, u=load: ours("sprpt", u, SEED + k, jobs),
                file=lambda k, u=load: ours("sprpt", u, SEED + k, jobs, str(path)),
            )
            rows.append(
                {
                    "load": load,
                    "built in, ns/job": statistics.median(times["built_in"]) / jobs / (1 + WARM_UP) * 1e9,
                    "policy file, ns/job": statistics.median(times["file"]) / jobs / (1 + WARM_UP) * 1e9,
                    "speed of the file / built in": median_ratio(times["built_in"], times["file"]),
                }
            )
    return rows


def threads(quick: bool) -> list[dict[str, Any]]:
    """Eight replications, one after the other and in two threads: wall-clock time."""
    jobs, repetitions, replications = (300_000, 3, 8) if quick else (2_000_000, 5, 8)
    rows = []
    for policy in PREDICTIONS:
        load, joint = 0.8, law(policy)

        def replicate(workers: int, policy=policy, load=load, joint=joint) -> float:
            def one(k: int) -> float:
                return simulate(joint, load, policy, SEED + k, jobs)["mean_response"]

            with ThreadPoolExecutor(workers) as pool:
                seconds, means = wall(lambda: list(pool.map(one, range(replications))))
            for mean in means:
                check("openqueues in threads", policy, load, mean, jobs)
            return seconds

        replicate(2)
        times = interleave(repetitions, one=lambda k: replicate(1), two=lambda k: replicate(2))  # noqa: B023
        rows.append(
            {
                "policy": policy,
                "load": load,
                "cores": os.cpu_count(),
                "one thread, s": statistics.median(times["one"]),
                "two threads, s": statistics.median(times["two"]),
                "speed-up": median_ratio(times["one"], times["two"]),
            }
        )
    return rows


def _environment() -> str:
    """The Python of the peers' own environment, made by uv from the block at the head of peers.py."""
    root = PEERS.parent.parent
    uv = shutil.which("uv") or str(root / ".uv" / "bin" / "uv")
    subprocess.run([uv, "sync", "--quiet", "--script", PEERS], check=True)
    find = [uv, "python", "find", "--script", PEERS]
    found = subprocess.run(find, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def _peer(python: str, peer: str, policy: str, load: float, jobs: int, seed: int) -> float:
    """Jobs a second of CPU time of one checked run."""
    arguments = [python, PEERS, peer, policy, load, jobs, seed]
    output = subprocess.run([*map(str, arguments)], check=True, capture_output=True, text=True)
    result = json.loads(output.stdout.strip().splitlines()[-1])
    check(peer, policy, load, result["mean"], jobs)
    return result["jobs"] / result["cpu"]
