"""Rounds of tokens (problems/throughput-boundary/rounds.py): the batches of Dai et al., one by one, and a slow twin."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openqueues import registry
from openqueues.models.errors import InputError

problem = registry.problem(registry.entry("throughput-boundary"))
serve, RULES = problem.serve, problem.RULES
FIVE = {"vllm": 4, "orca": 5, "fastertransformer": 4, "sarathi": 4}
# (tokens of prompts, decoding steps) of each batch in their Figure 8, where A, B and C have 2, 4 and 3 steps to go.
FIGURE = {
    "vllm": [(0, 3), (2, 0), (0, 4), (0, 3), (0, 1)],
    "orca": [(0, 3), (2, 3), (0, 4), (0, 1)],
    "fastertransformer": [(0, 3), (0, 3), (0, 2), (0, 1), (2, 0), (0, 2)],
    "sarathi": [(0, 3), (1, 3), (1, 3), (0, 2)],
}


def slowly(arrival, prompt, decode, rule, budget, law, most, tile=128):
    """(finish, [(prompt tokens, decoding steps)]): every request looked at in every round, a token at a time."""
    n = len(arrival)
    left, steps, finish = list(prompt), list(decode), [math.nan] * n
    now, rounds = 0.0, []

    def prompts(room):
        given = dict.fromkeys(range(n), 0)
        for i in range(n):
            begun = sum(0 < left[j] < prompt[j] or (left[j] == 0 and steps[j] > 0) or given[j] > 0 for j in range(n))
            if arrival[i] > now or left[i] == 0:
                continue
            free = left[i] < prompt[i] or begun < most
            if not free or room == 0 or (rule in ("vllm", "fastertransformer") and left[i] > room):
                break
            while room > 0 and given[i] < left[i]:
                given[i] += 1
                room -= 1
        return given

    while True:
        decoding = [i for i in range(n) if left[i] == 0 and steps[i] > 0]
        if rule == "sarathi":
            chosen = decoding[:budget]
            computed = prompts(budget - len(chosen))
        elif rule == "orca":
            computed = prompts(budget)
            chosen = decoding[: budget - sum(computed.values())]
        elif rule == "rad":
            oldest = [left[i] for i in range(n) if arrival[i] <= now and left[i] > 0]
            computed = prompts(min(tile, budget, oldest[0])) if oldest and len(decoding) < min(tile, budget) else {}
            chosen = [] if sum(computed.values()) else decoding[:budget]
        elif rule == "vllm":
            computed = prompts(budget)
            chosen = [] if sum(computed.values()) else decoding[:budget]
        else:
            chosen = decoding[:budget]
            computed = {} if chosen else prompts(budget)
        tokens = sum(computed.values())
        if tokens + len(chosen) == 0:
            coming = [time for time in arrival if time > now]
            if not coming:
                return finish, rounds
            now = min(coming)
            continue
        now += law(tokens + len(chosen))
        rounds.append((tokens, len(chosen)))
        for i in chosen:
            steps[i] -= 1
            if steps[i] == 0:
                finish[i] = now
        for i, part in computed.items():
            left[i] -= part


@pytest.fixture(scope="module")
def small_tile():
    """Tiles of three tokens, so that a few requests fill one."""
    module = sys.modules[serve.__module__]
    before, module.TILE = module.TILE, 3
    yield 3
    module.TILE = before


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rounds_are_those_of_a_slow_twin(data, small_tile):
    n = data.draw(st.integers(1, 9))
    sizes = st.lists(st.integers(1, 7), min_size=n, max_size=n)
    arrival = np.cumsum(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))).astype(float)
    prompt, decode = np.array(data.draw(sizes)), np.array(data.draw(sizes))
    budget, most = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 6))
    for rule in RULES:
        setting = (arrival, prompt, decode, rule, budget, lambda tokens: 1.0 + math.ceil(tokens / 3), most)
        fast = serve(*setting)
        finish, rounds = slowly(*setting, small_tile)
        np.testing.assert_array_equal(fast.finish, finish)
        assert list(zip(fast.prompts.tolist(), fast.decoded.tolist(), strict=True)) == rounds
        if rule in ("sarathi", "orca", "rad"):
            assert not np.isnan(fast.finish).any()
            assert fast.prompts.sum() == prompt.sum() and fast.decoded.sum() == decode.sum()


@pytest.mark.parametrize("rule", FIGURE)
def test_the_batches_of_five_requests(rule):
    arrival, prompt, decode = map(np.array, problem.FIVE)
    served = serve(arrival, prompt, decode, rule, FIVE[rule], lambda tokens: 1.0)
    batches = list(zip(served.prompts.tolist(), served.decoded.tolist(), strict=True))
    assert batches == [(3, 0), *FIGURE[rule]]


def test_point_c_locks_in_at_29_tokens_and_99_steps():
    n = 400
    served = serve(467.5 * np.arange(n), np.full(n, 290), np.full(n, 990), "sarathi", 128, lambda tokens: 46.75, 100)
    during = served.end < 467.5 * n
    assert set(served.prompts[during][-200:]) == {29} and set(served.decoded[during][-200:]) == {99}


def test_an_unknown_rule_is_said():
    with pytest.raises(InputError, match="sarathi"):
        serve(np.zeros(1), np.ones(1), np.ones(1), "sarati", 4, float)
    with pytest.raises(InputError, match="server is engine"):
        problem.simulate({"server": "rounds", "budget": 128, "lengths": "100+100", "share": 0.5}, "srpt", 1, 10)


def test_lifetimes_by_steps():
    """Tokens in memory over the steps of a life, one by one."""
    total = 0
    for s in range(10, 13):
        for o in range(10, 12):
            total += s + sum(s + j for j in range(1, o + 1))
    assert problem.lifetime(12, 11) == pytest.approx(total / 6)
    more = problem.CHUNK + 1  # a prompt of two chunks: one step with CHUNK tokens, one with all
    by_steps = problem.CHUNK + more + sum(more + j for j in range(1, more + 1))
    assert problem.lifetime(more, more, more) == pytest.approx(by_steps)
