"""Batches: the kernel against its slow twin, and closed forms, chains and bounds against it and each other."""

import math

import numpy as np
import pytest
import slow_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from openqueues.models.analysis import batch, impatience
from openqueues.models.errors import InputError
from openqueues.models.queues.batch import BatchTime, serve_batches, simulate

V100 = (0.1438, 1.8874)
ONE = np.ones(1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_kernel_is_its_slow_twin(data):
    n = data.draw(st.integers(1, 40))
    whole = st.integers(0, 12)
    arrival = np.cumsum(data.draw(st.lists(whole, min_size=n, max_size=n)))
    tokens = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)))
    bins = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    coefficient = st.sampled_from([0.0, 0.25, 1.0, 3.0])
    time = BatchTime(0.5 + data.draw(coefficient), *(data.draw(coefficient) for _ in range(3)))
    least = data.draw(st.integers(1, 4))
    most = data.draw(st.one_of(st.none(), st.integers(least, 6)))
    elastic = data.draw(st.booleans())
    fast = serve_batches(arrival, tokens, time, least=least, most=most, bins=bins, elastic=elastic)
    start, finish, batches, busy = slow_batch.serve(arrival, tokens, time, least, most, bins, elastic)
    np.testing.assert_allclose(fast.start, start, rtol=1e-12)
    np.testing.assert_allclose(fast.finish, finish, rtol=1e-12)
    assert fast.batches == batches
    assert fast.busy == pytest.approx(busy)


def test_batches_by_hand():
    """Three wait when the first ends; elastic ones leave as their tokens are done."""
    arrival, tokens, time = [0, 1, 2, 3], [4, 1, 3, 3], BatchTime(1, 0, 1, 0.5)
    served = serve_batches(arrival, tokens, time)
    assert list(served.finish) == [7, 15.5, 15.5, 15.5]  # 1 + 1.5 * 4, then 1 + 2.5 * 3
    served = serve_batches(arrival, tokens, time, elastic=True)
    assert list(served.finish) == [7, 10.5, 14.5, 14.5]  # 1 + 2.5, then two steps of 1 + 0.5 * 2
    served = serve_batches(arrival, tokens, time, least=3)
    assert list(served.start) == [2, 2, 2, 13], "three make a batch, and the last is alone when no other is to come"


def chain_of_poisson(rate, alpha, tau0, states=400):
    """(mean latency, mean batch, share of time busy) by Poisson probabilities and Inoue's equations 36 and 38."""
    step = np.zeros((states, states))
    for b in range(1, states + 1):
        mean = rate * (alpha * b + tau0)
        k = np.arange(states + 1)
        law = np.exp(k * math.log(mean) - mean - np.cumsum(np.log(np.maximum(k, 1))))
        step[b - 1] = law[1:]
        step[b - 1, 0] += law[0]
    system = step.T - np.eye(states)
    system[-1] = 1
    law = np.linalg.solve(system, np.eye(states)[-1])
    size = np.arange(1, states + 1)
    first, second = law @ size, law @ size**2
    latency = alpha + tau0 + (1 + 2 * rate * alpha) * (second - first) / (2 * rate * first)
    return latency, first, rate * alpha + rate * tau0 / first


@pytest.mark.parametrize("load", [0.05, 0.3, 0.7, 0.85])
def test_the_chain_gives_inoues_equations(load):
    alpha, tau0 = V100
    found = batch.gather_all(load / alpha, BatchTime(tau0, alpha), ONE, ONE)
    latency, size, busy = chain_of_poisson(load / alpha, alpha, tau0)
    assert found.mean_latency == pytest.approx(latency, rel=1e-10)
    assert found.mean_batch == pytest.approx(size, rel=1e-10)
    assert found.busy_share == pytest.approx(busy, rel=1e-10)
    low, high = batch.inoue_bounds(load / alpha, alpha, tau0)
    assert found.mean_latency <= min(low, high) * (1 + 1e-12)
    assert min(low, high) == pytest.approx(latency, rel=0.05 if load < 0.3 else 0.001)


