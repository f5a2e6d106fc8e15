"""`openqueues claim`: is a policy better than every one that sees no more? Run anew, where nobody could tune to it.

The seeds, and further points of the grid, follow from the content of the policy's file and a public salt: to change
them is to change the policy. The policy runs behind walls (sandbox.py), apart from those that it is compared with.

A new best needs, at the headline point, a one-sided 99% limit of the paired improvement above 0 over every policy of
the entry that sees no more; no replication that is unstable; and no smaller share completed. At the further points
it must run, and be stable where the best before is.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import random
import sys
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from openqueues import plan, records, registry, results, sandbox
from openqueues.entry import TIERS, Entry, Point
from openqueues.listing import from_here
from openqueues.models import policies
from openqueues.models.errors import InputError
from openqueues.models.policies import INFORMATION
from openqueues.models.streams import derive_seed
from openqueues.statistics import mean_and_halfwidth, student

SALT = "openqueues records 1"
FURTHER, FEW = 3, 5  # further points, and replications at each
TWO_SIDED = 0.98  # a two-sided level of 98% is a one-sided one of 99%
COMPLETED = "completed_share"
LESS = 0.001  # of the share completed is no loss
SLOWER, START = 50.0, 5.0  # times the slowest of the others, and seconds: more is no policy but a computation
_REACHING = frozenset(
    "open exec eval compile input breakpoint globals locals vars getattr setattr delattr object type super".split()
)
_CONSTANT = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("entry", metavar="ENTRY", help="name of an entry, or id of the question it answers")
    command.add_argument("policy", metavar="FILE.py", help="a policy's file, or one that the entry runs")
    command.add_argument("--tier", choices=TIERS, default="standard", help="whose jobs to run (default: standard)")
    command.add_argument(
        "--replications", type=int, default=30, metavar="N", help="paired, at the headline point (default: 30)"
    )
    command.add_argument("--seconds", type=float, default=600.0, metavar="S", help="limit of time (default: 600)")
    command.add_argument("--gigabytes", type=float, default=8.0, metavar="G", help="limit of memory (default: 8)")
    command.add_argument("--trust", action="store_true", help="run the file without walls around it")


def run(chosen: argparse.Namespace) -> int:
    """Verify a claim and record it; 0: a new best, 1: none, InputError for a policy that breaks a rule."""
    entry = registry.entry(chosen.entry)
    if chosen.replications < 5:
        raise InputError(f"--replications is {chosen.replications}: give at least 5.")
    policy, file = _policy(entry, chosen.policy)
    found = verify(entry, policy, file, chosen)
    print(found.text)
    if found.record is None:
        return 1
    own = entry.folder / "policies" / file.name
    new = policies.is_path(policy) and not own.is_file()
    if new:
        results.replace(own, lambda target: Path(target).write_bytes(file.read_bytes()))
    try:
        kept = records.append(entry, found.record)
    except BaseException:
        if new:
            own.unlink()
        raise
    print(f"Written: {from_here(own)}" if new else f"Already there: {from_here(file)}")
    print(f"Recorded: {from_here(kept)}")
    return 0


@dataclass(frozen=True)
class Finding:
    """What a verification found, in a sentence; the record of a new best."""

    text: str
    record: records.Record | None = None


def verify(entry: Entry, policy: str, file: Path, chosen: argparse.Namespace) -> Finding:
    """Run a policy, as `_policy` gives it, and those that see no more on seeds that follow from its content.

    Raises InputError for an entry without a headline, a file that breaks the contract or cannot be run, and where
    nothing is there to compare with.
    """
    if entry.headline is None:
        raise InputError(f"{entry.slug} has no headline point, so nothing can be claimed of it.")
    name, kind = plan.label(entry, policy), registry.information(entry, policy)
    _plain(file)
    if name in (entry.policies.floor, entry.policies.ceiling):
        raise InputError(f"'{name}' is the floor or the ceiling of {entry.slug}: others are measured by it.")
    experiment = entry.experiment(entry.headline.experiment)
    others = [
        other
        for other in entry.policies_of(experiment)
        if other.partition(":")[0] != name.partition(":")[0]
        and INFORMATION.index(registry.information(entry, other)) <= INFORMATION.index(kind)
    ]
    if not others:
        raise InputError(f"{entry.slug} has no policy that sees as little as '{name}' ({kind}) to compare it with.")
    parameters = "" if policies.is_path(policy) else policy.partition(":")[2]
    digest = blake2b(file.read_bytes() + parameters.encode(), digest_size=16).hexdigest()
    headline = entry.headline_point()
    further = _further(experiment.points(), headline, digest)
    runs = _runs(entry, headline, digest, chosen.replications)
    tests = [run for point in further for run in _runs(entry, point, digest, FEW)]
    jobs = experiment.tier(chosen.tier).jobs

    def measure(policy: str, runs: list, trust: bool, check: bool = False) -> list:
        said = f"{policy if trust else name}: {len(runs)} replications"
        print(said, file=sys.stderr, flush=True)
        request = {"entry": entry.slug, "policy": policy, "jobs": jobs, "check": check, "runs": runs}
        command = [sys.executable, "-m", "openqueues.measuring"]
        limits = {"seconds": chosen.seconds, "gigabytes": chosen.gigabytes}
        try:
            answer = json.loads(sandbox.run(command, given=json.dumps(request), trust=trust, **limits))
        except InputError as error:
            raise InputError(f"policy '{policy if trust else name}' cannot be measured: {error}") from None
        if answer["complaints"]:
            raise InputError(" ".join(answer["complaints"]))
        failed = next((message for _, status, message, _ in answer["runs"] if status == "failed"), None)
        if failed is not None:
            raise InputError(f"policy '{policy if trust else name}' fails: {failed}")
        return answer["runs"]

    mine = measure(policy, runs + tests, chosen.trust, check=True)
    theirs = {other: measure(other, runs, True) for other in others}
    return _compare(entry, name, kind, digest, chosen, mine, theirs, further, lambda best: measure(best, tests, True))


def _compare(entry, name, kind, digest, chosen, mine, theirs, further, test) -> Finding:
    """Apply the rules that the head of this module states."""
    n, main = chosen.replications, entry.main
    sign = 1.0 if main.direction == "min" else -1.0
    values = lambda runs, metric: np.array([one[0].get(metric, np.nan) for one in runs[:n]])  # noqa: E731
    stable = {other: runs for other, runs in theirs.items() if all(one[1] == "ok" for one in runs)}
    if any(one[1] != "ok" for one in mine[:n]):
        return Finding(f"No record: {name} is unstable at the headline point.")
    if not stable:
        raise InputError(f"{entry.slug}: no policy that sees as little as '{name}' is stable at the headline point.")
    best = min(stable, key=lambda other: sign * values(stable[other], main.name).mean())
    gaps = {other: sign * (values(runs, main.name) - values(mine, main.name)) for other, runs in stable.items()}
    mean, halfwidth = mean_and_halfwidth(values(mine, main.name))
    before = float(values(stable[best], main.name).mean())
    limit = min(gap.mean() - student(TWO_SIDED, n) * gap.std(ddof=1) / np.sqrt(n) for gap in gaps.values())
    gain, least = gaps[best].mean() / abs(before), limit / abs(before)
    figures = f"{main.name} {mean:.6g} +- {halfwidth:.2g} against {before:.6g} of {best}"
    if not limit > 0:
        return Finding(
            f"No record: {name} has {figures}: {100 * gain:+.3g}%, at least {100 * least:+.3g}% with 99% confidence "
            "over every policy that sees no more; a new best needs more than 0."
        )
    shares = [float(np.mean(values(runs, COMPLETED))) for runs in (mine, stable[best])]
    if shares[0] < shares[1] - LESS:
        return Finding(f"No record: {name} completes a share of {shares[0]:.4f}, {best} {shares[1]:.4f}.")
    times = [float(np.median([one[3] for one in runs])) for runs in (mine[:n], *theirs.values())]
    if times[0] > SLOWER * max(times[1:]) + START:
        return Finding(
            f"No record: a replication of {name} takes {times[0]:.0f} s, others at most {max(times[1:]):.2g}."
        )
    for point, was, now in zip(np.repeat(further, FEW), test(best), mine[n:], strict=True):
        if was[1] == "ok" and now[1] != "ok":
            return Finding(f"No record: {name} is unstable at {point.text}, where {best} is stable.")
    record = records.Record(
        policy=name,
        digest=digest,
        information=kind,
        date=datetime.date.today(),
        version=entry.version,
        metric=main.name,
        mean=mean,
        halfwidth=float(halfwidth),
        beats=best,
        improvement=float(gain),
        at_least=float(least),
        jobs=entry.experiment(entry.headline.experiment).tier(chosen.tier).jobs,
        replications=n,
        points=[point.text for point in further],
        libraries=plan.libraries(),
    )
    better = f"{100 * gain:.3g}% better, at least {100 * least:.3g}% with 99% confidence"
    return Finding(f"A new best among those that see no more than {kind}: {name} has {figures}, {better}.", record)


def _policy(entry: Entry, given: str) -> tuple[str, Path]:
    """(what is run, the file it comes from) of a file by its path, or of one of the policies that the entry runs."""
    if policies.is_path(given):
        path, parameters = policies.split_path(given)
        if parameters:
            raise InputError(f"'{given}': write the values into PARAMETERS of {Path(path).name}.")
        file = policies.path_of(given).resolve()
        return str(file), file
    known = entry.policies_of(entry.experiment(entry.headline.experiment)) if entry.headline else []
    if given in entry.own_policies:
        file = (entry.folder / "policies" / f"{given}.py").resolve()
        return str(file), file
    if given not in known:
        raise InputError(f"'{given}' is neither a file nor a policy that {entry.slug} runs: give FILE.py.")
    return given, registry.policy_file(entry, given)


def _further(points: list[Point], headline: Point, digest: str) -> list[Point]:
    """Points of the grid beside the headline, chosen by the digest; in their order."""
    others = [point for point in points if point.index != headline.index]
    chosen = random.Random(f"{SALT} {digest}").sample(others, min(FURTHER, len(others)))
    return sorted(chosen, key=lambda point: point.index)


def _runs(entry: Entry, point: Point, digest: str, n: int) -> list[list]:
    seeds = [derive_seed(SALT, digest, entry.slug, entry.version, point.text, number) for number in range(n)]
    return [[point.index, point.parameters, seed] for seed in seeds]


def _plain(file: Path) -> None:
    """Raise InputError for a file that does more, when it is loaded, than to define constants and functions.

    Nor may its functions reach for more than their arguments; the walls are for what slips through.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        fine = isinstance(node, ast.Import | ast.ImportFrom)
        fine |= isinstance(node, ast.FunctionDef) and not node.decorator_list and not node.args.defaults
        fine |= isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Assign):
            fine = all(isinstance(part, _CONSTANT) for part in ast.walk(node.value))
        if not fine:
            raise InputError(
                f"{file.name}, line {node.lineno}: a policy that is claimed may hold constants, functions without "
                "decorators or defaults, and imports of math and numpy: move what is computed into a function."
            )
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if isinstance(node, ast.alias):
            name = node.name.rpartition(".")[2]
        place = f"{file.name}, line {node.lineno}" if name else ""
        if name in _REACHING or name.startswith("__"):
            raise InputError(f"{place}: a policy decides from its arguments alone: it may not use '{name}'.")
        if name == "random" and not isinstance(node, ast.Name):
            raise InputError(
                f"{place}: a policy may not draw numbers of its own, for the same seed must give the same decisions: "
                "use the column of random numbers of the model, where it has one."
            )
