"""What a user waits for: a number by analysis, start-up, one cell, the Snakefile, the first compile."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import PREDICTIONS, WrongResult, wall
from reference import ACCURACY, mean_response

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
TABLE_1 = {
    "loads": [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
    "policies": ["fcfs", "sjf", "spjf", "psjf", "pspjf", "srpt", "sprpt"],
}

# One number in a fresh process. Another law before it loads what is loaded on first use, and shares no table;
# another load after it finds the law's tables made.
ONE_NUMBER = """
import json, sys, time
from openqueues.models.analysis import mean_response
from openqueues.models.laws import joint_law
predictions, policy, load = *sys.argv[1:3], float(sys.argv[3])
mean_response(joint_law("weibull:shape=0.7", predictions), 0.6, policy)
joint = joint_law("exponential", predictions)
began = time.perf_counter()
result = mean_response(joint, load, policy)
cold = time.perf_counter() - began
began = time.perf_counter()
mean_response(joint, 0.77, policy)
warm = time.perf_counter() - began
print(json.dumps([cold, warm, result.mean_response, result.error]))
"""

COMPILE = """
import json, time
began = time.perf_counter()
from openqueues.models.laws import joint_law
from openqueues.models.queues import simulate
imported = time.perf_counter()
joint = joint_law("exponential", "exponential")
for policy in {policies}:
    simulate(joint, 0.5, policy, 1, 100)
print(json.dumps([imported - began, time.perf_counter() - imported]))
"""

TINY = {
    "problem.toml": """
