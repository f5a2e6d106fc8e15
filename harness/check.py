"""`openqueues check`: does an entry keep its contract? Every complaint says what to write.

Checked, in this order: the schema; that problem.py can be imported; the policies' files, and that a rank does not
rise where SHAPE says so; that a replication gives the declared metrics, the same ones for the same seed, in threads
too; exact values and bounds; the anchors, by analysis and by simulation; that a policy's decisions do not depend on
what it says it does not see; that the worst instances recorded have the ratios that are written beside them; and that
the records are of the policies as they are. A policy of the LLM engine is handed what it sees and nothing else; of it
the class of information that it claims is tested, too.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from openqueues import attacks, claim, registry, runner
from openqueues.entry import Anchor, Entry, Experiment, Point
from openqueues.models.errors import InputError
from openqueues.models.policies import INFORMATION
from openqueues.models.streams import derive_seed
from openqueues.statistics import student

JOBS = 2_000  # of a replication whose numbers do not matter
ANCHOR_JOBS, ANCHOR_REPLICATIONS = 100_000, 10
ANCHOR_LEVEL = 0.9999  # seeds are fixed: an anchor that passes keeps passing, so this may be strict with us
ANCHOR_DIGITS = 1e-9  # an anchor is exact: relative difference beyond the analysis' own error
RANK_DIGITS = 1e-9  # relative rise of a rank that is rounding
TRACE = 400  # jobs of the trace that tests blindness
FEW = 8  # jobs of the short traces that test it


def check(name: str) -> list[str]:
    """Everything that is wrong with the entry, a sentence each; empty when nothing is."""
    try:
        entry = registry.entry(name)
        problem = registry.problem(entry)
    except InputError as error:
        return [str(error)]
    complaints = _policies(entry)
    broken = {policy for policy, _ in complaints}
    said = [text for _, text in complaints]
    for experiment in entry.experiments:
        by_text: dict[str, list[str]] = {}
        for policy in entry.policies_of(experiment):
            for text in [] if policy in broken else _replication(entry, problem, experiment, policy):
                by_text.setdefault(text, []).append(policy)
        said += [_of(entry, experiment, policies, text) for text, policies in by_text.items()]
    for anchor in entry.anchors:
        said += _anchor(entry, problem, anchor)
    for policy in entry.all_policies:
        if policy not in broken:
            said += blindness(entry, policy)
    return list(dict.fromkeys(said + attacks.stale(entry, problem) + claim.stale(entry)))


def of_policy(entry: Entry, problem: ModuleType, name: str) -> list[str]:
    """Everything that is wrong with one policy of an entry, in the experiment of its headline."""
    said = _policy(entry, name)
    if not said and entry.headline is not None:
        experiment = entry.experiment(entry.headline.experiment)
        said = [_of(entry, experiment, [name], text) for text in _replication(entry, problem, experiment, name)]
    return said or blindness(entry, name)


def _policies(entry: Entry) -> list[tuple[str, str]]:
    """(policy, complaint) for each policy file that breaks the contract."""
    names = [name for experiment in entry.experiments for name in entry.policies_of(experiment)]
    return [(name, text) for name in dict.fromkeys([*entry.all_policies, *names]) for text in _policy(entry, name)]


def _policy(entry: Entry, name: str) -> list[str]:
    """Complaints about a policy's file."""
    try:
        chosen = registry.policy(entry, name)
    except InputError as error:
        return [str(error)]
    said = []
    if not chosen.doc.strip():
        said.append(f"policy file '{chosen.path.name}' has no docstring: begin with a sentence that says what it does.")
    # What a size is told for is the model's to know where it asks decide(...): after the end, say, to learn from.
    if chosen.shape != "decision" and INFORMATION.index(chosen.information) < INFORMATION.index(chosen.shown):
        said.append(
            f"policy '{name}' says INFORMATION = '{chosen.information}', but what it sees makes it "
            f"'{chosen.shown}': write that, so that it is compared with those that see as much."
        )
    elif entry.model == "llm":
        said += _engine_rules(entry, name)
    elif chosen.shape == "falling" and _rises(chosen):
        said.append(
            f"policy '{name}' has SHAPE = 'falling', but its rank rises while a job is served: write SHAPE = 'general' "
            "and a function turn, the next age at which the rank changes direction."
        )
    for column in sorted(set(chosen.sees) - {*chosen.used, "age", "arrival"}):
        if chosen.shape != "sharing":
            said.append(
                f"policy '{name}' has '{column}' in SEES and does not use it: take it out, "
                "so that it is compared with those that see as little."
            )
    return said