def test_batches_of_one_are_a_queue_of_single_requests():
    """Pollaczek and Khinchine's mean wait."""
    values, weights = np.array([1.0, 2.0, 7.0]), np.array([0.5, 0.3, 0.2])
    time, rate = BatchTime(0.5, 0.25, 1.0, 0.125), 0.15
    size = 0.75 + 1.125 * values
    load = rate * (weights @ size)
    wait = rate * (weights @ size**2) / (2 * (1 - load))
    for elastic in (False, True):
        found = batch.gather_all(rate, time, values, weights, most=1, elastic=elastic)
        assert found.mean_wait == pytest.approx(wait, rel=1e-9)
        assert found.mean_latency == pytest.approx(wait + weights @ size, rel=1e-9)
        assert found.busy_share == pytest.approx(load, rel=1e-9)


@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize(("least", "most"), [(1, None), (1, 3), (3, 3), (2, 5)])
def test_the_chain_and_the_simulation_agree(elastic, least, most):
    values, weights = np.array([1.0, 4.0, 9.0, 20.0]), np.array([0.4, 0.3, 0.2, 0.1])
    time, rate = BatchTime(2.0, 0.5, 1.0, 0.05), 0.11

    def draw(rng, n):
        return rng.choice(values, n, p=weights)

    rule = {"least": least, "most": most, "elastic": elastic}
    exact = batch.gather_all(rate, time, values, weights, **rule)
    # All batches of three are full, the last one, too.
    runs = [simulate(draw, rate, time, seed, 39_999, **rule) for seed in range(8)]
    for name in ("mean_latency", "mean_wait", "mean_batch", "busy_share"):
        got = np.array([run[name] for run in runs])
        assert abs(got.mean() - getattr(exact, name)) < 4 * got.std(ddof=1) / math.sqrt(len(runs)) + 1e-9, name
    assert not any(run["unstable"] for run in runs)


def test_full_batches_wait_to_be_full():
    """At a low rate a batch of b begins with its last request: the mean of the others' waits is (b - 1)/2 gaps."""
    found = batch.gather_all(1e-4, BatchTime(1.0), ONE, ONE, least=5, most=5)
    assert found.mean_wait == pytest.approx(2e4, rel=1e-12)
    assert (found.mean_batch, found.busy_share) == (pytest.approx(5), pytest.approx(1e-4 / 5))


def test_elastic_batches_of_equal_answers_are_dynamic_ones():
    time, values = BatchTime(2.0, 0.5, 1.0, 0.05), np.array([6.0])
    both = [batch.gather_all(0.2, time, values, ONE, elastic=elastic).mean_latency for elastic in (False, True)]
    assert both[0] == pytest.approx(both[1], rel=1e-9)


def test_capacity_separates_stable_from_unstable():
    values, weights = np.array([1.0, 4.0]), np.array([0.5, 0.5])
    time = BatchTime(2.0, 0.5, 1.0, 0.05)
    # Of four requests the longest has 4 tokens but for one case in 16; a batch takes 4 + (1 + 0.2) l.
    limit = batch.capacity(time, values, weights, most=4)
    assert limit == pytest.approx(4 / (4 + 1.2 * (4 - 3 / 16)))
    assert batch.capacity(time, values, weights) == pytest.approx(1 / (0.5 + 0.05 * 4))
    assert batch.capacity(time, values, weights, elastic=True) == pytest.approx(1 / (0.5 + 0.05 * 2.5))
    for factor, grows in ((0.9, 0.0), (1.1, 1.0)):
        run = simulate(lambda rng, n: rng.choice(values, n), factor * limit, time, 1, 30_000, most=4)
        assert run["unstable"] == grows
    with pytest.raises(InputError, match="below the capacity"):
        batch.gather_all(limit, time, values, weights, most=4)


