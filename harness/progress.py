"""What `openqueues run` does and shows: cells one after another, a line on stderr for each one finished."""

from __future__ import annotations

import argparse
import sys
import time

from openqueues import plan, registry, results, runner
from openqueues.entry import Entry, Experiment
from openqueues.models.errors import InputError


def run(chosen: argparse.Namespace) -> int:
    """Run the chosen cells; 0 when all are there, 1 when one failed and --keep-going was not given.

    Where the process that ran them was killed (`chosen.killed`), those that it has not made are marked as failed.
    """
    entry = registry.entry(chosen.entry)
    if chosen.cores < 1:
        raise InputError(f"--cores is {chosen.cores}, but must be at least 1.")
    results.writable(chosen.results)
    cells = _cells(entry, chosen)
    width, failed, started = len(str(len(cells))), False, time.perf_counter()
    for number, (experiment, policy) in enumerate(cells, start=1):
        head = f"[{number:{width}}/{len(cells)}] {entry.slug} {experiment.name} {plan.label(entry, policy)}"
        outcome = runner.run_cell(
            entry,
            experiment,
            policy,
            chosen.tier,
            chosen.results,
            chosen.cores,
            chosen.force,
            chosen.keep_going,
            report=_meter(head),
            killed=chosen.killed,
        )
        _clear()
        if outcome.state == "failed":
            failed = True
            kept = "rows marked failed" if chosen.keep_going else "nothing written"
            more = f", and {len(outcome.messages) - 1} more" if len(outcome.messages) > 1 else ""
            what = f"{entry.slug} {experiment.name} {outcome.cell.policy} failed"
            print(f"openqueues: {what}: {outcome.messages[0].rstrip('.')}{more} ({kept}).", file=sys.stderr)
        else:
            took = "is up to date" if outcome.state == "kept" else f"{outcome.seconds:.1f} s"
            print(f"{head}: {took}", file=sys.stderr, flush=True)
    if len(cells) > 1:
        print(
            f"{len(cells)} cells in {time.perf_counter() - started:.1f} s, results in {chosen.results}",
            file=sys.stderr,
        )
    return 1 if failed and not chosen.keep_going else 0


def _cells(entry: Entry, chosen: argparse.Namespace) -> list[tuple[Experiment, str]]:
    """(experiment, policy) of everything to run; InputError when a name is unknown or nothing is left."""
    experiments = [entry.experiment(name) for name in chosen.experiment or []] or entry.experiments
    cells = []
    for experiment in experiments:
        known = entry.policies_of(experiment)
        wanted = [policy for policy in chosen.policy or known if _runs(entry, experiment, policy, chosen)]
        cells += [(experiment, policy) for policy in wanted]
    if not cells:
        raise InputError(f"nothing to run: {entry.slug} has no cell with these experiments and policies.")
    return cells


def _runs(entry: Entry, experiment: Experiment, policy: str, chosen: argparse.Namespace) -> bool:
    """Whether an experiment runs this policy: a listed one, or a new one that the user names.

    A policy that other experiments of the entry list is skipped where it is not listed, unless the
    experiment is named too.
    """
    if policy in entry.policies_of(experiment):
        return True
    registry.policy(entry, policy)  # says what is wrong with a policy that is not listed
    listed = any(policy in entry.policies_of(other) for other in entry.experiments)
    return bool(chosen.experiment) or not listed


def _meter(head: str):
    """On a terminal, one line that is overwritten as replications finish; elsewhere nothing until the end."""
    if not sys.stderr.isatty():
        return lambda done, total: None
    started = time.perf_counter()

    def report(done: int, total: int) -> None:
        spent = time.perf_counter() - started
        left = spent / done * (total - done)
        print(
            f"\r{head}: {done}/{total} replications, {left:.0f} s left\x1b[K",
            end="",
            file=sys.stderr,
            flush=True,
        )

    return report


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
