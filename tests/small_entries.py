"""Two made-up entries for tests of the workflow and the book: cheap to run, every kind of thing on a page."""

from __future__ import annotations

from pathlib import Path

PROBLEM = '''
"""A made-up model whose mean response time is known: quick, and no library is compiled."""
import random

SHARE = {"fcfs": 1.0, "sprpt": 0.6, "srpt": 0.4}


def mean(point, policy):
    return 1 + SHARE.get(policy, 0.5) * point["load"] / (1 - point["load"])


def simulate(point, policy, seed, jobs):
    if policy.endswith("broken.py"):
        raise RuntimeError("broken on purpose")
    draws = random.Random(seed)
    value = mean(point, policy) * (1 + draws.gauss(0, 0.01))
    return {"mean_response": value, "p99": 4.6 * value, "completed_share": 1.0, "unstable": 0.0}


def exact(point, policy):
    return None if policy.endswith(".py") else {"mean_response": (mean(point, policy), 1e-9)}
'''

COMMON = """
title = "{title}"
summary = "A made-up entry for tests."
statement = "How does $E[T]$ grow with the load, as $$ E[T] = 1 + \\\\frac{{c \\\\rho}}{{1-\\\\rho}}? $$"
kind = "{kind}"
{answers}
known = "Everything."
improve = "Lower the rank of short jobs."

[[metrics]]
name = "mean_response"
unit = "mean sizes"
main = true

[[metrics]]
name = "p99"
unit = "mean sizes"

[policies]
floor = "fcfs"
ceiling = "srpt"
references = ["sprpt"]

[[references]]
key = "none"
text = "No source"
reason = "made up"

[[experiments]]
name = "loads"
title = "Load"
fixed = {{sizes = "exponential", predictions = "exponential"}}
grid = {{load = [0.5, 0.8, 0.9]}}
[experiments.tiers.smoke]
jobs = 1000
replications = 3

[[anchors]]
name = "M/M/1"
point = {{load = 0.5, sizes = "exponential", predictions = "exponential"}}
policy = "fcfs"
metric = "mean_response"
value = 2.0
why = "1/(1 - load)"
"""

QUESTION = """
[status]
state = "partly"
date = 2026-01-01
note = "Made up."

[headline]
experiment = "loads"
point = {load = 0.9}

[[experiments]]
name = "kinds"
title = "Kinds of predictions"
x = "predictions"
fixed = {sizes = "exponential", load = 0.8}
grid = {predictions = ["exact", "exponential"]}
[experiments.tiers.smoke]
jobs = 1000
replications = 3

[[expected]]
experiment = "loads"
metric = "mean_response"
source = "Somebody, abstract"
made_by = "measurement"
assumed = "Loads are ours."
rows = "load"
columns = ["sprpt"]
values = '''
0.5 1.5..2.5
0.8 4..5
'''
"""

REPRODUCTION = """
[[expected]]
experiment = "loads"
metric = "mean_response"
source = "Table 1"
made_by = "formula"
rows = "load"
columns = ["fcfs", "srpt"]
values = '''
0.5 2.0000 1.4000
0.8 5.0000 2.6000
0.9 10.0000 4.5000
'''

[[expected]]
experiment = "loads"
metric = "mean_response"
source = "Table 2"
made_by = "simulation"
noise = 0.004
rows = "load"
columns = ["srpt"]
values = '''
0.5 1.401
0.9 4.602
'''

[[expected]]
experiment = "loads"
metric = "mean_response"
source = "Figure 3"
made_by = "measurement"
assumed = "Sizes are exponential."
rows = "load"
columns = ["fcfs"]
values = '''
0.5 1.5..2.5
0.8 6..7
* ..9.0
'''
"""

BROKEN = '''"""Raises when it is run."""
SEES = ("predicted",)
SHAPE = "falling"


def rank(predicted):
    return predicted
'''


def write(folder: Path, broken: bool = True) -> list[str]:
    """Write the entries below `folder`, if `broken` with two policies that fail; returns their names."""
    kinds = {
        "made-up-question": COMMON.format(title="A question", kind="question", answers='answers = ["2.1-a", "2.2-c"]')
        + QUESTION,
        "made-up-tables": COMMON.format(title="Two tables", kind="reproduction", answers="") + REPRODUCTION,
    }
    for slug, text in kinds.items():
        (folder / slug / "policies").mkdir(parents=True)
        head, mark, tail = text.partition("[[metrics]]")
        (folder / slug / "problem.toml").write_text(head + mark + tail)
        (folder / slug / "problem.py").write_text(PROBLEM)
    if broken:
        (folder / "made-up-question" / "policies" / "broken.py").write_text(BROKEN)
        (folder / "made-up-question" / "policies" / "garbled.py").write_text("def rank(:\n")
    return list(kinds)
