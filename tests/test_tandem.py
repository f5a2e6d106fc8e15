"""Two stations in tandem: the kernel against its slow twin and closed forms, and the theories against both."""

import math

import numpy as np
import pytest
import slow_tandem
from hypothesis import given, settings
from hypothesis import strategies as st
from openqueues import registry
from openqueues.models.analysis import tandem as theory
from openqueues.models.errors import InputError
from openqueues.models.laws import size_law
from openqueues.models.queues.tandem import ORDERS, Tandem, _ranks, draw, serve

EXPONENTIAL = size_law("exponential")


def latencies(tandem, rate, prompt, answer, n, order="fcfs", laws=(EXPONENTIAL, EXPONENTIAL), seed=1):
    """(mean time to the end of the prompt, mean latency) without the first tenth."""
    arrival, prompts, answers = draw(rate, *laws, 0.0, seed, n)
    times = serve(tandem, arrival, prompt * prompts, answer * answers, order)
    return [float((when - arrival)[n // 10 :].mean()) for when in (times.first, times.finish)]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(ORDERS),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([0.0, 1.0, 5.0, math.inf]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 1.0]),
)
def test_every_request_meets_what_the_slow_twin_gives_it(seed, order, c1, c2, batch, step0, room, transfer, sigma):
    if order == "remaining" and c2 == 0:
        order = "stage"
    rng = np.random.default_rng(seed)
    n = 60
    tandem = Tandem(c1, c2, batch, step0, 0.6, room, transfer if c2 else 0.0)
    gaps, prompt, answer = rng.standard_exponential((3, n))
    arrival = np.cumsum(gaps) / rng.uniform(0.5, 3.0)
    guess = answer * np.exp(sigma * rng.standard_normal(n))
    times = serve(tandem, arrival, prompt, answer, order, guess)
    slow = slow_tandem.tandem(
        arrival, prompt, answer, *_ranks(order, tandem, prompt, guess), tandem.transfer, c1, c2, batch, tandem.places,
        step0, 0.6, order == "remaining", tandem.pooled,
    )  # fmt: skip
    for name, other in zip(("first", "moved", "finish"), slow, strict=True):
        np.testing.assert_allclose(getattr(times, name), other, rtol=1e-9, err_msg=name)
    assert np.all(times.first <= times.moved) and np.all(times.moved + tandem.transfer <= times.finish)


def test_one_server_each_obeys_the_recursion_of_a_line_with_blocking():
    rng = np.random.default_rng(2)
    n, room, transfer = 4000, 3, 0.25
    arrival = np.cumsum(rng.standard_exponential(n)) * 1.3
    prompt, answer = rng.standard_exponential((2, n))
    times = serve(Tandem(room=room, transfer=transfer), arrival, prompt, answer)
    moved, finish = np.zeros(n), np.zeros(n)
    for j in range(n):
        first = max(arrival[j], moved[j - 1] if j else 0.0) + prompt[j]
        moved[j] = max(first, finish[j - room - 1] if j > room else 0.0)
        finish[j] = max(moved[j] + transfer, finish[j - 1] if j else 0.0) + answer[j]
        assert times.first[j] == pytest.approx(first, rel=1e-12)
    np.testing.assert_allclose(times.moved, moved, rtol=1e-12)
    np.testing.assert_allclose(times.finish, finish, rtol=1e-12)


@pytest.mark.parametrize(("room", "capacity"), [(0, 2 / 3), (2, 4 / 5), (8, 10 / 11)])
def test_a_saturated_line_leaves_at_the_rate_of_hunt(room, capacity):
    demand, tandem = theory.Demand(1e-3, 1.0, 1.0), Tandem(room=room)
    assert theory.saturated(demand, tandem) == pytest.approx(capacity, rel=1e-12)
    rng = np.random.default_rng(room)
    n = 200_000
    times = serve(tandem, np.zeros(n), *rng.standard_exponential((2, n)))
    assert n / times.finish.max() == pytest.approx(capacity, rel=0.01)


def test_jackson_is_exact_with_several_servers():
    tandem, rate = Tandem(2, 3), 1.5
    first, latency = theory.product_form(theory.Demand(rate, 1.0, 1.2), tandem)
    # M/M/2 by hand: 1 / (1 - u^2) of the mean; Erlang's C for 3 servers at 1.8.
    assert first == pytest.approx(1 / (1 - 0.75**2), rel=1e-12)
    a, u = 1.8, 0.6
    wait = a**3 / 6 / (1 - u) / (1 + a + a**2 / 2 + a**3 / 6 / (1 - u))
    assert latency - first == pytest.approx(1.2 + wait * 1.2 / (3 - a), rel=1e-12)
    found = latencies(tandem, rate, 1.0, 1.2, 200_000)
    assert found == pytest.approx([first, latency], rel=0.02)


@pytest.mark.parametrize("law", ["deterministic", "exponential", "weibull:shape=0.5"])
def test_a_batch_is_processor_sharing_with_a_state_dependent_rate_for_every_law(law):
    """Burke: exponential prompts send a Poisson stream. With n requests each goes at 1/(0.5 + 0.02 n)."""
    tandem, rate, answer = Tandem(1, 1, 400, 0.5, 0.02), 1.2, 20.0
    weights = [1.0]
    for n in range(1, 400):
        weights.append(weights[-1] * rate * answer * (0.5 + 0.02 * n) / n)
    by_hand = sum(n * weight for n, weight in enumerate(weights)) / sum(weights) / rate
    first, latency = theory.product_form(theory.Demand(rate, 0.3, answer), tandem)
    assert latency - first == pytest.approx(by_hand, rel=1e-9)
    law = size_law(law)
    found = latencies(tandem, rate, 0.3, answer / law.mean, 100_000, laws=(EXPONENTIAL, law))
    assert found[1] - found[0] == pytest.approx(by_hand, rel=0.02)


def test_decomposition_knows_m_g_1():
    law = size_law("weibull:shape=0.5")
    scv = law.moment(2) / law.mean**2 - 1
    demand = theory.Demand(0.7, 1.0, 0.5, scv, 1.0)
    first, latency = theory.decomposition(demand, Tandem())
    assert first == pytest.approx(1 + 0.7 * (1 + scv) / (2 * 0.3), rel=1e-12)
    # Departures of M/G/1 have exactly this scv.
    into = theory.departure_scv(0.7, 1.0, scv)
    assert into == pytest.approx(1 + 0.49 * (scv - 1), rel=1e-12)
    arrival, prompts, answers = draw(0.7, law, EXPONENTIAL, 0.0, 3, 200_000)
    gaps = np.diff(np.sort(serve(Tandem(), arrival, prompts / law.mean, answers).first))
    assert np.var(gaps) / np.mean(gaps) ** 2 == pytest.approx(into, rel=0.05)
    assert latency - first == pytest.approx(0.5 + (into + 1) / 2 * 0.7 * 0.25 / 0.65, rel=1e-12)


def test_theories_agree_where_they_must():
    demand = theory.Demand(0.6, 1.0, 1.0)
    for name in ("product_form", "decomposition", "bottleneck", "blocking", "priority"):
        assert theory.predict(name, demand, Tandem()) == pytest.approx((2.5, 5.0), rel=1e-12), name
    assert theory.alone(demand, Tandem(transfer=0.5)) == (1.0, 2.5)
    equal = theory.Demand(0.6, 1.0, 1.0, 0.0, 0.0)
    assert theory.distserve(equal, Tandem())[0] == pytest.approx(1 + 0.6 / 0.8, rel=1e-12)
    # Much room is no blocking; too little is no stability; a pooled line is one queue.
    assert theory.blocking(demand, Tandem(room=60)) == pytest.approx((2.5, 5.0), rel=1e-6)
    assert theory.blocking(theory.Demand(0.7, 1.0, 1.0), Tandem(room=0)) == (math.inf, math.inf)
    assert theory.blocking(theory.Demand(0.66, 1.0, 1.0), Tandem(room=0))[1] < math.inf
    correlated = theory.Demand(0.3, 1.0, 1.0, correlation=1.0)
    assert theory.decomposition(correlated, Tandem(1, 0))[1] == pytest.approx(2 + 0.3 * 8 / 2 / 0.4, rel=1e-12)
    for name in theory.THEORIES:
        assert name == "alone" or theory.predict(name, theory.Demand(1.01, 1.0, 1.0), Tandem())[1] == math.inf, name


@pytest.mark.parametrize("order", ["stage", "remaining"])
def test_an_order_at_the_first_station_is_that_of_m_g_1(order):
    demand = theory.Demand(0.8, 1.0, 1.0, order=order)
    first, latency = theory.priority(demand, Tandem())
    found = latencies(Tandem(), 0.8, 1.0, 1.0, 100_000, order)
    assert found[0] == pytest.approx(first, rel=0.03)
    assert found[1] == pytest.approx(latency, rel=0.1), "the input of the second station is not Poisson"


def test_what_makes_no_sense_is_refused():
    for setting, message in (
        ({"prompt_servers": 0}, "prompt_servers of a tandem is 0"),
        ({"room": -1}, "room of a tandem is -1"),
        ({"batch": 1.5}, "batch of a tandem is 1.5"),
        ({"step1": 0.0}, "both 0"),
        ({"transfer": math.nan}, "transfer"),
    ):
        with pytest.raises(InputError, match=message):
            Tandem(**setting)
    one = np.ones(1)
    with pytest.raises(InputError, match="unknown order 'lifo'"):
        serve(Tandem(), one, one, one, "lifo")
    with pytest.raises(InputError, match="answer of request 0 is -1"):
        serve(Tandem(), one, one, -one)
    with pytest.raises(InputError, match="ascend"):
        serve(Tandem(), np.array([1.0, 0.0]), np.ones(2), np.ones(2))
    with pytest.raises(InputError, match="pooled servers do not"):
        serve(Tandem(1, 0), one, one, one, "remaining")
    with pytest.raises(InputError, match="correlation is 2"):
        draw(1.0, EXPONENTIAL, EXPONENTIAL, 2, 1, 1)
    with pytest.raises(InputError, match="unknown theory 'jackson'"):
        theory.predict("jackson", theory.Demand(0.5, 1.0, 1.0), Tandem())
    with pytest.raises(InputError, match="rate of a demand is 0"):
        theory.Demand(0, 1.0, 1.0)


def test_the_entry_corrects_the_correlation_of_normals_and_names_what_is_wrong():
    problem = registry.problem(registry.entry("tandem-theory"))
    _, one, two = draw(1.0, EXPONENTIAL, EXPONENTIAL, -0.9, 1, 200_000)
    assert problem._correlation("exponential", -0.9) == pytest.approx(np.corrcoef(one, two)[0, 1], abs=0.005)
    assert problem._correlation("exponential", 1.0) == pytest.approx(1.0, abs=1e-9)
    point = {"workload": "unit", "balance": "equal", "sizes": "exponential", "organisation": "1:1", "load": 0.5}
    for change, message in (
        ({"load": 1.5}, "load is 1.5"),
        ({"organisation": "two"}, "organisation is 'two'"),
        ({"balance": "even"}, "unknown balance 'even'"),
        ({"gpus": 8}, "unknown parameter 'gpus'"),
    ):
        with pytest.raises(InputError, match=message):
            problem.simulate(point | change, "alone", 1, 10)
