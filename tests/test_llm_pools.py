"""Servers of two phases: who chooses an organisation, and the most that any can carry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openqueues.models import llm
from openqueues.models.errors import InputError
from openqueues.models.llm import pools
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests

CHEAPEST = '"""Least."""\n\nSEES = ("work",)\nSHAPE = "decision"\nPARAMETERS = {"least": 0.0}\n\n\n'
PLAIN = {"prefill_token_ms": 0.2, "decode_step_ms": 20.0, "decode_seq_ms": 0.5, "kv_token_ms": 0.001}


def law(**changed) -> Hardware:
    return Hardware(**{**PLAIN, "prefill_step_ms": 20.0, **changed})


def alike(prompt, answer, n=1, gap_s=0.0) -> Requests:
    return Requests(gap_s * np.arange(n), np.full(n, prompt), np.full(n, answer))


def written(tmp_path, body, head=CHEAPEST) -> str:
    path = tmp_path / "mine.py"
    path.write_text(head + body)
    return str(path)


def test_the_lowest_score_is_taken_and_of_equal_ones_the_first(tmp_path):
    policy = written(tmp_path, "def decide(work, least):\n    return max(work, least)\n")
    columns = [{"work": 3.0}, {"work": lambda: 1.0}, {"work": 2.0}]
    assert pools.chosen(policy, columns) == 1
    assert pools.chosen(policy + ":least=2", columns) == 1
    assert pools.chosen(policy + ":least=5", columns) == 0


def test_a_column_is_found_only_for_those_who_look(tmp_path):
    def never():
        raise AssertionError

    policy = written(tmp_path, "def decide(work):\n    return work\n")
    assert pools.chosen(policy, [{"work": 1.0, "dear": never}]) == 0


@pytest.mark.parametrize(
    "body, head, message",
    [
        ("def decide(work):\n    return work / 0 * 0 if work else float('nan')\n", CHEAPEST, "it must return a number"),
        ("def decide(work):\n    return True\n", CHEAPEST, "it must return a number"),
        ("def decide(left):\n    return left\n", CHEAPEST.replace('"work"', '"left"'), "'left'"),
        ("def rank(arrival):\n    return arrival\n", 'SEES = ("arrival",)\nSHAPE = "falling"\n\n\n', "by 'decision'"),
    ],
)
def test_a_policy_that_decides_nothing_is_named(tmp_path, body, head, message):
    with pytest.raises(InputError) as error:
        pools.chosen(written(tmp_path, body, head), [{"work": 0.0}])
    assert message in str(error.value)


def test_parameters_are_filled_where_they_are_wanted_and_not_given(tmp_path):
    policy = written(tmp_path, "def decide(work, least):\n    return work + least\n")
    assert pools.filled(policy, least=2.0, other=1.0) == policy + ":least=2.0"
    assert pools.filled(policy + ":least=7", least=2.0) == policy + ":least=7"


def test_requests_are_blended_by_their_share():
    first, second = alike(10, 1, 4000, 0.1), alike(20, 2, 4000, 0.1)
    mixed = pools.blended(first.arrival_s, first, second, np.repeat([0.0, 0.25, 1.0, 1.0], 1000), seed=3)
    assert np.array_equal(mixed.input_tokens == 20, mixed.output_tokens == 2)
    taken = (mixed.input_tokens == 20).reshape(4, 1000).mean(axis=1)
    assert taken[0] == 0 and taken[2] == taken[3] == 1
    assert abs(taken[1] - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1000)


def test_the_capacity_of_one_kind_is_its_busier_constraint():
    # 11 tokens of answers: 10 further ones, which attend to 101 + ... + 110 = 1055 tokens.
    own = 10 * 0.5 + 0.001 * 1055
    mixed, steps = 0.2 * 100 + own, 10 * 20 / 8 + own
    assert pools.capacity([(law(), 3)], alike(100, 11), 8) == pytest.approx(3000 / max(mixed, steps), rel=1e-9)
    assert pools.capacity([(law(), 3)], alike(100, 11), 128) == pytest.approx(3000 / mixed, rel=1e-9)


def test_two_kinds_share_by_what_each_does_best():
    """One kind computes prompts ten times faster, the other decodes ten times faster."""
    prompts = law(prefill_token_ms=0.1, decode_step_ms=0.0, decode_seq_ms=10.0, kv_token_ms=0.0)
    answers = law(prefill_token_ms=1.0, decode_step_ms=0.0, decode_seq_ms=1.0, kv_token_ms=0.0)
    requests = alike(100, 11)
    # 10 ms of either kind each: 100 a second of each server alone, if each does its own.
    assert pools.capacity([(prompts, 1), (answers, 1)], requests, 8) == pytest.approx(100, rel=1e-9)
    assert pools.capacity([(prompts, 1)], requests, 8) == pytest.approx(1000 / 110, rel=1e-9)
    assert pools.capacity([(prompts, 2), (answers, 1)], requests, 8) > 100


def test_a_falling_fit_has_its_least_time_per_token_where_it_meets_the_least_step():
    fitted = llm.hardware_law("llama2-70b-a100-tp4")
    tokens = np.arange(1, 20_000)
    least = min(fitted.step_ms(int(n), 0, 0, 0) / n for n in tokens)
    # They meet at 396.4 tokens.
    assert least * (1 - 1 / 396) < pools.prompt_token_ms(fitted) <= least
    assert pools.prompt_token_ms(law()) == 0.2


def test_laws_whose_capacity_is_not_known_are_refused():
    with pytest.raises(InputError, match="staircase"):
        pools.capacity([(law(tile_tokens=64, tile_ms=1.0), 1)], alike(10, 10), 8)
    with pytest.raises(InputError, match="mixed steps"):
        pools.capacity([(law(prefill_step_ms=0.0), 1)], alike(10, 10), 8)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["llama2-70b-h100-tp4", "llama2-70b-a100-tp4", "opt-13b-a100-tp1"]),
    prompt=st.integers(1, 3000),
    answer=st.integers(2, 300),
    policy=st.sampled_from(["vllm", "sarathi", "orca"]),
    n=st.integers(20, 120),
)
def test_no_server_is_faster_than_the_capacity(name, prompt, answer, policy, n):
    """Requests that are all there at once take at least their number over the capacity."""
    requests, one = alike(prompt, answer, n), llm.hardware_law(name)
    served = llm.serve(requests, one, policy, kv_tokens=0, max_batch=32)
    assert n / served.makespan_s <= pools.capacity([(one, 1)], requests, 32) * (1 + 1e-9)


def test_a_full_batch_is_the_largest_within_the_objective():
    one = law()
    batch = pools.full_batch(one, 1000, 0.05, 128)
    assert one.step_ms(0, 0, batch, 1000 * batch) <= 50 < one.step_ms(0, 0, batch + 1, 1000 * (batch + 1))
    assert pools.full_batch(one, 1000, 0.001, 128) == 1
    assert pools.full_batch(one, 1000, 10.0, 128) == 128


def test_a_controller_that_sees_predictions_is_of_their_class():
    assert {name: llm.controller(name).information for name in llm.controller_names()} == {
        "busy": "blind",
        "work": "predictions",
    }
