"""Laws of programs: calls, graphs, reasoning; what they promise, whatever serves them."""

from __future__ import annotations

import os
from math import comb
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import calls, make_calls
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.questions import questions
from openqueues.models.llm.reasoning import majority, search, thought, tree
from openqueues.models.llm.workflows import workflow

# Of each class the mean and deviation of the seconds of a call and the mean number of calls in the file of segments,
# the last call of a request left out where nothing follows it.
MEASURED = {
    "math": (8.329e-5, 4.803e-5, 2.806),
    "qa": (0.7086, 0.2091, 3.04),
    "virtual_env": (0.08506, 0.01469, 4.352),
    "chatbot": (28.23, 18.35, 3.462),
    "image": (18.49, 14.38, 5.923),
    "speech_tts": (15.29, 16.19, 5.923),
}


def of_class(programs: Programs, kind: str):
    """(delays of the calls, calls of each request)"""
    mine = programs.values[:, 0] == calls.CLASSES.index(kind)
    called = mine & (programs.continues >= 0)
    return programs.delay_s[called], np.bincount(programs.program[called]).sum() / mine[programs.begins[:-1]].sum()


@pytest.mark.parametrize("kind", calls.CLASSES)
def test_calls_have_the_measured_means(kind):
    programs = calls.with_calls("poisson:rate=3", 2000, seed=1, mix=kind, data="fitted")
    delays, each = of_class(programs, kind)
    mean, deviation, number = MEASURED[kind]
    assert delays.mean() == pytest.approx(mean, rel=0.05) and delays.std() == pytest.approx(deviation, rel=0.08)
    assert each == pytest.approx(number, rel=0.05)
    assert programs.predicted_delay_s[programs.continues >= 0].mean() == pytest.approx(delays.mean(), rel=0.05)


@pytest.mark.parametrize("kind", calls.CLASSES)
def test_published_calls_have_the_published_means(kind):
    programs = calls.with_calls("poisson:rate=3", 1500, seed=2, mix=kind, data="published")
    delays, each = of_class(programs, kind)
    (mean, deviation), (number, _) = calls.PUBLISHED[kind]
    # After the last call of image and others nothing follows.
    last = 1 if calls.tables()[kind]["last"] == [] else 0
    assert delays.mean() == pytest.approx(mean, rel=0.03) and delays.std() == pytest.approx(deviation, rel=0.06)
    assert each == pytest.approx(number - last, rel=0.04)


@pytest.mark.parametrize("data", ["fitted", "published"])
def test_contexts_grow_and_the_first_programs_do_not_depend_on_how_many(data):
    programs = calls.with_calls("poisson:rate=3", 200, seed=4, data=data)
    assert np.all(programs.new_tokens[programs.continues >= 0] >= 0)
    assert set(programs.values[:, 0]) == set(range(6))
    few = calls.with_calls("poisson:rate=3", 50, seed=4, data=data)
    n = len(few)
    for name in ("arrival_s", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(few.requests, name), getattr(programs.requests, name)[:n])
    assert np.array_equal(few.delay_s, programs.delay_s[:n]) and few.count == 50


@pytest.mark.skipif(not os.environ.get("OPENQUEUES_DATA"), reason="OPENQUEUES_DATA is not set")
def test_the_tables_are_those_of_the_file():
    rows = calls.read_rows(Path(os.environ["OPENQUEUES_DATA"]) / calls.FILE)
    assert make_calls.text(rows) == calls.TABLES.read_text()
    for kind, (mean, deviation, number) in MEASURED.items():
        own = [row.delay if row.last else row.delay[:-1] for row in rows if row.kind == kind]
        delays = np.concatenate(own)
        assert np.mean([len(one) for one in own]) == pytest.approx(number, rel=5e-3)
        assert (delays.mean(), delays.std()) == pytest.approx((mean, deviation), rel=5e-3)


def test_calls_are_those_of_the_file_where_it_is(monkeypatch, tmp_path):
    lines = [
        "request,kind,segment,context_tokens_at_start,decode_tokens,api_time_s,api_return_tokens",
        "0,math,0,10,5,0.5,3",
        "0,math,1,18,2,,",
        "1,image,0,7,4,2.0,-1",
        "1,image,1,,6,1.0,9",
    ]
    (tmp_path / calls.FILE).write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("OPENQUEUES_DATA", str(tmp_path))
    programs = calls.with_calls("closed", 20, seed=1, mix=("math", "image"), shares=(1, 1))
    stages = {
        kind: programs.requests.input_tokens[programs.values[:, 0] == calls.CLASSES.index(kind)].tolist()
        for kind in ("math", "image")
    }
    count = len(stages["math"]) // 2
    assert stages == {"math": [10, 18] * count, "image": [7, 11] * (20 - count)} and 0 < count < 20
    (tmp_path / calls.FILE).write_text("request,kind\n0,math\n")
    calls.read_rows.cache_clear()
    with pytest.raises(InputError, match="is not the table of segments"):
        calls.with_calls("closed", 20, seed=1)


