"""A made-up entry for tests of the harness: no model is compiled, and its exact values are simple."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROBLEM_TOML = """\
title = "A tiny entry"
summary = "One sentence."
statement = "A statement."
answers = ["2.1-a"]
metrics = [{ name = "mean_response", unit = "mean sizes" }]
policies = { floor = "fcfs", ceiling = "srpt", references = ["sprpt"] }
headline = { experiment = "loads", point = { load = 0.5 } }

[[experiments]]
name = "loads"
title = "Load"
fixed = { sizes = "exponential" }
grid = { load = [0.5, 0.8] }
[experiments.tiers]
smoke = { jobs = 1000, replications = 3 }

[[expected]]
experiment = "loads"
metric = "mean_response"
source = "Table 9"
made_by = "formula"
rows = "load"
columns = ["fcfs", "sprpt"]
values = \"\"\"
0.50 2.000 1.600
0.80 5.000 3.500
\"\"\"

[[anchors]]
name = "M/M/1"
point = { load = 0.5 }
policy = "fcfs"
metric = "mean_response"
value = 2.0
why = "1/(1 - load)"
"""

PROBLEM_PY = '''\
"""Mean response times that are known, with noise of 1%."""

import random

SHARE = {"fcfs": 1.0, "sprpt": 0.6, "srpt": 0.4}


def mean(point, policy):
    return 1 + SHARE.get(policy, 0.5) * point["load"] / (1 - point["load"])


def simulate(point, policy, seed, jobs):
    if policy.endswith("raises.py"):
        return {"mean_response": 1 / 0}
    if policy.endswith("nan.py"):
        return {"mean_response": float("nan")}
    if policy.endswith("text.py"):
        return {"mean_response": "fast"}
    draw = random.Random(seed)
    unstable = float(policy.endswith("drifts.py"))
    value = mean(point, policy) * (1 + draw.gauss(0, 0.01))
    return {"mean_response": value, "completed_share": 1.0, "unstable": unstable}


def exact(point, policy):
    return None if policy.endswith(".py") else {"mean_response": (mean(point, policy), 1e-9)}
'''

POLICY = '''\
"""First come, first served."""

SEES = ("arrival",)
SHAPE = "falling"


def rank(arrival):
    return arrival
'''


def write(folder: Path, slug: str = "tiny", toml: str = PROBLEM_TOML, policies: tuple[str, ...] = ()) -> Path:
    """Write the entry `slug` into a folder of entries, with these policy files; returns its own folder."""
    entry = folder / slug
    (entry / "policies").mkdir(parents=True)
    (entry / "problem.toml").write_text(toml, encoding="utf-8")
    (entry / "problem.py").write_text(PROBLEM_PY, encoding="utf-8")
    for policy in policies:
        (entry / "policies" / f"{policy}.py").write_text(POLICY, encoding="utf-8")
    return entry


def openqueues(*arguments: object, problems: Path | None = None) -> subprocess.CompletedProcess:
    """Run the command line in a fresh process, on the entries of a folder or on the real ones."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENQUEUES_PROBLEMS"}
    if problems is not None:
        environment["OPENQUEUES_PROBLEMS"] = str(problems)
    command = [sys.executable, "-m", "openqueues", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