def _rises(policy: Any) -> bool:
    """Whether the rank of one of a few jobs rises as it is served; where it cannot be computed, a run says why."""
    from openqueues.models.laws import joint_law
    from openqueues.models.policies.resolve import rank_function

    joint, rng = joint_law("exponential", "exponential"), np.random.default_rng(1)
    try:
        rank = rank_function(policy, joint, 0.8)
        for size, predicted in zip(*joint.sample(rng, rng, FEW), strict=True):
            ages = size * np.linspace(0.0, 0.9, 10)
            ranks = np.array([rank(size=size, predicted=predicted, arrival=1.0, age=age) for age in ages])
            if np.any(np.diff(ranks) > RANK_DIGITS * np.maximum(1.0, np.abs(ranks[:-1]))):
                return True
    except Exception:
        return False
    return False


def _engine_rules(entry: Entry, name: str) -> list[str]:
    """Complaints about a policy's columns and its SHAPE."""
    import openqueues.models.llm as llm

    try:
        chosen = llm.policy(registry.policy_argument(entry, name))
        if chosen.shape != "falling order":
            return []
        requests = llm.generated("poisson:rate=40", "lognormal:input_mean=100,output_mean=60", TRACE, seed=1)
        requests = llm.predicted(requests, "lognormal:sigma=1", seed=1)
        law = "prefill_token_ms=0.1,decode_step_ms=20,decode_seq_ms=0.1"
        hardware = llm.hardware_law(f"{law},kv_bytes_per_token=1000,swap_bytes_per_s=1e9")
        longest = int((requests.input_tokens + requests.output_tokens).max())
        ends = [
            llm.serve(requests, hardware, one, kv_tokens=2 * longest + 2000, max_batch=16).finish_s
            for one in (chosen, replace(chosen, shape="order"))
        ]
    except InputError as error:
        return [str(error)]
    if np.allclose(*ends, rtol=1e-9, atol=0):
        return []
    return [
        f"policy '{name}' has SHAPE = 'falling order', but the rank of a running request rises: write SHAPE = 'order'."
    ]


def _of(entry: Entry, experiment: Experiment, policies: list[str], text: str) -> str:
    """A complaint with its place: that all policies of an experiment share is the experiment's."""
    where = f"{entry.slug}, experiment '{experiment.name}'"
    if len(policies) == 1 or policies != entry.policies_of(experiment):
        where += f", {'policy' if len(policies) == 1 else 'policies'} {', '.join(map(repr, policies))}"
    return f"{where}: {text}"


def _sentence(message: str) -> str:
    return message if message.endswith((".", "?")) else f"{message}."


def _replication(entry: Entry, problem: ModuleType, experiment: Experiment, policy: str) -> list[str]:
    """Complaints about a small replication of a policy, and about exact values and bounds at its point."""
    point = experiment.points("smoke")[0]
    argument = registry.policy_argument(entry, policy)
    runs = range(2 if experiment.tier("smoke").replications else 0)
    seeds = [derive_seed("check", entry.slug, experiment.name, number) for number in runs]
    first = [runner.simulate(entry, problem, point, argument, seed, JOBS) for seed in seeds]
    said = list(dict.fromkeys(_sentence(message) for _, _, message in first if message))
    if not said:
        with ThreadPoolExecutor(max_workers=2) as pool:
            again = list(pool.map(lambda seed: runner.simulate(entry, problem, point, argument, seed, JOBS), seeds))
        for (values, _, _), (repeated, _, _) in zip(first, again, strict=True):
            changed = [name for name in values if not _same(values[name], repeated.get(name, math.nan))]
            if changed:
                said.append(
                    f"simulate gives another {changed[0]} for the same seed: draw all of it "
                    "from generators made from seed, and keep nothing between calls or between threads."
                )
    for source, values, _, message in runner.unsimulated(problem, point, argument):
        if message and not any(_sentence(message).endswith(text) for text in said):
            said.append(_sentence(message))
        for metric, (value, error) in values.items():
            if metric not in [m.name for m in entry.metrics] and source == "bound":
                said.append(f"bound returns '{metric}', which is not in problem.toml: add it to metrics.")
            if not math.isfinite(value) or not error >= 0:
                said.append(
                    f"{source} of {metric} is {value} with error {error}: return a finite value and "
                    "an error of at least 0."
                )
    return said