def test_graphs_have_their_shapes():
    lengths = "fixed:input=10,output=4"
    chain = workflow("chain:stages=3", "closed", lengths, 2, seed=1)
    assert chain.after.tolist() == [0, 1, 3, 4] and chain.requests.input_tokens.tolist() == [10, 14, 14] * 2
    fork = workflow("fork:branches=4,need=3", "closed", lengths, 1, seed=1)
    assert fork.need.tolist() == [0, 1, 1, 1, 1, 3]
    assert fork.requests.input_tokens.tolist() == [10, 14, 14, 14, 14, 10 + 3 * 4]
    assert fork.path(np.ones(6)).tolist() == [3, 2, 2, 2, 2, 1] and fork.path(np.ones(6), own=False)[0] == 2
    layers = workflow("layered:layers=5,width=4,share=0,models=3,carry=false", "closed", lengths, 400, seed=1)
    depth = layers.values[:, 0]
    assert np.array_equal(depth[layers.after], np.repeat(depth, np.diff(layers.after_start)) - 1)
    # Without further ones, each waits for one stage of the layer before; widths are uniform from 1 to 4.
    assert np.array_equal(np.diff(layers.after_start), (depth > 0).astype(int))
    assert len(layers) / (400 * 5) == pytest.approx(2.5, rel=0.05)
    assert np.bincount(layers.model) / len(layers) == pytest.approx([1 / 3] * 3, abs=0.03)
    few = workflow("layered:layers=5,width=4,share=0,models=3,carry=false", "closed", lengths, 7, seed=1)
    assert np.array_equal(few.after, layers.after[: len(few.after)]) and np.array_equal(
        few.model, layers.model[: len(few)]
    )


def test_lengths_by_model():
    laws = ["fixed:input=10,output=4", "fixed:input=20,output=8"]
    programs = workflow("chain:stages=2,models=2,carry=false", "closed", laws, 50, seed=1)
    assert np.array_equal(programs.requests.input_tokens, 10 + 10 * programs.model)
    with pytest.raises(InputError, match="3 laws of lengths were given for 2 models"):
        workflow("chain:stages=2,models=2", "closed", [*laws, laws[0]], 50, seed=1)


