"""The unit-time server with API calls against its slow twin, optima against all schedules, and bad input."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import slow_unit_time_calls as slow
from openqueues.models import policies
from openqueues.models.errors import InputError
from openqueues.models.llm import unit_time_calls
from openqueues.models.llm.bounds import busy_time_bound
from openqueues.models.llm.hindsight_calls import latency_bound, optimum
from openqueues.models.llm.unit_time_calls import calls, serve_calls

FOLDER = Path(__file__).parents[1] / "problems" / "api-guarantees" / "policies"


def own(spec):
    stem, colon, rest = spec.partition(":")
    return policies.policy(f"{FOLDER / stem}.py{colon}{rest}")


def instance(rng, most, memory, segments=3, longest=12):
    """(arrival, prompt, output, call, told) of up to `most` requests, so large that they get in each other's way."""
    n = int(rng.integers(1, most + 1))
    arrival = np.sort(rng.integers(0, rng.choice([1, 10]), n)).tolist()
    prompt, output, call, told = [], [], [], []
    for _ in range(n):
        count = int(rng.integers(1, segments + 1))
        output.append(rng.integers(1, max(2, memory // (2 * count)), count).tolist())
        prompt.append(int(rng.integers(0, max(1, memory - sum(output[-1]) + 1) // 2 + 1)))
        call.append(rng.integers(1, rng.choice([3, longest]), count - 1).tolist())
        told.append((np.array(call[-1]) * rng.choice([1.0, 0.5, 1.7], count - 1)).tolist())
    return arrival, prompt, output, call, told


@pytest.mark.parametrize("handling", unit_time_calls.HANDLINGS)
def test_the_kernel_equals_the_slow_server(handling):
    rng = np.random.default_rng(unit_time_calls.HANDLINGS.index(handling))
    totals = np.zeros(3, int)
    for turn in range(45):
        memory, chunk, swap = int(rng.integers(8, 24)), int(rng.integers(1, 6)), int(rng.choice([0, 2, 8]))
        arrival, prompt, output, call, told = instance(rng, 7, memory)
        factor, skip = float(rng.choice([0, 1, 2])), bool(turn % 2)
        name = ("infercept", "shortest", "lamps")[turn % 3]
        policy = own(f"{name}:handling={handling},factor={factor},skip={str(skip).lower()}")
        requests = calls(arrival, prompt, output, call, told)
        ranks = unit_time_calls._ranks(policy, requests, memory, chunk, swap)
        served = serve_calls(requests, memory, policy, chunk=chunk, swap=swap)
        start, finish, preserved, discarded, swapped, peak = slow.serve(
            *(arrival, prompt, output, call, told),
            lambda i, s, held, first=requests.first, ranks=ranks: ranks[int(held), first[i] + s],
            *(memory, chunk, swap, handling, factor, skip),
        )
        assert served.start.tolist() == [slot for one in start for slot in one]
        assert served.finish.tolist() == finish
        assert (served.preserved, served.discarded, served.swapped) == (preserved, discarded, swapped)
        assert served.peak == peak <= memory
        totals += (preserved, discarded, swapped)
    happens = {"discard": (0, 1, 0), "swap": (0, 1, 1), "min-waste": (1, 1, 1)}.get(handling, (1, 1, 0))
    assert tuple(np.minimum(totals, 1)) == happens


def test_the_optimum_is_the_best_of_all_schedules():
    rng = np.random.default_rng(3)
    for _ in range(25):
        memory, chunk, swap = int(rng.integers(5, 10)), int(rng.integers(1, 4)), int(rng.choice([0, 4]))
        arrival, prompt, output, call, _ = instance(rng, 3, memory, segments=2, longest=5)
        arrival = [min(slot, 3) for slot in arrival]
        requests = calls(arrival, prompt, output, call)
        best = optimum(requests, memory, chunk=chunk, swap=swap)
        assert best.proven
        assert best.total == slow.best(arrival, prompt, output, call, memory, chunk, swap)
        alone = sum(map(sum, output)) + sum(map(sum, call))
        assert alone <= latency_bound(requests, memory) <= best.total


def test_no_policy_beats_the_optimum_and_no_optimum_the_bound():
    rng = np.random.default_rng(4)
    specs = ("first-come", "first-come:handling=swap", "infercept:skip=true", "lamps", "keep-while-free")
    attained = 0
    for _ in range(25):
        memory = int(rng.integers(12, 25))
        requests = calls(*instance(rng, 3, memory))
        best = optimum(requests, memory, chunk=3, swap=6)
        totals = [
            int((serve_calls(requests, memory, own(spec), chunk=3, swap=6).finish - requests.arrival).sum())
            for spec in specs
        ]
        assert best.proven and latency_bound(requests, memory) <= best.total <= min(totals)
        attained += best.total == min(totals)
        assert optimum(requests, memory, chunk=3, swap=6, known=min(totals)).total == best.total
    assert 5 < attained < 25


def test_the_bound_is_that_of_volumes_where_nobody_calls_and_grows_with_calls():
    rng = np.random.default_rng(5)
    for _ in range(20):
        n = 30
        arrival, prompt, output = np.sort(rng.integers(0, 10, n)), rng.integers(4, 14, n), rng.integers(1, 12, n)
        plain = calls(arrival, prompt, [[o] for o in output], [[]] * n)
        assert latency_bound(plain, 25) == busy_time_bound(arrival, prompt, output, 25) > output.sum()
        cut = [[1, int(o) - 1] if o > 1 else [1] for o in output]
        paused = calls(arrival, prompt, cut, [[7] if len(one) > 1 else [] for one in cut])
        more = latency_bound(paused, 25) - latency_bound(plain, 25)
        # The volumes are the same; each end lies 7 slots later, the average time of the volume less than that.
        assert 0 < more < 7 * sum(len(one) > 1 for one in cut)


@pytest.mark.parametrize(
    "handling, finish, peak",
    [
        # 4 prompt tokens, 2 made by slot 2, back at slot 7, 3 more tokens.
        ("preserve", 10, 9),
        ("discard", 12, 9),  # 6 tokens by 4 a slot: 2 slots to compute them again
        ("swap", 13, 9),  # 6 tokens by 2 a slot: 3 slots to move them
    ],
)
def test_a_request_alone(handling, finish, peak):
    requests = calls([0], [4], [[2, 3]], [[5]])
    served = serve_calls(requests, 20, own(f"first-come:handling={handling}"), chunk=4, swap=2)
    assert (served.finish[0], served.peak) == (finish, peak)


def test_what_is_preserved_keeps_others_out_until_it_gives_way():
    # The first holds 6 of 9 tokens in its call of 20 slots; the second needs 8.
    requests = calls([0, 3], [5, 4], [[1, 1], [4]], [[20], []])
    ends = {
        handling: serve_calls(requests, 9, own(f"infercept:handling={handling}"), chunk=3).finish.tolist()
        for handling in ("preserve", "discard", "min-waste", "lazy")
    }
    assert ends["preserve"] == [22, 26]  # 1 + 20 + 1; then 4 more
    assert ends["discard"] == ends["min-waste"] == ends["lazy"] == [24, 7]
    # Nobody needs the memory: it stays.
    alone = calls([0], [5], [[1, 1]], [[20]])
    assert serve_calls(alone, 9, own("keep-while-free"), chunk=3).finish.tolist() == [22]
    assert serve_calls(alone, 9, own("infercept"), chunk=3).finish.tolist() == [24]


def test_two_contexts_that_block_each_other_are_resolved():
    # Both hold 4 of 10 tokens after their calls and need 4 more: the later one gives way.
    requests = calls([0, 0], [3, 3], [[1, 4], [1, 4]], [[2], [2]])
    served = serve_calls(requests, 10, own("first-come"), chunk=2)
    assert served.finish.tolist() == [7, 13] and (served.preserved, served.discarded) == (2, 1)


def test_without_durations_two_is_the_ratio_that_can_be_had():
    """Alike requests, one context at a time: holding for as long as recomputation takes is within a factor of 2, and
    always holding or always dropping is not."""
    spec = importlib.util.spec_from_file_location("api_guarantees", FOLDER.parent / "problem.py")
    problem = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(problem)

    def ratio(name, recompute):
        stem, colon, rest = name.partition(":")
        return problem.simulate({"recompute": recompute}, f"{FOLDER / stem}.py{colon}{rest}", 1, 1)["ratio"]

    held = [ratio("first-come:handling=ttl", r) for r in (4, 16, 64)]
    assert held == sorted(held) and 1.93 < held[-1] < 2
    assert ratio("first-come", 32) > 3 and ratio("first-come:handling=discard", 32) > 11
    assert ratio("infercept", 32) < 1.01


def test_what_makes_no_sense_is_said():
    requests = calls([0], [4], [[2, 3]], [[5]])
    for change, message in (
        ({"memory": 8}, "request 0 can never fit: its 9 tokens exceed the memory of 8"),
        ({"chunk": 0}, "chunk is 0"),
        ({"swap": -1}, "swap is -1"),
    ):
        given = {"memory": 20, "chunk": 1, "swap": 0} | change
        with pytest.raises(InputError, match=message):
            serve_calls(requests, given.pop("memory"), own("first-come"), **given)
    for spec, message in (
        ("first-come:handling=min-waste", "goes by predictions .handling=min-waste.: write INFORMATION"),
        ("infercept:handling=hold", "unknown handling"),
        ("infercept:factor=-1", "factor is -1"),
        ("infercept:skip=2", "skip is 2"),
    ):
        with pytest.raises(InputError, match=message):
            serve_calls(requests, 20, own(spec), chunk=1)
    with pytest.raises(InputError, match="'decision'"):
        serve_calls(requests, 20, "srpt", chunk=1)
    with pytest.raises(InputError, match="one call less"):
        calls([0], [4], [[2, 3]], [[5, 1]])
    with pytest.raises(InputError, match="call must be at least 1"):
        calls([0], [4], [[2, 3]], [[0]])
    with pytest.raises(InputError, match="and ascend"):
        calls([1, 0], [4, 4], [[2], [3]], [[], []])
