"""Tokens given out to questions: nothing is lost, the rules do what they say, and the bounds are those of the law."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import allotment
from openqueues.models.llm.questions import known, questions
from openqueues.models.policies import policy

POLICIES = Path(__file__).parent.parent / "problems" / "depth-predictions" / "policies"
NAMES = ("equal", "curve", "refined", "agreeing", "sure", "oracle")
LAW = (0.6, 0.95, 0.25)


def rule(name, **changed):
    read = policy(str(POLICIES / f"{name}.py"))
    return replace(read, parameters={**read.parameters, **changed})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bend", [3.0, -3.0])
def test_the_budget_is_spent_and_chains_take_no_more_than_they_have(name, bend):
    asked = questions(200, 3, most=1, bend=bend)
    for tokens in (0, 1, 5_000, 60_000):
        given = allotment.allot(asked, tokens, rule(name))
        assert np.all(given.tokens <= asked.tokens[:, 0])
        assert tokens - allotment.PROBE < given.all_tokens.sum() <= tokens
        assert np.array_equal(given.right, asked.luck[:, 0] < given.chance)
        assert np.all(given.probes <= given.tokens // allotment.SLICE)


def test_with_tokens_for_all_every_chain_that_is_not_stopped_ends():
    asked = questions(200, 4, most=1)
    for name in ("equal", "curve", "refined", "sure", "oracle"):
        given = allotment.allot(asked, 10 * asked.tokens.sum(), rule(name))
        assert np.array_equal(given.tokens, asked.tokens[:, 0])
        assert given.chance == pytest.approx(asked.success)


def test_equal_shares_differ_by_a_slice_at_most():
    asked = questions(300, 5, most=1)
    given = allotment.allot(asked, 60_000, rule("equal"))
    open_ = given.tokens < asked.tokens[:, 0]
    assert np.ptp(given.tokens[open_]) <= allotment.SLICE
    assert given.tokens[~open_].max() <= given.tokens[open_].max()


def test_agreeing_stops_where_three_probes_in_turn_agree_and_nowhere_before():
    asked = questions(150, 6, most=1)
    given = allotment.allot(asked, 10 * asked.tokens.sum(), rule("agreeing"))
    for q in range(len(asked)):
        total = int(asked.tokens[q, 0])
        answers = allotment.probed_answers(asked, q, total, allotment.SLICE)[1]
        runs = [k for k in range(2, len(answers)) if answers[k] == answers[k - 1] == answers[k - 2]]
        assert given.tokens[q] == (allotment.SLICE * (runs[0] + 1) if runs else total)


@pytest.mark.parametrize("bend", [3.0, -3.0])
def test_equal_shares_and_the_oracle_have_the_values_of_the_law(bend):
    """4,000 questions: 0.4 points of the mean success and 1% of the tokens are within the noise of the sample."""
    asked = questions(4_000, 7, most=1, bend=bend)
    tokens = 0.25 * asked.tokens.mean()
    found = {name: allotment.allot(asked, tokens * 4_000, rule(name)).chance.mean() for name in ("equal", "oracle")}
    assert found["equal"] == pytest.approx(allotment.equal_shares(tokens, *LAW, bend), abs=0.012)
    relaxed = allotment.most_right(tokens, *LAW, bend, hindsight=False)
    assert found["oracle"] == pytest.approx(relaxed, abs=0.012)
    assert found["oracle"] - found["equal"] > 0.015


@pytest.mark.parametrize("bend", [3.0, -3.0])
def test_the_bound_in_hindsight_is_a_knapsack_of_the_tokens_after_which_chains_are_right(bend):
    asked = questions(100_000, 8, most=1, bend=bend)
    share = np.linspace(0, 1, 4001)
    needed = np.interp(asked.luck[:, 0] / asked.success, known(share, bend), share, right=np.inf) * asked.tokens[:, 0]
    spent = np.cumsum(np.sort(needed))
    for tokens in (0.03 * asked.tokens.mean(), 0.1 * asked.tokens.mean()):
        best = np.searchsorted(spent, tokens * len(asked)) / len(asked)
        assert allotment.most_right(tokens, *LAW, bend) == pytest.approx(best, abs=0.006)


def test_the_rate_is_the_steepest_way_to_a_later_point():
    value, cost = np.array([[0.0, 0.1, 0.5, 0.5, 0.6]]), np.array([[0.0, 1.0, 2.0, 2.5, 2.5]])
    # From the start 0.5 / 2; from the second point 0.4 / 1; then 0.1 / 0.5; nothing costs nothing at the end.
    assert allotment._steepest(value, cost)[0] == pytest.approx([0.25, 0.4, 0.2, 0.0])


def test_forecasts_are_expectations_of_what_the_questions_do():
    asked = questions(60_000, 9, most=1, skill=0.8, bend=-3.0)
    made = allotment.forecast(0.8, *LAW, -3.0, 2)
    total = asked.tokens[:, 0]
    for k, these in enumerate((asked.predicted_difficulty < 0.5, asked.predicted_difficulty >= 0.5)):
        points = allotment.SLICE * np.arange(80)
        right = [(asked.success * known(at / total, -3.0))[these].mean() for at in points]
        taken = [np.minimum(total, at)[these].mean() for at in points]
        found = allotment._steepest(np.array([right]), np.array([taken]))[0]
        assert made.running[k, :10] == pytest.approx(found[:10], rel=0.05)
        assert made.middle[k] == pytest.approx(np.median(total[these]), rel=0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def decide(spent):\n    return spent * float('nan')\n", "decide gives nan for question 0"),
        ("def decide(left):\n    return left\n", "decide takes 'left'"),
        ("def decide(tokens):\n    return tokens\n", "decide takes 'tokens'"),
    ],
)
def test_a_policy_that_breaks_the_rules_is_refused(text, said, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f'"""Mine."""\n\nSEES = ("spent",)\nSHAPE = "decision"\nINFORMATION = "blind"\n\n\n{text}')
    with pytest.raises(InputError, match=said):
        allotment.allot(questions(5, 1, most=1), 1000, policy(str(file)))


def test_numbers_out_of_range_are_refused():
    with pytest.raises(InputError, match="tokens is -1"):
        allotment.allot(questions(5, 1, most=1), -1, rule("equal"))
    with pytest.raises(InputError, match="bend of the questions is 0"):
        questions(5, 1, bend=0.0)