def test_a_majority_is_right_as_often_as_the_binomial_law_says():
    """With one wrong answer, chains of a question are right independently of each other, with its probability."""
    n = 4000
    asked = questions(n, seed=3, most=5, options=1)
    for chains in (1, 3, 5):
        p = asked.success
        exact = sum(comb(chains, k) * p**k * (1 - p) ** (chains - k) for k in range(chains // 2 + 1, chains + 1))
        found = majority(asked, "closed", chains=chains, seed=3).right()
        assert abs(found.mean() - exact.mean()) < 3 * np.sqrt((exact * (1 - exact)).sum()) / n


def test_more_tokens_never_hurt_and_harder_questions_take_longer():
    asked = questions(2000, seed=4)
    right = [asked.answers(tokens) == 0 for tokens in (50, 400, 2000, np.inf)]
    for fewer, more in zip(right, right[1:], strict=False):
        assert not np.any(fewer & ~more) and fewer.mean() < more.mean()
    assert right[-1].mean() == pytest.approx((0.95 + 0.25) / 2, abs=0.02)
    assert np.corrcoef(asked.difficulty, np.log(asked.tokens[:, 0]))[0, 1] > 0.5
    # The law of complete chains is the measured one.
    assert asked.tokens.mean() == pytest.approx(1366, rel=0.1)
    few = questions(10, seed=4)
    assert np.array_equal(few.tokens, asked.tokens[:10]) and np.array_equal(few.prompt, asked.prompt[:10])


def test_a_vote_counts_what_is_done():
    asked = questions(1, seed=1, most=4, options=3)
    reasoned = majority(asked, "closed", chains=4, need=2, seed=1)
    assert reasoned.programs.need.tolist() == [0, 0, 0, 0, 2]
    votes = np.array([True] * 5)
    for answers, done, right in (
        ([0, 0, 1, 2], votes, True),
        ([1, 0, 0, 1], votes, False),
        ([1, 0, 0, 1], np.array([False, True, True, True, True]), True),
        ([1, 2, 3, 0], np.zeros(5, bool), False),
    ):
        reasoned.answer[:4] = answers
        assert reasoned.right(done).tolist() == [right]


def test_probes_stop_sooner_where_fewer_must_agree():
    asked = questions(400, seed=5)
    full = thought(asked, "closed", seed=5)
    assert np.array_equal(full.programs.requests.output_tokens, asked.tokens[:, 0])
    means, shares = [], []
    for agree in (8, 5, 3, 2):
        probed = thought(asked, "closed", seed=5, probe_every=64, agree=agree)
        means.append(probed.programs.requests.output_tokens.mean())
        shares.append(probed.right().mean())
        # Each probe writes 20 tokens, and there is none at or after the end.
        tokens = probed.programs.requests.output_tokens
        assert np.all(tokens <= asked.tokens[:, 0] + 20 * ((asked.tokens[:, 0] - 1) // 64))
    assert means == sorted(means, reverse=True) and shares == sorted(shares, reverse=True)
    assert full.right().mean() >= shares[0]


def test_a_tree_expands_scores_and_shares():
    asked = questions(20, seed=6)
    reasoned = tree(asked, "closed", seed=6, width=4, rounds=3, judge=1)
    programs = reasoned.programs
    assert len(programs) == 20 * 3 * 5
    assert programs.after[:14].tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 9, 9]
    assert programs.model[:15].tolist() == [-1] * 4 + [1] + [-1] * 4 + [1] + [-1] * 5
    assert np.array_equal(np.flatnonzero(reasoned.answer[:15] >= 0), [10, 11, 12, 13])
    blocks = [programs.requests.prefix_blocks[slice(*programs.requests.prefix_start[i : i + 2])] for i in range(15)]
    root = asked.prompt[0] // 16
    for i in range(5, 9):
        assert np.array_equal(blocks[i][:root], blocks[0]) and len(blocks[i]) == programs.requests.input_tokens[i] // 16
    # Two steps below one node begin alike, steps below different nodes do not.
    inputs = programs.requests.input_tokens[5:9]
    for i in range(4):
        for j in range(i):
            same = np.array_equal(blocks[5 + i], blocks[5 + j])
            assert same == (len(blocks[5 + i]) == root or (inputs[i] == inputs[j] and same))


def test_a_search_has_so_many_simulations_under_way():
    asked = questions(5, seed=7)
    reasoned = search(asked, "closed", seed=7, simulations=6, at_once=2, children=2)
    programs = reasoned.programs
    assert len(programs) == 5 * 13
    begins = programs.after_start[:14]
    waits = [programs.after[begins[i] : begins[i + 1]].tolist() for i in range(13)]
    assert waits[:12] == [[], [0], [], [2], [1], [4], [3], [6], [5], [8], [7], [10]]
    assert waits[12] == [1, 3, 5, 7, 9, 11]
    assert programs.continues[:13].tolist() == [-1, 0, -1, 2, -1, 4, -1, 6, -1, 8, -1, 10, -1]
    assert np.all(programs.new_tokens[1:12:2] == 0)


WRONG = {
    "class": (lambda: calls.with_calls("closed", 5, 1, mix="maths"), "did you mean 'math'"),
    "shares": (lambda: calls.with_calls("closed", 5, 1, mix="math", shares=(1, 2)), "shares must be 1 numbers"),
    "data": (lambda: calls.with_calls("closed", 5, 1, data="fited"), "did you mean 'fitted'"),
    "none": (lambda: calls.with_calls("closed", 0, 1), "0 requests were asked for"),
    "replay": (lambda: calls.with_calls("replay", 5, 1), "no trace of arrivals to replay"),
    "shape": (lambda: workflow("forks:branches=2", "closed", "lmsys", 5, 1), "did you mean 'fork'"),
    "need": (lambda: workflow("fork:branches=2,need=3", "closed", "lmsys", 5, 1), "a whole number from 1 to 2"),
    "depth": (lambda: questions(5, 1, depth=0.9, alike=0.5), "leave no room for a chain"),
    "hard": (lambda: questions(5, 1, hard=1.5), "hard of the questions is 1.5"),
    "chains": (lambda: majority(questions(5, 1, most=4), "closed", 5, 1), "a whole number from 1 to 4"),
    "budget": (lambda: majority(questions(5, 1), "closed", 5, 1, budget=0), "a number of tokens of at least 1"),
    "agree": (lambda: thought(questions(5, 1), "closed", 1, agree=0), "agree of at least 1"),
    "temperature": (lambda: tree(questions(5, 1), "closed", 1, temperature=0), "temperature is 0: it must be above 0"),
    "children": (lambda: search(questions(5, 1), "closed", 1, children=0), "children is 0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_laws_that_make_no_sense(what):
    make, message = WRONG[what]
    with pytest.raises(InputError) as raised:
        make()
    assert message in str(raised.value)
