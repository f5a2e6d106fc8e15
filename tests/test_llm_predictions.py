"""Predictors of output length, each against the property that defines it."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.laws import ssjf
from openqueues.models.llm import PREDICTORS, Requests, generated, predicted, predictor, trail_kernel
from openqueues.models.llm.predictions import renewals
from scipy.stats import kendalltau, kstest

ALPACA_LIKE = "uniform:input_low=1,input_high=9,output_low=1,output_high=512"


@pytest.fixture(scope="module")
def requests():
    return generated("poisson:rate=2", ALPACA_LIKE, 20_000, seed=3)


def told(requests, law: str, seed: int = 1) -> np.ndarray:
    return predicted(requests, law, seed).predicted_output_tokens


def test_perfect(requests):
    assert np.array_equal(told(requests, "perfect"), requests.output_tokens)


def test_exponential(requests):
    factor = told(requests, "exponential") / requests.output_tokens
    assert kstest(factor, "expon").pvalue > 1e-3
    assert abs(np.corrcoef(factor, requests.output_tokens)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("text", "sigma", "bias"), [("sigma=0.5", 0.5, 1), ("sigma=1,bias=2", 1, 2), ("sigma=0", 0, 1)]
)
def test_lognormal(requests, text, sigma, bias):
    factor = told(requests, f"lognormal:{text}") / requests.output_tokens
    logs = np.log(factor)
    assert logs.std() == pytest.approx(sigma, rel=0.02)
    assert logs.mean() == pytest.approx(np.log(bias) - sigma**2 / 2, abs=0.02)
    assert factor.mean() == pytest.approx(bias, rel=0.05)


def test_lognormal_renewed(requests):
    new = predicted(requests, "lognormal:sigma=0.5,every=50,refreshed_sigma=0.1", 1)
    assert np.array_equal(new.predicted_output_tokens, told(requests, "lognormal:sigma=0.5"))
    start, remaining = renewals(requests.output_tokens, 50)
    assert new.refresh_every == 50 and np.array_equal(new.refreshed_start, start)
    assert np.log(new.refreshed / remaining).std() == pytest.approx(0.1, rel=0.02)


def test_renewals_by_hand():
    start, remaining = renewals(np.array([1, 8, 9, 20]), 8)
    # 8 of 8 tokens made: done, so nothing is left to predict.
    assert start.tolist() == [0, 0, 0, 1, 3]
    assert remaining.tolist() == [1, 12, 4]


@pytest.mark.parametrize("classes", [3, 5])
def test_ssjf_announces_as_often_as_the_classifier_did(classes):
    requests = generated("closed", "ssjf:data=fitted", 200_000, seed=4)
    told_tokens = told(requests, f"ssjf:classes={classes}")
    # Mean true lengths of the requests announced as each class, as published with the data.
    means = {3: [78.5, 270.5, 354.9], 5: [35.6, 120.9, 228.2, 314.3, 342.1]}[classes]
    values = np.unique(told_tokens)
    assert values == pytest.approx(means, abs=0.06)
    counts = ssjf.histogram().confusion(classes)
    seen = np.zeros((classes, classes))
    true = np.searchsorted(ssjf.CUTS[classes], requests.output_tokens, side="right")
    np.add.at(seen, (true, np.searchsorted(values, told_tokens)), 1)
    right, rows = counts / counts.sum(), seen.sum(axis=1)
    error = np.sqrt(right * (1 - right) / 200_000)
    assert np.all(np.abs(seen / 200_000 - right) < 5 * error + 1e-4)
    assert rows / 200_000 == pytest.approx(counts.sum(axis=1) / counts.sum(), abs=0.005)
    for k in range(classes):
        assert requests.output_tokens[told_tokens == values[k]].mean() == pytest.approx(means[k], rel=0.03)


def test_ssjf_of_other_lengths():
    requests = generated("closed", "uniform:input_low=1,input_high=1,output_low=1,output_high=9000", 20_000, seed=4)
    assert len(np.unique(told(requests, "ssjf"))) == 3


@pytest.mark.parametrize("tau", [-1, -0.4, 0, 0.3, 0.6, 0.9, 1])
def test_rank_has_its_kendall_tau(tau):
    requests = generated("closed", "lognormal:input_mean=9,output_mean=3000", 20_000, seed=3)
    new = predicted(requests, f"rank:tau={tau}", 1)
    score = new.predicted_output_tokens
    assert new.rank_only and np.all((score > 0) & (score < 1))
    assert kendalltau(score, requests.output_tokens)[0] == pytest.approx(tau, abs=0.015)


@pytest.mark.parametrize(
    "law", ["width=0.3", "width=1", "width=0.4,placed=random", "classes=10,most=512", "classes=10,most=100"]
)
def test_an_interval_holds_the_truth(requests, law):
    new = predicted(requests, f"interval:{law}", 1)
    low, high, o = new.predicted_low_tokens, new.predicted_high_tokens, requests.output_tokens
    assert np.all((low <= o) & (o <= high) & (low >= 1))
    assert new.predicted_output_tokens == pytest.approx((low + high) / 2)


def test_intervals_by_hand():
    requests = Requests(np.zeros(4), np.ones(4), [1, 100, 101, 2000])
    new = predicted(requests, "interval:width=0.5", 1)
    assert new.predicted_low_tokens.tolist() == [1, 50, 50.5, 1000]
    assert new.predicted_high_tokens.tolist() == [1.5, 150, 151.5, 3000]
    new = predicted(requests, "interval:classes=10,most=1000", 1)
    assert new.predicted_low_tokens.tolist() == [1, 1, 100, 900]
    assert new.predicted_high_tokens.tolist() == [100, 100, 200, 2000]


def test_a_random_place_tells_less_than_the_middle(requests):
    errors = [
        np.abs(told(requests, f"interval:width=0.4{place}") - requests.output_tokens).mean()
        for place in ("", ",placed=random")
    ]
    assert errors[0] < 1 < errors[1]


def test_adversarial_turns_the_order_round(requests):
    assert kendalltau(told(requests, "adversarial"), requests.output_tokens)[0] == pytest.approx(-1)
    assert told(requests, "adversarial").min() > 0


# TRAIL


@pytest.mark.parametrize("lengths", [ALPACA_LIKE, "lognormal:input_mean=9,output_mean=100"])
def test_trail_has_the_published_errors(lengths):
    requests = generated("closed", lengths, 20_000, seed=3)
    tokens = np.minimum(requests.output_tokens, 512)
    new = predicted(requests, "trail:smoothing=false", 1)
    assert np.abs(new.predicted_output_tokens - tokens).mean() == pytest.approx(46.1, rel=0.03)
    remaining = np.minimum(renewals(requests.output_tokens, 8)[1], 512)
    raw = np.abs(new.refreshed - remaining).mean()
    assert raw == pytest.approx(33.9, rel=0.03)
    smoothed = np.abs(predicted(requests, "trail", 1).refreshed - remaining).mean()
    correlated = np.abs(predicted(requests, "trail:correlation=0.95", 1).refreshed - remaining).mean()
    assert smoothed < 0.75 * raw and smoothed < correlated


def test_trail_with_other_errors(requests):
    new = predicted(requests, "trail:mae=80,refreshed_mae=20,every=16,bins=20,smoothing=false", 1)
    assert np.abs(new.predicted_output_tokens - requests.output_tokens).mean() == pytest.approx(80, rel=0.03)
    remaining = renewals(requests.output_tokens, 16)[1]
    assert np.abs(new.refreshed - remaining).mean() == pytest.approx(20, rel=0.03)


@pytest.mark.parametrize("output", [1, 5, 100, 256, 3000])
def test_trail_of_equal_lengths(output):
    requests = generated("closed", f"fixed:input=1,output={output}", 4000, seed=3)
    new = predicted(requests, "trail:mae=30,smoothing=false", 1)
    assert np.abs(new.predicted_output_tokens - min(output, 512)).mean() == pytest.approx(30, rel=0.1)


def test_trail_filters_as_the_rule_says():
    """The kernel against the rule written out for one request at a time, with the same draws."""
    law = predictor("trail:every=3,bins=4,most=40,correlation=0.3,mae=5,refreshed_mae=5")
    tokens = np.array([1, 3, 4, 25, 60])
    start, remaining = renewals(tokens, 3)
    rng = np.random.default_rng(0)
    normal, draws = rng.standard_normal(len(tokens)), rng.standard_normal(len(remaining))
    sigmas, middles, width = np.array([6.0, 3.0]), np.array([5.0, 15.0, 25.0, 35.0]), 10.0
    estimate, out = np.empty(len(tokens)), draws.copy()
    how = (np.array([6.0, 3.0]), law._step(), law.middles, 40, 0.3, True)
    trail_kernel.fill(tokens, start, 3, *how, normal, estimate, out)

    def seen(length, sigma, draw):
        z = min(length, 40) + sigma * draw
        weights = np.exp(-((middles - z) ** 2) / (2 * sigma**2))
        return weights / weights.sum()

    for i, o in enumerate(tokens):
        belief = seen(o, sigmas[0], normal[i])
        assert estimate[i] == pytest.approx(belief @ middles, rel=1e-9)
        error = 0.0
        for j, made in enumerate(range(3, o, 3)):
            draw = draws[start[i] + j]
            error = draw if j == 0 else 0.3 * error + np.sqrt(1 - 0.3**2) * draw
            for _ in range(3):
                moved = belief * (1 - 1 / width)
                moved[0] = belief[0]
                moved[:-1] += belief[1:] / width
                belief = moved
            belief = np.maximum(belief, 1e-12) * seen(o - made, sigmas[1], error)
            belief /= belief.sum()
            assert out[start[i] + j] == pytest.approx(belief @ middles, rel=1e-9)


# All of them

SPECS = [
    *("perfect", "exponential", "adversarial", "trail", "ssjf", "ssjf:classes=5", "rank:tau=0.5", "interval"),
    *("lognormal:sigma=0.5", "lognormal:sigma=0.5,bias=2,every=50,refreshed_sigma=0.1", "interval:classes=10"),
    *("interval:width=0.2,placed=random", "trail:mae=30,smoothing=false", "trail:correlation=0.5"),
]


@pytest.mark.parametrize("text", SPECS)
def test_a_predictor_is_named_by_its_canonical_text_and_the_seed_says_all(text):
    requests = generated("closed", ALPACA_LIKE, 500, seed=3)
    assert predictor(text).spec == text and predictor(predictor(text).spec) == predictor(text)
    first, again = predicted(requests, text, 7), predicted(requests, text, 7)
    assert np.array_equal(first.predicted_output_tokens, again.predicted_output_tokens)
    assert np.array_equal(first.refreshed, again.refreshed)
    assert np.array_equal(first.output_tokens, requests.output_tokens)


def test_every_predictor_is_tried():
    assert {text.partition(":")[0] for text in SPECS} == set(PREDICTORS)


def test_new_predictions_replace_all_of_the_old_ones():
    requests = generated("closed", ALPACA_LIKE, 50, seed=3)
    new = predicted(predicted(predicted(requests, "trail", 1), "interval", 1), "rank:tau=0.5", 1)
    assert new.rank_only and new.refresh_every == 0 and len(new.refreshed) == 0
    assert new.predicted_low_tokens is None
    assert not predicted(new, "perfect", 1).rank_only


BAD = [
    ("lognormal", "needs the parameter 'sigma'"),
    ("lognormal:sigma=-1", "sigma must be a number from 0 to 10"),
    ("lognormal:sigma=0.5,refreshed_sigma=1", "refreshed_sigma but no every"),
    ("lognormal:sigma=0.5,every=1.5", "every must be a whole number"),
    ("log-normal:sigma=0.5", "unknown predictor 'log-normal': did you mean 'lognormal'?"),
    ("perfect:sigma=1", "takes no parameters"),
    ("ssjf:classes=4", "classes must be 3 or 5"),
    ("rank", "needs the parameter 'tau'"),
    ("rank:tau=2", "tau must be a number from -1 to 1"),
    ("interval:width=2", "width must be a number from 0 to 1"),
    ("interval:placed=left", "placed must be centred or random"),
    ("interval:width=0.5,classes=3", "has both width and classes"),
    ("interval:most=3", "has most but no classes"),
    ("interval:classes=0", "classes must be a whole number from 1"),
    ("trail:mae=0", "mae must be a finite number above 0"),
    ("trail:mae=1", "a classifier with 10 bins up to 512 has errors from"),
    ("trail:refreshed_mae=1000", "has errors from"),
    ("trail:bins=600", "has bins=600 above most=512"),
    ("trail:smoothing=yes", "smoothing must be true or false"),
    ("trail:every=0", "every must be a whole number from 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), BAD, ids=[text for text, _ in BAD])
def test_a_bad_predictor_gets_a_sentence(text, sentence):
    requests = generated("closed", ALPACA_LIKE, 100, seed=3)
    with pytest.raises(InputError) as caught:
        predicted(requests, text, 1)
    assert sentence in str(caught.value)