def _anchor(entry: Entry, problem: ModuleType, anchor: Anchor) -> list[str]:
    """Complaints about an anchor: `exact` and `simulate` must give its value."""
    where = f"{entry.slug}, anchor '{anchor.name}'"
    try:
        argument = registry.policy_argument(entry, anchor.policy)
    except InputError as error:
        return [f"{where}: {error}"]
    point = Point(-1, anchor.point)
    said = []
    for source, values, _, message in runner.unsimulated(problem, point, argument):
        if message:
            return [f"{where}: {_sentence(message)}"]
        if source == "analysis" and anchor.metric in values:
            value, error = values[anchor.metric]
            if not abs(value - anchor.value) <= error + ANCHOR_DIGITS * abs(anchor.value):
                said.append(
                    f"{where}: exact gives {value:.12g} +- {error:.1g} instead of {anchor.value:.12g}: "
                    "correct the one that is wrong."
                )
    results = []
    for number in range(ANCHOR_REPLICATIONS):
        seed = derive_seed("anchor", entry.slug, anchor.name, number)
        values, status, message = runner.simulate(entry, problem, point, argument, seed, ANCHOR_JOBS)
        if status != "ok":
            return [*said, f"{where}: {_sentence(message or 'the simulated system is not stable')}"]
        results.append(values[anchor.metric])
        if number == 2 and np.ptp(results) <= ANCHOR_DIGITS * abs(anchor.value):  # nothing is random here
            break
    mean, spread = float(np.mean(results)), float(np.std(results, ddof=1))
    width = student(ANCHOR_LEVEL, len(results)) * spread / math.sqrt(len(results))
    if not abs(mean - anchor.value) <= width + ANCHOR_DIGITS * abs(anchor.value):
        said.append(
            f"{where}: simulate gives {mean:.6g} +- {width:.2g}, but the value is {anchor.value:.12g}: "
            "correct the one that is wrong."
        )
    return said


def blindness(entry: Entry, policy: str) -> list[str]:
    """Complaints when decisions depend on what the policy says it does not see.

    A prediction that is not seen may be anything: every job must end when it did. A size that is not seen
    shows itself only when a job ends. So, first, if the jobs that are not done by some time are made
    longer, then all that happens until that time must stay as it was. Second, of several endless jobs let
    each in turn be short: the service that a job has got when it ends, it gets by then in every such trace,
    so that together they cannot get more than the server gives.
    """
    from openqueues.models.laws import joint_law
    from openqueues.models.policies.resolve import resolve

    chosen = registry.policy(entry, policy)
    if chosen.shape in ("decision", "router", "controller") or entry.model == "llm":
        return []  # the model hands a function its columns of SEES, job by job, and nothing else
    load = 0.8
    joint = joint_law("exponential", "exponential")
    rng = np.random.default_rng(derive_seed("blindness", chosen.name))
    gaps = rng.standard_exponential(TRACE) / load
    sizes, predictions = joint.sample(rng, rng, TRACE)
    try:
        theta = resolve(chosen, joint, load)
        ends = _ends(chosen, theta, gaps, sizes, predictions)
        said = []
        if "predicted" not in chosen.sees:
            other = _ends(chosen, theta, gaps, sizes, rng.permutation(predictions) + 0.5)
            if not np.array_equal(ends, other):
                said.append(_peeks(policy, "predicted"))
        if "size" not in chosen.sees:
            # Right after a job in the middle has ended: some are done and others are waiting.
            until = np.sort(ends)[TRACE // 2]
            early = ends <= until
            other = _ends(chosen, theta, gaps, np.where(early, sizes, 3 * sizes + 1), predictions)
            same = np.array_equal(ends[early], other[early]) and np.all(other[~early] > until)
            if not same or any(_overdrawn(chosen, theta, predictions[:FEW], size) for size in (0.1, 1.0, 10.0)):
                said.append(_peeks(policy, "size"))
    except InputError as error:
        return [str(error)]
    return said


def _overdrawn(policy: Any, theta: tuple, predictions: np.ndarray, size: float) -> bool:
    """Whether jobs that wait together, each of this size while others are endless, get more than there is.

    A job of size 1 comes before them, so that a policy that does not preempt has a choice among them, too.
    """
    gaps = np.full(len(predictions), 1e-3)
    ends = []
    for short in range(1, len(predictions)):
        sizes = np.full(len(predictions), 1e4)
        sizes[0], sizes[short] = 1.0, size
        ends.append(_ends(policy, theta, gaps, sizes, predictions)[short])
    return bool(np.any(np.sort(ends) < size * np.arange(1, len(ends) + 1)))


def _ends(policy: Any, theta: tuple, gaps: np.ndarray, sizes: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Time at which each job of a trace ends, in the order of arrival."""
    from openqueues.models.queues import Server

    server = Server(policy, theta)
    done = [server.serve(gaps, sizes, predictions).copy(), server.drain().copy()]
    response, _, arrival = np.concatenate(done).T
    return (arrival + response)[np.argsort(arrival, kind="stable")]


def _peeks(policy: str, column: str) -> str:
    return f"policy '{policy}' does not have '{column}' in SEES, but depends on it: declare it."


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
