"""`openqueues claim`: is a policy better than every one that sees no more? Run anew, where nobody could tune to it.

The seeds, and further points of the grid, follow from the content of the policy's file and a public salt: to change
them is to change the policy. Its file may hold nothing but a policy (plain.py), counts as what it sees makes it
(seeing.py), and runs behind walls (sandbox.py), apart from those that it is compared with.

A new best needs, at the headline point, a one-sided 99% limit of the paired improvement above 0 over every policy of
the entry that sees no more, those with records among them; no replication that is unstable; and no smaller share
completed. At the further points it must run, and be stable where the best before is.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
from openqueues import plain, plan, records, registry, results, sandbox, seeing
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
    command.add_argument(
        "--again", action="store_true", help="make a record's evidence again and compare; nothing is written"
    )


def run(chosen: argparse.Namespace) -> int:
    """Verify a claim and record it; 0: a new best, or recorded already, 1: none, InputError for one against the rules.

    With --again, 0: the evidence of its record came out again, 1: it did not.
    """
    entry = registry.entry(chosen.entry)
    if chosen.replications < 5:
        raise InputError(f"--replications is {chosen.replications}: give at least 5.")
    policy, file = _policy(entry, chosen.policy)
    name, digest, known = plan.label(entry, policy), _digest(policy, file), records.read(entry)
    kept = next((one for one in known if (one.digest, one.version) == (digest, entry.version)), None)
    if chosen.again:
        return _again(entry, policy, file, chosen, kept, known)
    if kept is not None:
        other = "" if kept.policy == name else f" as {kept.policy}, which has the same content"
        print(f"{name} is recorded already{other}, since {kept.date}: nothing is written.")
        return 1 if other else 0
    results.writable(entry.folder)
    found = verify(entry, policy, file, chosen, known)
    print(found.text)
    if found.record is None:
        return 1
    if _digest(policy, file) != digest:
        raise InputError(f"{file.name} has changed while it was run: run the same command again.")
    own = entry.folder / "policies" / file.name
    new = policies.is_path(policy) and not own.is_file()
    if new:
        results.replace(own, lambda target: Path(target).write_bytes(file.read_bytes()))
    try:
        written = records.append(entry, found.record, known)
    except BaseException:
        if new:
            own.unlink()
        raise
    print(f"Written: {from_here(own)}" if new else f"Already there: {from_here(file)}")
    print(f"Recorded: {from_here(written)}")
    return 0


def _again(entry: Entry, policy: str, file: Path, chosen: argparse.Namespace, kept, known: list) -> int:
    """Run the verification of a record as it was run, against the policies of now but for those recorded later."""
    name = plan.label(entry, policy)
    if kept is None:
        raise InputError(f"{entry.slug} has no record of version {entry.version} of what {name} is now.")
    experiment = entry.experiment(entry.headline.experiment)
    tier = next((tier for tier in reversed(TIERS) if experiment.tier(tier).jobs == kept.jobs), None)
    if tier is None:
        raise InputError(f"no tier of {entry.slug} has the {kept.jobs} jobs of the record: it cannot be run again.")
    as_it_was = argparse.Namespace(**(vars(chosen) | {"tier": tier, "replications": kept.replications}))
    found = verify(entry, policy, file, as_it_was, known[: known.index(kept)], known[known.index(kept) + 1 :])
    print(found.text)
    made = {} if found.record is None else msgspec.structs.asdict(found.record)
    wanted = msgspec.structs.asdict(kept)
    changed = [key for key in wanted if key not in ("date", "policy") and wanted[key] != made.get(key)]
    for key in changed if made else ():
        print(f"{key}: {wanted[key]} is recorded, {made[key]} came out")
    print(f"The evidence of {kept.date} {'came out again' if not changed else 'did not come out again'}.")
    return 1 if changed else 0


@dataclass(frozen=True)
class Finding:
    """What a verification found, in a sentence; the record of a new best."""

    text: str
    record: records.Record | None = None


def verify(
    entry: Entry, policy: str, file: Path, chosen: argparse.Namespace, known: Sequence = (), later: Sequence = ()
) -> Finding:
    """Run a policy, as `_policy` gives it, and those that see no more on seeds that follow from its content.

    known: records whose policies it has to beat, too; later: those that came after it, whose policies are left out.
    Raises InputError for an entry without a headline, a file that breaks the contract or cannot be run, and where
    nothing is there to compare with.
    """
    if entry.headline is None:
        raise InputError(f"{entry.slug} has no headline point, so nothing can be claimed of it.")
    name, kind = plan.label(entry, policy), _information(entry, policy, file)
    if name in (entry.policies.floor, entry.policies.ceiling):
        raise InputError(f"'{name}' is the floor or the ceiling of {entry.slug}: others are measured by it.")
    experiment = entry.experiment(entry.headline.experiment)
    recorded = [one.policy for one in known if one.version == entry.version]
    left_out = {one.policy for one in later} - set(recorded) | {name}
    others = [
        other
        for other in dict.fromkeys([*entry.policies_of(experiment), *recorded])
        if other not in left_out and INFORMATION.index(registry.information(entry, other)) <= INFORMATION.index(kind)
    ]
    if not others:
        raise InputError(f"{entry.slug} has no policy that sees as little as '{name}' ({kind}) to compare it with.")
    digest = _digest(policy, file)
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
        limits = {"seconds": chosen.seconds, "gigabytes": chosen.gigabytes, "readable": [file]}
        try:
            answer = json.loads(sandbox.run(command, given=json.dumps(request), trust=trust, **limits))
        except ValueError:
            raise InputError(f"policy '{policy if trust else name}' cannot be measured: no answer came back.") from None
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


def _information(entry: Entry, policy: str, file: Path) -> str:
    """The class that a policy is compared in; InputError for a file that does more than decide, or sees more."""
    name, read = plan.label(entry, policy), registry.policy(entry, policy)
    plain.plain(file, read.shape)
    least, why = seeing.least(entry, policy)
    if INFORMATION.index(read.information) < INFORMATION.index(least):
        said = f"says INFORMATION = '{read.told}'" if read.told else f"counts as '{read.information}'"
        raise InputError(
            f"policy '{name}' {said}, but {why} makes it '{least}': write "
            f"INFORMATION = '{least}' in its file, so that it is compared with those that see as much."
        )
    return read.information


def _digest(policy: str, file: Path) -> str:
    """What the seeds follow from: the content of a policy's file and, of a specification, the parameters."""
    parameters = "" if policies.is_path(policy) else policy.partition(":")[2]
    return blake2b(file.read_bytes() + parameters.encode(), digest_size=16).hexdigest()


