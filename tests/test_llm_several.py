"""Several language models: the kernel against its slow twin, closed forms, bounds, and what streams promise."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slow_several
from openqueues.models import llm, policies
from openqueues.models.errors import InputError
from openqueues.models.llm.quality import pair
from openqueues.models.llm.several import COLUMNS, Model, answer
from openqueues.models.llm.several_bounds import _least_of_lines, least_cost, mean_requests, static, threshold
from openqueues.models.llm.several_runs import replication, summary
from openqueues.models.llm.several_stream import MEAN_TOKENS, PERIOD_S, family, rate, stream
from openqueues.models.special import ndtri

PROBLEMS = Path(__file__).parents[1] / "problems"
VALUES = (3.0, 0.02, 1000.0)
ALWAYS = {"took_s", "outcome", "slows_s", "right", "true_time_s", "fair", "factor"}  # not in every function
NEXT = {"next_quality", "next_time_s", "next_price"}


def own(entry, name):
    return policies.policy(f"{PROBLEMS / entry / 'policies' / name}.py")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A policy that moves with every column, writes down what it is shown and reads it again."""
    everywhere = [name for name in COLUMNS if name not in ALWAYS | NEXT | {"judged", "spent_s"}]
    parts = {
        "decide": [*everywhere, "slows_s", "right", "true_time_s", "fair", "factor"],
        "accept": [*everywhere, "judged", "spent_s", "took_s", *sorted(NEXT)],
        "learn": [*everywhere, "judged", "spent_s", "took_s", "outcome"],
    }
    text = f'"""Everything."""\n\nSEES = {(*COLUMNS, "memory")!r}\nSHAPE = "decision"\nINFORMATION = "oracle"\n'
    text += 'PARAMETERS = {"weight": 0.5}\n\n\ndef wave(x):\n    return x * 7.3 - int(x * 7.3)\n\n\n'
    for function, columns in parts.items():
        body = " + ".join(f"{0.3 + 0.37 * k % 1:.2f} * {name}" for k, name in enumerate(columns) if name != "outcome")
        text += f"def {function}({', '.join(columns)}, memory, weight):\n"
        text += f"    seen = wave({body} + memory[0] + memory[int(topic) + 1])\n"
        if function == "learn":
            text += "    memory[0] = 0.9 * memory[0] + weight * (outcome if outcome == outcome else 0.1)\n"
            text += "    memory[int(topic) + 1] += seen\n"
        text += "    return seen\n\n\n"
    file = tmp_path_factory.mktemp("policies") / "mixed.py"
    file.write_text(text)
    return policies.policy(str(file))


def test_the_kernel_equals_the_slow_models(mixed):
    scope: dict = {}
    exec(mixed.source, scope)

    def called(name):
        code = scope[name].__code__
        arguments = code.co_varnames[: code.co_argcount]

        def call(row, memory):
            return scope[name](*((row | {"memory": memory, "weight": 0.5})[one] for one in arguments))

        return call

    escalated = 0
    for seed in range(12):
        names = "1b,8b,70b" if seed % 2 else "8b,70b"
        models = family(names)
        drift = ("speed", "topics", "boast")[seed % 3]
        drawn = stream(models, 1.5, 60, seed, drift=drift, feedback=0.5, swing=0.5, size=1.3)
        slow = slow_several.answer(drawn, models, called("decide"), called("accept"), called("learn"), VALUES)
        fast = answer(drawn, models, mixed, VALUES)
        np.testing.assert_allclose(fast.finish_s, slow[0], rtol=1e-9)
        assert fast.model.tolist() == slow[1] and fast.present.tolist() == slow[3]
        np.testing.assert_allclose(fast.usd, slow[2], rtol=1e-12)
        price = np.array([model.price for model in models])[fast.model] * drawn.tokens / 1e6
        escalated += np.count_nonzero(fast.usd > price * (1 + 1e-9))
    assert escalated > 100


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_model_has_the_mean_of_processor_sharing(load):
    """E[T] = E[tokens] (step + seq) / (1 - load), for lognormal tokens as for any."""
    models = family("8b,70b")
    found = replication(stream(models, load, 400_000, 5), models, own("choose-the-model", "always-large"), VALUES, 10.0)
    exact = static(models, load, (0.0, 1.0), 0.84, VALUES)
    assert exact["mean_latency_s"] == pytest.approx(6.0 / (1 - load))
    assert found["mean_latency_s"] == pytest.approx(exact["mean_latency_s"], rel=0.02)
    assert found["accuracy"] == pytest.approx(84, abs=0.3)
    assert found["cost"] == pytest.approx(exact["cost"], rel=0.01)