@pytest.mark.parametrize("bins", [1, 4])
def test_full_batches_of_bins_reach_their_throughput(bins):
    low, high, size = 1.0, 9.0, 8

    def bin_of(tokens):
        return ((tokens - low) * bins / (high - low)).astype(np.int64)

    def draw(rng, n):
        return rng.uniform(low, high, n)

    rule = {"least": size, "most": size, "bin_of": bin_of}
    run = simulate(draw, 50.0, BatchTime(per_token=1.0), 3, 80_000, **rule)
    assert run["throughput"] == pytest.approx(batch.multi_bin_throughput(low, high, size, bins), rel=0.01)
    assert run["mean_batch"] == pytest.approx(size, rel=0.001)
    assert run["unstable"] == 1.0


def test_throughput_of_many_bins_is_that_of_the_mean():
    assert batch.multi_bin_throughput(1.0, 9.0, 8, 10**9) == pytest.approx(8 / 5)
    assert batch.multi_bin_throughput(1.0, 9.0, 1, 3) == pytest.approx(1 / 5)


def test_clipped_lengths():
    tokens, weights = batch.clipped(7.0, 0.7, 1600)
    assert weights.sum() == pytest.approx(1) and tokens[-1] == 1600
    assert weights[-1] == pytest.approx(0.2947 + weights[-2], abs=2e-4)


def test_impatience_of_exponential_sizes():
    """M/M/1 with fixed patience: P(V <= x) is P(V = 0) (mu - lambda e^(-(mu - lambda) x)) / (mu - lambda)."""
    for rate in (0.5, 1.3):
        atoms = (np.arange(60_000) + 0.5) / 1500
        weights = np.diff(-np.exp(-np.arange(60_001) / 1500))
        weights[-1] += 1 - weights.sum()
        patience, gap = 3.0, 1.0 - rate
        k = (1 - rate * math.exp(-gap * patience)) / gap
        area = (patience - rate * -math.expm1(-gap * patience) / gap) / gap
        found = impatience.impatient(rate, atoms, weights, patience)
        assert found["loss"][0] == pytest.approx(1 - k / (1 + rate * k), abs=1e-6)
        assert found["served_wait"][0] == pytest.approx(patience - area / k, rel=1e-5)


def test_impatience_of_equal_sizes_within_one_of_them():
    """Who waits for at most one size: below it K grows as e^(rate x)."""
    found = impatience.impatient(0.8, np.array([2.0]), ONE, 1.5)
    k = math.exp(0.8 * 1.5)
    assert found["loss"][0] == pytest.approx(1 - k / (1 + 1.6 * k), abs=1e-8)
    assert found["served_wait"][0] == pytest.approx(1.5 - (k - 1) / 0.8 / k, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: serve_batches([2, 1], [1, 1], BatchTime(1)), "ascend"),
        (lambda: serve_batches([1, 2], [1], BatchTime(1)), "one length"),
        (lambda: serve_batches([1, 2], [1, -1], BatchTime(1)), "tokens"),
        (lambda: serve_batches([1, 2], [1, 1], BatchTime(1), least=3, most=2), "least"),
        (lambda: serve_batches([1, 2], [1, 1], BatchTime(1), bins=np.array([0.5, 1])), "whole numbers"),
        (lambda: BatchTime(), "always 0"),
        (lambda: BatchTime(-1), "fixed=-1"),
        (lambda: simulate(None, 0, BatchTime(1), 1, 10), "rate"),
        (lambda: batch.gather_all(1, BatchTime(1), ONE, 2 * ONE), "add to 1"),
        (lambda: batch.gather_all(0.1, BatchTime(1), ONE, ONE, least=3, most=2), "least is 3"),
        (lambda: batch.inoue_bounds(2, 1, 1), "below 1"),
        (lambda: batch.multi_bin_throughput(2, 1, 1, 1), "low"),
        (lambda: batch.clipped(7, 0.7, 0), "limit"),
        (lambda: impatience.impatient(0, ONE, ONE, 1), "above 0"),
        (lambda: impatience.impatient(1, ONE, 2 * ONE, 1), "add to 1"),
    ],
)
def test_what_makes_no_sense_is_said(call, said):
    with pytest.raises(InputError, match=said):
        call()
