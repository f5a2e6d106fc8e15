"""What a claim runs behind walls: `python -m openqueues.measuring`, a request as JSON on stdin, answers on stdout.

    {"entry": slug, "policy": file, "jobs": n, "check": bool, "runs": [[point index, parameters, seed], ...]}

The answer holds complaints about the policy (none are looked for unless `check`), and for each run the values,
status and message of one replication and its time in seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time

from openqueues import check, registry, runner
from openqueues.entry import Point


def answer(request: dict) -> dict:
    """The answer to a request; both are described above."""
    entry = registry.entry(request["entry"])
    problem = registry.problem(entry)
    complaints = check.of_policy(entry, problem, request["policy"]) if request["check"] else []
    if complaints:
        return {"complaints": complaints, "runs": []}
    argument = registry.policy_argument(entry, request["policy"])
    runs = []
    for index, parameters, seed in request["runs"]:
        started = time.perf_counter()
        values, status, message = runner.simulate(
            entry, problem, Point(index, parameters), argument, seed, request["jobs"]
        )
        runs.append([values, status, message, time.perf_counter() - started])
    return {"complaints": [], "runs": runs}


if __name__ == "__main__":
    # What else is printed, by compiled code too, must not pass for the answer.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        json.dump(answer(json.load(sys.stdin)), out)