def test_the_mean_number_is_that_of_the_birth_and_death_process():
    model, asked = Model("one", 0.5, 30.0, 0.4, 1.0), 1500.0
    weights = [1.0]
    for n in range(1, 3000):
        weights.append(weights[-1] * asked * (30.0 + 0.4 * n) / 1000.0 / n)
        if weights[-1] > 1e200:
            weights = [one / 1e200 for one in weights]
    mean = sum(n * one for n, one in enumerate(weights)) / sum(weights)
    assert mean_requests(model, asked) == pytest.approx(mean, rel=1e-9)
    with pytest.raises(InputError, match="fewer"):
        mean_requests(model, 2500.0)


def test_no_policy_is_below_the_bounds():
    models, correlation = family("1b,8b,70b"), pair("mmlu").correlation
    for load, wrong in ((0.4, 1.0), (1.2, 3.0)):
        values = (wrong, 0.02, 1000.0)
        proven = least_cost(models, load, values, correlation)
        known = least_cost(models, load, values, correlation, noise=1.0)
        sharp = least_cost(models, load, values, correlation, noise=0.0)
        blind = least_cost(models, load, values, correlation, noise=math.inf)
        assert proven < sharp < known < blind
        drawn = stream(models, load, 40_000, 2)
        # That of a predictor binds who asks one model; who reads the answers knows more.
        one = replication(drawn, models, own("choose-the-model", "by-delay"), values, 10.0)["cost"]
        both = replication(drawn, models, own("choose-the-model", "lookahead"), values, 10.0)["cost"]
        assert known < one < 1.1 * known
        assert proven < both < known


def test_the_bound_is_met_where_nobody_meets_anybody():
    """One model and hardly any load: error, price, and the time of tokens that are made alone."""
    models = family("70b")
    assert least_cost(models, 1e-6, VALUES, 0.6) == pytest.approx(3 * 0.16 + 0.02 * 6 + 0.144, rel=1e-4)
    busy = static(models, 0.6, (1.0,), 0.84, VALUES)["cost"]
    assert 0.9 * busy < least_cost(models, 0.6, VALUES, 0.6) < busy


def test_the_least_of_lines_is_integrated_exactly():
    at_zero = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.9], [0.3, 0.3, 0.3]])
    slope = np.array([0.001, 0.004, 0.009])
    z = (np.arange(400_000) + 0.5) / 400_000
    log = math.sqrt(math.log(2))
    tokens = MEAN_TOKENS * np.exp(log * ndtri(z) - log**2 / 2)
    for row, value in zip(at_zero, _least_of_lines(at_zero, slope), strict=True):
        assert value == pytest.approx((row[:, None] + slope[:, None] * tokens).min(axis=0).mean(), rel=1e-4)


def test_arrivals_swing_and_keep_their_mean():
    models, whole = family("8b,70b"), 50
    per_s = rate(models, 0.5)
    n = int(whole * PERIOD_S * per_s)
    arrival = stream(models, 0.5, n, 1, swing=0.8).arrival_s
    assert arrival[-1] == pytest.approx(n / per_s, rel=0.02)
    phase = arrival % PERIOD_S / PERIOD_S
    up = np.mean(phase < 0.5)
    assert up == pytest.approx(0.5 + 0.8 / math.pi, abs=4 * math.sqrt(0.25 / n))
    assert rate(models, 1.0) * MEAN_TOKENS * models[-1].seq_ms == pytest.approx(1000.0)


