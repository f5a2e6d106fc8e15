"""Policies at random and at fault: each run keeps what there is, or is refused by the rule that the policy broke."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_cases import hardware, setting, trace
from openqueues.models.errors import InputError
from openqueues.models.llm import engine
from walked_engine import walked_kernel

# The kinds of ranks, by the parameter `kind`; `draw` is a number in [0, 1) that depends on all that is seen.
KINDS = (
    "random",
    "not a number at times",
    "infinite at times",
    "rising",
    "behind when it runs",
    "steps at random",
    "not a number when it runs",
    "behind those that wait when it runs",
)
RANK = """
def draw(x, seed):
    y = math.sin(12.9898 * x + 78.233 * seed) * 43758.5453
    return y - math.floor(y)


def ranked(x, static, generated, running, kind, seed, share):
    u = draw(x, seed)
    if kind == 0:
        return u
    if kind == 1:
        return float("nan") if u < share / 10 else static
    if kind == 2:
        return float("inf") if u < share else (-float("inf") if u > 1 - share else static)
    if kind == 3:
        return static + generated
    if kind == 4:
        return running if running > 0 else -static
    if kind == 6:
        return float("nan") if generated > 2 else static
    if kind == 7:
        return static + 100 * running
    return math.floor(4 * draw(generated // 3, seed))
"""
ADMIT = """

def admit(picks, now, free_tokens, waiting, batch, stubborn, seed):
    refused = draw(now + 3 * picks + free_tokens + 7 * waiting, seed) < stubborn
    return not refused and (stubborn < 0.9 or batch > 0)
"""
HEAD = (
    '"""A test."""\n\nimport math\n\nSEES = {}\nSHAPE = "{}"\nPARAMETERS = {{"kind": 0, "seed": 1, "share": 0.1{}}}\n\n'
)
SEEN = {
    # Ranks that move with time and the state, and an admission that refuses at random.
    "whims": (
        ("arrival", "left", "generated", "running", "now", "cached", "picks", "free_tokens", "waiting", "batch"),
        "order",
        "arrival + left + 3 * now + cached + picks + free_tokens + batch",
    ),
    # Ranks that the engine takes to fall, although they do not.
    "lies": (("arrival", "left", "generated", "estimate", "preempted"), "falling order", "arrival + left + preempted"),
    "lies-running": (("arrival", "left", "generated", "running"), "falling order", "arrival + left + running"),
    "moods": (("arrival", "left", "generated", "running", "turn_tokens"), "order", "arrival + left + turn_tokens"),
}
REFUSALS = (
    "a rank that is not a number: ranks must be",
    "preempts without end",
    "admits none of the",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("faults")
    for name, (seen, shape, mixed) in SEEN.items():
        whims = name == "whims"
        arguments = [one for one in seen if one != "waiting"] + ["kind", "seed", "share"]
        running = "running" if "running" in seen else "0.0"
        text = HEAD.format(seen, shape, ', "stubborn": 0.0' if whims else "") + RANK.lstrip()
        text += f"\n\ndef rank({', '.join(arguments)}):\n"
        text += f"    return ranked({mixed}, 10 * arrival + left, generated, {running}, kind, seed, share)\n"
        (place / f"{name}.py").write_text(text + (ADMIT if whims else ""))
    return place


def run(folder, seed, kernel=None):
    """(Served or the message of the refusal, requests) of a random trace, law, mechanism and faulty policy."""
    rng = np.random.default_rng(seed)
    requests, law = trace(rng), hardware(rng)
    switches, arguments = setting(rng, requests)
    name = str(rng.choice(list(SEEN)))
    given = switches | {"kind": int(rng.integers(len(KINDS))), "seed": int(rng.integers(1000)), "share": 0.05}
    if name == "whims":
        given["stubborn"] = float(rng.choice([0, 0.1, 0.5, 0.95]))
    spec = ",".join(f"{key}={str(value).lower()}" for key, value in given.items())
    made = engine._kernel
    try:
        if kernel is not None:
            engine._kernel = kernel
        return engine.serve(requests, law, f"{folder / name}.py:{spec}", **arguments), requests
    except InputError as error:
        assert f"policy '{name}'" in str(error), error
        assert any(rule in str(error) for rule in REFUSALS), error
        return str(error), requests
    finally:
        engine._kernel = made


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**40))
def test_a_faulty_policy_loses_nothing_or_is_refused(folder, seed):
    """The kernel that looks after every iteration, and the one that jumps, which looks in the end."""
    for kernel in (walked_kernel, None):
        served, requests = run(folder, seed, kernel)
        if isinstance(served, str):
            continue
        assert np.all(served.first_token_s >= requests.arrival_s)
        assert np.all(served.finish_s >= served.first_token_s)
        assert served.preemptions == served.preemptions_of.sum()
        assert served.output_tokens == requests.output_tokens.sum()
        assert served.busy_s <= served.makespan_s * (1 + 1e-9) + 1e-12
        assert served.makespan_s == pytest.approx(served.finish_s.max() - requests.arrival_s[0], rel=1e-12)


def test_each_rule_is_broken_by_some_and_kept_by_most(folder):
    """The cases above are not all alike: every refusal is met, and most runs end."""
    met = [run(folder, seed)[0] for seed in range(480, 640)]
    for rule in REFUSALS:
        assert any(isinstance(one, str) and rule in one for one in met), rule
    assert sum(not isinstance(one, str) for one in met) > 100


@pytest.mark.slow
def test_thousands_of_faulty_runs(folder):
    for seed in range(10_000, 16_000):
        run(folder, seed, walked_kernel)
