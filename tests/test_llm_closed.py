"""The closed loop: each client sends its next request when the last one has ended, and the engine serves what comes."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import Cluster, Hardware, Instance, Requests, closed_loop, serve, serve_cluster

LAW = Hardware(prefill_step_ms=4, prefill_token_ms=0.05, decode_step_ms=8, decode_seq_ms=0.5, kv_token_ms=0.001)
THINK_S = 0.003


def run(clients: int, each: int, policy: str = "sarathi", think_s: float | np.ndarray = THINK_S, **limits):
    rng = np.random.default_rng(3)
    lengths = rng.integers(20, 400, (clients, each)), rng.integers(2, 60, (clients, each))
    programs = closed_loop(*lengths, think_s=think_s)
    limits = {"max_batch": clients, "token_budget": 512} | limits
    return programs, serve_cluster(programs, Cluster([Instance(LAW, **limits)]), policy), limits


def test_one_client_takes_what_the_law_says():
    served = serve_cluster(
        closed_loop([[100, 100]], [[11, 11]], think_s=THINK_S), Cluster([Instance(LAW, token_budget=512)]), "sarathi"
    )
    ttft = (4 + 0.05 * 100) / 1000
    decode = sum(8 + 0.5 + 0.001 * (100 + made) for made in range(1, 11)) / 1000
    np.testing.assert_allclose(served.first_token_s - served.arrival_s, ttft)
    np.testing.assert_allclose(served.finish_s - served.first_token_s, decode)
    np.testing.assert_allclose(served.arrival_s, [0, ttft + decode + THINK_S])


def test_clients_alike_stay_together():
    clients, prompt, answer = 6, 50, 21
    served = serve_cluster(
        closed_loop(np.full((clients, 3), prompt), np.full((clients, 3), answer)),
        Cluster([Instance(LAW, max_batch=clients, token_budget=1000)]),
        "sarathi",
    )
    step = lambda made: (8 + clients * (0.5 + 0.001 * (prompt + made))) / 1000  # noqa: E731
    np.testing.assert_allclose(served.first_token_s - served.arrival_s, (4 + 0.05 * clients * prompt) / 1000)
    np.testing.assert_allclose(served.finish_s - served.first_token_s, sum(step(made) for made in range(1, answer)))


@pytest.mark.parametrize("policy", ["sarathi", "orca", "vllm"])
@pytest.mark.parametrize("kv_tokens", [0, 2000])
def test_requests_arrive_when_the_last_has_ended_and_are_served_as_if_they_came_from_outside(policy, kv_tokens):
    clients, each = 9, 12
    think = np.random.default_rng(1).exponential(THINK_S, (clients, each))
    programs, served, limits = run(clients, each, policy, think_s=think, kv_tokens=kv_tokens)
    finish, arrival = (values.reshape(clients, each) for values in (served.finish_s, served.arrival_s))
    np.testing.assert_allclose(arrival[:, 0], 0)
    np.testing.assert_allclose(arrival[:, 1:], finish[:, :-1] + think[:, 1:])
    order = np.argsort(served.arrival_s, kind="stable")
    tokens = programs.requests.input_tokens[order], programs.requests.output_tokens[order]
    outside = serve(Requests(served.arrival_s[order], *tokens), LAW, policy, **limits)
    np.testing.assert_allclose(outside.first_token_s, served.first_token_s[order])
    np.testing.assert_allclose(outside.finish_s, served.finish_s[order])


def test_no_more_requests_are_in_the_system_than_there_are_clients():
    _, served, _ = run(7, 10, think_s=0.0)
    events = sorted([(time, 1) for time in served.arrival_s] + [(time, -1) for time in served.finish_s])
    assert np.cumsum([change for _, change in events]).max() == 7


def test_loops_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="clients, requests of each"):
        closed_loop([1, 2], [3, 4])
    with pytest.raises(InputError, match="one time for each of the 2 clients"):
        closed_loop([[1], [2]], [[3], [4]], start_s=[0.0])
    with pytest.raises(InputError, match="delay_s"):
        closed_loop([[1, 1]], [[3, 3]], think_s=-1.0)