@pytest.mark.parametrize("drift", ["none", "model", "topics", "boast"])
def test_fair_predictions_are_calibrated_and_the_shown_ones_are_not_where_it_drifts(drift):
    models = family("8b,70b")
    drawn = stream(models, 0.5, 200_000, 3, drift=drift, size=0.5)
    part = (np.arange(len(drawn)) >= len(drawn) // 2) & (drawn.topic == 0)
    correct = drawn.correct[part, 0]
    calibrated = [drawn.fair, drawn.right, *([drawn.judged] if drift == "none" else [])]
    for chance in calibrated:
        for some in np.array_split(np.argsort(chance[part, 0]), 5):
            allowed = 4 * math.sqrt(0.25 / len(some))
            assert correct[some].mean() == pytest.approx(chance[part, 0][some].mean(), abs=allowed)
    assert (abs(drawn.quality[part, 0].mean() - correct.mean()) > 0.05) == (drift != "none")
    np.testing.assert_array_equal(drawn.fair[:, 1], drawn.quality[:, 1])


def test_what_makes_no_sense_is_refused(tmp_path):
    models = family("8b,70b")
    drawn = stream(models, 0.5, 10, 1)
    with pytest.raises(InputError, match="70b"):
        family("8b,700b")
    for given, says in (({"drift": "away"}, "drift"), ({"swing": 2.0}, "swing"), ({"judge": 0.0}, "judge")):
        with pytest.raises(InputError, match=says):
            stream(models, 0.5, 10, 1, **given)
    with pytest.raises(InputError, match="load"):
        rate(models, 0.0)
    large = own("choose-the-model", "always-large")
    with pytest.raises(InputError, match="sort"):
        answer(replace(drawn, arrival_s=drawn.arrival_s[::-1]), models, large)
    with pytest.raises(InputError, match="shape"):
        answer(drawn, models[:1], large)
    head = '"""X."""\n\nSEES = (%s,)\nSHAPE = "decision"\nINFORMATION = "blind"\n\n\n'
    for sees, body, says in (
        ("'quality'", "def decide(quality):\n    return quality\n", "predictions"),
        ("'right'", "def decide(right):\n    return right\n", "oracle"),
        ("'colour'", "def decide(colour):\n    return colour\n", "colour"),
        ("'now'", "def decide(now):\n    return now - now\n\n\ndef learn(outcome):\n    return 0\n", "outcome"),
        ("'now'", "def decide(now):\n    return 0 * now / (0 * now)\n", "number"),
    ):
        file = tmp_path / "mine.py"
        file.write_text(head % sees + body)
        policies._read.cache_clear()
        with pytest.raises(InputError, match=says):
            answer(drawn, models, str(file))


def test_a_threshold_for_two_models_is_exact():
    models = family("8b,70b")
    exact = threshold(models, 0.8, 0.1, 1.0, pair("mmlu").correlation, VALUES)
    chosen = stream(models, 0.8, 400_000, 4)
    larger = chosen.quality[:, 1] - chosen.quality[:, 0] > 0.1
    right = np.where(larger, chosen.correct[:, 1], chosen.correct[:, 0])
    assert exact["accuracy"] == pytest.approx(right.mean(), abs=4 * math.sqrt(0.25 / len(right)))
    assert exact["usd"] == pytest.approx(0.0002 * (0.22 + 0.5 * larger.mean()), rel=1e-3)


def test_a_threshold_that_rises_with_the_predicted_length_is_exact():
    models = family("8b,70b")
    exact = threshold(models, 0.8, 0.15, 1.0, pair("mmlu").correlation, (100.0, 1.0, 0.0), 0.5)
    drawn = stream(models, 0.8, 400_000, 4, length_noise=0.5)
    sized = replace(own("accuracy-against-time", "sized"), parameters={"seconds": 15.0, "mean": 200.0})
    found = replication(drawn, models, sized, (100.0, 1.0, 0.0), 10.0)
    for name, near in (("largest_share", 0.01), ("mean_latency_s", 0.02), ("cost", 0.01), ("usd", 0.01)):
        assert found[name] == pytest.approx(exact[name], rel=near)
    assert found["accuracy"] == pytest.approx(100 * exact["accuracy"], abs=0.3)


def test_feedback_corrects_what_predictions_claim():
    """A predictor that boasts from the first day: learners end near the one who is told, and trust does not."""
    models = family("8b,70b")
    drawn = stream(models, 0.5, 20_000, 6, drift="boast", judge=1e6)
    late = np.arange(len(drawn)) >= 10_000
    cost = {
        name: summary(
            drawn, answer(drawn, models, own("predictions-against-feedback", name), VALUES), VALUES, 10.0, late
        )
        for name in ("knows-drift", "trust", "kalman")
    }
    told, trusting, learnt = (cost[name]["cost"] for name in ("knows-drift", "trust", "kalman"))
    assert trusting > told + 0.15
    assert abs(learnt - told) < 0.02


def test_the_fluid_is_near_the_engine_that_walks_iterations():
    """The same 70B, with whole prompts computed in between: mean latency within 2% at load 0.4."""
    models = family("70b")
    large = models[0]
    decoding = large.seq_ms - 0.215 * 150 / MEAN_TOKENS
    law = f"decode_step_ms={large.step_ms},decode_seq_ms={decoding},prefill_token_ms=0.215"
    lengths = f"lognormal:input_mean=150,input_cv=0.01,output_mean={MEAN_TOKENS},output_cv=1"
    requests = llm.generated(f"poisson:rate={rate(models, 0.4)}", lengths, 6_000, seed=1)
    served = llm.serve(requests, llm.hardware_law(law), "vllm", kv_tokens=0, max_batch=4_000)
    walked = float((served.finish_s - requests.arrival_s)[600:].mean())
    # The same requests as a fluid: arrivals and tokens are the engine's.
    drawn = replace(
        stream(models, 0.4, len(requests), 1), arrival_s=requests.arrival_s, tokens=requests.output_tokens.astype(float)
    )
    found = replication(drawn, models, own("choose-the-model", "always-large"), VALUES, 10.0)
    assert walked == pytest.approx(found["mean_latency_s"], rel=0.02)
