"""Which model answers which question: the law has the accuracies and agreements that were measured."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm.quality import pair, questions

N = 200_000


@pytest.mark.parametrize("name", ["gsm8k", "mmlu"])
def test_two_models_agree_as_often_as_measured(name):
    measured = pair(name)
    total = measured.both + measured.weak_only + measured.strong_only + measured.neither
    drawn = questions(measured.accuracies, N, seed=1, correlation=measured.correlation).correct
    for share, count in (
        (np.mean(drawn.all(axis=1)), measured.both),
        (np.mean(drawn[:, 0] & ~drawn[:, 1]), measured.weak_only),
        (np.mean(~drawn[:, 0] & drawn[:, 1]), measured.strong_only),
    ):
        assert share == pytest.approx(count / total, abs=4 * np.sqrt(0.25 / N))


def test_published_accuracies():
    """RouteLLM prints 63.8 and 85.7% on GSM8K, 68.1 and 80.6% on MMLU."""
    assert [f"{p:.1%}" for p in pair("gsm8k").accuracies] == ["63.8%", "85.7%"]
    assert [f"{p:.1%}" for p in pair("mmlu").accuracies] == ["68.1%", "80.6%"]


@pytest.mark.parametrize(("name", "blind", "knowing"), [("gsm8k", "80.4%", "17.6%"), ("mmlu", "67.8%", "8.5%")])
def test_calls_of_the_strong_model_for_95_percent_of_its_accuracy(name, blind, knowing):
    """As choose-the-model says beside RouteLLM's printed savings: blindly routed, and knowing who is right."""
    weak, strong = pair(name).accuracies
    missing = 0.95 * strong - weak
    assert [f"{missing / (strong - weak):.1%}", f"{missing:.1%}"] == [blind, knowing]


@pytest.mark.parametrize("noise", [0.0, 0.7, np.inf])
def test_predictions_are_calibrated(noise):
    """Of the questions that are predicted right with about probability p, a share p is; the less noise the sharper."""
    asked = questions((0.3, 0.8), N, seed=2, noise=noise, correlation=0.6)
    for model in range(2):
        predicted, correct = asked.predicted[:, model], asked.correct[:, model]
        for chosen in np.array_split(np.argsort(predicted), 10):
            allowed = 4 * np.sqrt(0.25 / len(chosen))
            assert correct[chosen].mean() == pytest.approx(predicted[chosen].mean(), abs=allowed)
    if noise == 0:
        np.testing.assert_allclose(asked.predicted, asked.probability)
    if np.isinf(noise):
        np.testing.assert_allclose(asked.predicted, [[0.3, 0.8]] * N)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"accuracies": (0.5, 1.0)}, "between 0 and 1"),
        ({"accuracies": (0.5,), "noise": -1.0}, "at least 0"),
        ({"accuracies": (0.5,), "correlation": 1.5}, "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        questions(n=10, seed=1, **arguments)
    with pytest.raises(InputError, match="gsm8k"):
        pair("trivia")


@pytest.mark.skipif(not os.environ.get("OPENQUEUES_DATA"), reason="needs the original data")
def test_the_counts_are_those_of_the_file():
    from scipy.stats import multivariate_normal, norm

    with open(Path(os.environ["OPENQUEUES_DATA"]) / "routellm_weak_strong_correctness.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("gsm8k", "mmlu"):
        answers = [
            (row["weak_mixtral8x7b_correct"], row["strong_gpt4_1106_correct"])
            for row in rows
            if row["set"].startswith(name)
        ]
        known = pair(name)
        counts = [answers.count(kind) for kind in (("1", "1"), ("1", "0"), ("0", "1"), ("0", "0"))]
        assert counts == [known.both, known.weak_only, known.strong_only, known.neither]
        joint = multivariate_normal([0, 0], [[1, known.correlation], [known.correlation, 1]])
        assert joint.cdf(norm.ppf(known.accuracies)) == pytest.approx(known.both / len(answers), abs=2e-6)