def stale(entry: Entry) -> list[str]:
    """Complaints about records of the entry as it is, whose evidence cannot be of the policies as they are."""
    said = []
    for one in records.read(entry) if entry.headline is not None else ():
        if one.version != entry.version:
            continue
        where = f"{entry.slug}/records.toml: the record of '{one.policy}'"
        try:
            policy, file = _policy(entry, one.policy)
            kind = _information(entry, policy, file)
        except InputError as error:
            said.append(f"{where} does not stand: {error}")
            continue
        experiment, point = entry.experiment(entry.headline.experiment), entry.headline_point()
        if one.digest != _digest(policy, file):
            said.append(f"{where} is of another content of its file: undo the change, or give the file another name.")
        elif one.points != [other.text for other in _further(experiment.points(), point, one.digest)]:
            said.append(f"{where} was not run at the points that follow from its digest: raise version, or claim anew.")
        if (one.metric, one.information) != (entry.main.name, kind):
            said.append(f"{where} is of {one.metric} among {one.information}, not of {entry.main.name} among {kind}.")
        if not 0 < one.at_least <= one.improvement:
            said.append(f"{where} is none: it says that its improvement is at least {one.at_least:g}.")
    return said


def _policy(entry: Entry, given: str) -> tuple[str, Path]:
    """(what is run, the file it comes from) of a file by its path, or of one of the policies that the entry runs."""
    if policies.is_path(given):
        path, parameters = policies.split_path(given)
        if parameters:
            raise InputError(f"'{given}': write the values into PARAMETERS of {Path(path).name}.")
        file = policies.path_of(given).resolve()
        own = entry.folder / "policies" / file.name
        if own.is_file() and own.read_bytes() == file.read_bytes():  # of a claim that did not come to its end, say
            file = own.resolve()
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