title = "One queue"
summary = "The smallest cell, to time what comes before its work."
statement = "None."
answers = ["2.1-b"]
version = 1
kind = "question"
known = "All."
improve = "Not needed."
[status]
state = "settled"
date = 2026-01-01
note = "Not a question."
[[references]]
key = "none"
text = "None."
reason = "None."
[[metrics]]
name = "mean_response"
unit = "mean sizes"
direction = "min"
main = true
[policies]
floor = "fcfs"
ceiling = "srpt"
references = []
[headline]
experiment = "one"
point = {load = 0.5}
[[experiments]]
name = "one"
title = "One"
x = "load"
fixed = {sizes = "exponential", predictions = "exact"}
grid = {load = [0.5]}
[experiments.tiers.smoke]
jobs = 100
replications = 2
[[anchors]]
name = "M/M/1"
point = {sizes = "exponential", predictions = "exact", load = 0.5}
policy = "fcfs"
metric = "mean_response"
value = 2.0
why = "1 / (1 - load)"
""",
    "problem.py": '"""One queue."""\n\nfrom openqueues.models.mg1 import simulate  # noqa: F401\n',
}


def _child_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _process(arguments: list[Any], **environment: str) -> tuple[float, str]:
    """Wall-clock seconds of a command from the repository's root, and its output; raises if it fails."""
    command = [str(argument) for argument in arguments]
    # Warm caches include Python's own, which some shells switch off.
    environment = {**os.environ, **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds, done = wall(lambda: subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return seconds, done.stdout


def analysis(quick: bool) -> list[dict[str, Any]]:
    """Numbers without simulation: one number once imported, Table 1 with start-up."""
    repetitions = 3 if quick else 9
    rows = []
    for what, predictions, policy, load, limit in (
        ("one SRPT number", "exact", "srpt", 0.8, 0.0002),
        ("one SPRPT number", "exponential", "sprpt", 0.8, 0.015),
    ):
        cold_times, warm_times = [], []
        for _ in range(repetitions):
            _, text = _process([sys.executable, "-c", ONE_NUMBER, predictions, policy, load])
            cold, warm, value, error = json.loads(text)
            expected = mean_response(policy, load)
            if not (abs(value - expected) <= error + ACCURACY and error < 1e-6):
                raise WrongResult(f"{what}: {value} with error {error}, but it is {expected}")
            cold_times.append(cold)
            warm_times.append(warm)
        for state, times in (("tables not yet made", cold_times), ("another load, tables made", warm_times)):
            seconds = statistics.median(times)
            rows.append({"what": f"{what}, {state}", "seconds": seconds, "target": limit})
    command = [BIN / "openqueues", "mg1", "--sizes", "exponential", "--predictions", "exponential", "--json"]
    command += ["--load", *TABLE_1["loads"]]
    for policy in TABLE_1["policies"]:
        command += ["--policy", policy]
    times = []
    for _ in range(repetitions):
        seconds, text = _process(command)
        numbers = json.loads(text)
        for row in numbers:
            if row["policy"] in PREDICTIONS:
                expected = mean_response(row["policy"], row["load"])
                if not abs(row["mean_response"] / expected - 1.0) <= 1e-6:
                    raise WrongResult(f"Table 1: {row} but it is {expected}")
        if len(numbers) != len(TABLE_1["loads"]) * len(TABLE_1["policies"]):
            raise WrongResult(f"Table 1 has {len(numbers)} numbers")
        times.append(seconds)
    what = f"Table 1, {len(numbers)} numbers, with start-up"
    rows.append({"what": what, "seconds": statistics.median(times), "target": 2.0})
    return rows


def start(quick: bool) -> list[dict[str, Any]]:
    """Wall-clock seconds from warm caches."""
    repetitions = 3 if quick else 9
    with tempfile.TemporaryDirectory() as folder:
        entry = Path(folder) / "problems" / "tiny"
        entry.mkdir(parents=True)
        for name, text in TINY.items():
            (entry / name).write_text(text)
        cell = [BIN / "openqueues", "run", "tiny", "--tier", "smoke", "--policy", "srpt", "--results"]
        dry = [BIN / "snakemake", "--dry-run", "--quiet", "all"]
        commands: list[tuple[str, float | None, list[Any], dict[str, str]]] = [
            ("openqueues --help", 0.3, [BIN / "openqueues", "--help"], {}),
            (
                "one cell of 200 jobs, start to written file",
                1.0,
                [*cell, Path(folder) / "results{k}"],
                {"OPENQUEUES_PROBLEMS": str(entry.parent)},
            ),
            ("parsing the Snakefile, all entries", 1.5, [BIN / "snakemake", "--list-rules"], {}),
            ("snakemake --dry-run, tier smoke", None, [*dry, "--config", "tier=smoke"], {}),
            ("bare python", None, [sys.executable, "-c", "pass"], {}),
            ("bare snakemake --version", None, [BIN / "snakemake", "--version"], {}),
        ]
        rows = []
        for what, limit, command, environment in commands:
            times, cpu_times = [], []
            for k in range(repetitions + 1):
                fresh = [str(word).format(k=k) for word in command]  # a cell that is there is not made again
                before = _child_cpu()
                times.append(_process(fresh, **environment)[0])
                cpu_times.append(_child_cpu() - before)
            seconds, cpu_seconds = statistics.median(times[1:]), statistics.median(cpu_times[1:])
            rows.append({"what": what, "seconds": seconds, "CPU seconds": cpu_seconds, "target": limit})
    return rows


def compiling(quick: bool) -> list[dict[str, Any]]:
    """Seconds to import and to compile with an empty cache, and again in a second process with the cache."""
    cases = {
        "fcfs": (["fcfs"], 15.0),
        "sprpt (falling)": (["sprpt"], 15.0),
        "bounce (general)": (["bounce"], 15.0),
        "twelve policies": (
            "fcfs lcfs ps las sjf psjf srpt spjf pspjf sprpt bounce onebit".split(),
            None,
        ),
    }
    if quick:
        del cases["twelve policies"]
    rows = []
    for what, (policies, limit) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            fresh = {"OPENQUEUES_CACHE": f"{folder}/kernels", "NUMBA_CACHE_DIR": f"{folder}/numba"}
            cold, warm = (
                json.loads(_process([sys.executable, "-c", COMPILE.format(policies=policies)], **fresh)[1])
                for _ in range(2)
            )
        rows.append(
            {
                "what": what,
                "import, s": cold[0],
                "first compile, s": cold[1],
                "second process, s": warm[1],
                "target": limit,
            }
        )
    return rows
