"""The entry error-variance: its laws of errors, the analysis of bad predictions, and the bounds of its statement."""

import math

import numpy as np
import pytest
from openqueues import registry
from openqueues.models.analysis import mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw, size_law
from tabled import Sizes, Table

PROBLEM = registry.problem(registry.entry("error-variance"))
ERRORS = __import__(PROBLEM.__name__ + ".errors", fromlist=["errors"])


def ratio(policy, **point):
    return PROBLEM.exact(point, policy)["ratio_to_srpt"][0]


def within(r, k):
    """The form of the bounds: k times half of P beside r (W + P/2), over SRPT."""
    return (r + math.hypot(r, k)) / 2


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_the_law_of_a_factor_agrees_with_its_draws(sign, sigma):
    noise = ERRORS.LogExponential(sigma, sign)
    logs = np.empty(200_000)
    noise.fill(np.random.default_rng(1), logs)
    assert logs.min() >= noise.support[0] and logs.max() <= noise.support[1]
    np.log(logs, out=logs)
    assert abs(logs.mean()) < 0.02 * sigma and logs.std() == pytest.approx(sigma, rel=0.02)
    for q in (0.05, 0.5, 0.95):
        assert noise.cdf(np.exp(np.quantile(logs, q))) == pytest.approx(q, abs=5e-3)
    edge = math.exp(-sign * sigma)
    ends = np.exp(np.linspace(math.log(edge), sign * 4 * sigma, 4001))
    middle = np.sqrt(ends[1:] * ends[:-1])
    density = (noise.pdf(middle) * np.abs(np.diff(ends))).sum()
    assert density == pytest.approx(abs(noise.cdf(ends[-1]) - noise.cdf(ends[0])), rel=1e-4)
    assert noise.moment(-sign) == pytest.approx(math.exp(sigma) / (1 + sigma))
    assert noise.moment(sign) == (math.inf if sigma > 1 else pytest.approx(math.exp(-sigma) / (1 - sigma)))


@pytest.mark.parametrize("kind", ["bad:share=0.01", "longest:share=0.01", "bad:share=0.3"])
@pytest.mark.parametrize(
    ("sizes", "load"), [("exponential", 0.5), ("exponential", 0.8), ("exponential", 0.9), ("weibull:shape=0.5", 0.8)]
)
def test_bad_predictions_agree_with_simulation(kind, sizes, load):
    point = {"sizes": sizes, "errors": kind, "load": load}
    for policy in ("pspjf", "bounce"):
        runs = np.array([PROBLEM.simulate(point, policy, seed, 150_000)["ratio_to_srpt"] for seed in range(8)])
        error = runs.std(ddof=1) / math.sqrt(len(runs))
        assert abs(runs.mean() - ratio(policy, **point)) < 4.5 * error
        assert error < (0.02 if sizes != "exponential" else 0.004) * runs.mean()
    one, other = (PROBLEM.simulate(point, policy, 1, 5_000)["mean_response"] for policy in ("sprpt", "bounce"))
    assert one == pytest.approx(other, rel=1e-9), "predicted 0 or exactly: they are the same policy"


@pytest.mark.parametrize("policy", ["pspjf", "bounce", "sprpt"])
@pytest.mark.parametrize("errors", ["over:sigma=0.8", "over:sigma=1.5", "under:sigma=1.5"])
def test_errors_without_a_mean_are_analysed(errors, policy):
    """Predictions reach further than sizes by many orders of magnitude, so that differences of tables cancel."""
    for sizes, width in (("exponential", 0.006), ("weibull:shape=0.5", 0.02)):
        point = {"sizes": sizes, "errors": errors, "load": 0.8}
        runs = np.array([PROBLEM.simulate(point, policy, seed, 150_000)["ratio_to_srpt"] for seed in range(8)])
        error = runs.std(ddof=1) / math.sqrt(len(runs))
        value, doubt = PROBLEM.exact(point, policy)["ratio_to_srpt"]
        assert abs(runs.mean() - value) < 4.5 * error and doubt < 1e-9
        assert error < width * value


def test_bad_predictions_have_the_right_limits():
    for sizes in ("exponential", "weibull:shape=0.5", "pareto:alpha=1.5,ratio=1000000"):
        # Of the Pareto sizes even the longest 1e-12 have a part in the second moment.
        for kind in ("bad", "longest")[: 1 if sizes.startswith("pareto") else 2]:
            assert ratio("bounce", sizes=sizes, errors=f"{kind}:share=1e-12", load=0.8) == pytest.approx(1, abs=2e-3)
        law = size_law(sizes)
        for share in (0.01, 0.5):
            point = {"sizes": sizes, "errors": f"bad:share={share}", "load": 0.9}
            bad = 0.9 * share * law.moment(2) / (2 * (1 - 0.9 * share))
            for policy in ("pspjf", "bounce", "sprpt"):
                value, error = PROBLEM.exact(point, policy)["mean_response"]
                assert value > (1 - share) * bad and error < 1e-6 * value
        nearly_all = PROBLEM.exact({"sizes": sizes, "errors": "bad:share=0.999999", "load": 0.8}, "bounce")
        expected = law.mean + 0.8 * law.moment(2) / (2 * 0.2)
        assert nearly_all["mean_response"][0] == pytest.approx(expected, rel=1e-4), "all bad: first come first served"


def test_bounded_variance_is_not_enough():
    def by_span(errors):
        given = {"sizes": "pareto:alpha=1.5", "errors": errors, "load": 0.8}
        return [ratio("bounce", span=span, **given) for span in (1e4, 1e8, 1e12)]

    for errors in ("bad:share=0.01", "bad:deviation=1", "longest:share=0.01", "under:sigma=3"):
        small, middle, large = by_span(errors)
        assert middle > 3 * small and large > 3 * middle, errors
    assert np.ptp(by_span("under:sigma=0.9")) < 0.01
    loads = [ratio("pspjf", sizes="exponential", errors="over:sigma=0.5", load=1 - gap) for gap in (1e-2, 1e-3, 1e-4)]
    assert np.all(np.diff(loads) > 0.8)
    loads = [ratio("pspjf", sizes="exponential", errors="under:sigma=0.5", load=1 - gap) for gap in (1e-2, 1e-3, 1e-4)]
    assert np.all(np.diff(loads) < 0)


def test_the_bounds_hold_for_laws_with_a_density():
    for sizes in ("exponential", "pareto:alpha=1.1,ratio=1e8", "uniform"):
        for load in (0.5, 0.999):
            for sigma in (0.05, 0.8):
                r, alpha = 1 / (1 - sigma), math.exp(sigma)
                given = {"sizes": sizes, "load": load}
                assert ratio("pspjf", errors=f"under:sigma={sigma}", **given) <= within(r, 1)
                assert ratio("bounce", errors=f"under:sigma={sigma}", **given) <= within(r, 1 + 2 * alpha)
                odds = load / (1 - load)
                for errors, both in (
                    (f"over:sigma={sigma}", 1 / (1 - sigma**2)),
                    (f"lognormal:sigma={sigma}", math.exp(sigma**2)),
                ):
                    assert ratio("pspjf", errors=errors, **given) <= within(odds * both, 2)


def test_the_bounds_hold_for_random_laws_with_independent_errors():
    """A few sizes, a few factors of any probabilities; predictions of different sizes may be equal."""
    rng = np.random.default_rng(8)
    nearest = 0.0
    for _ in range(300):
        n, m = rng.integers(1, 4, 2)
        sizes = np.cumprod(1.0 + rng.exponential(rng.choice([0.3, 3.0, 30.0]), n))
        counts = np.ceil(1e4 * rng.dirichlet(np.full(n, 0.5)) / sizes ** rng.integers(0, 2))
        factors = np.cumprod(np.append(1.0, rng.choice([*sizes[1:] / sizes[:-1], 1.5, 50.0], m - 1)))
        factors = np.unique(factors / rng.choice(factors))
        weight = rng.dirichlet(np.full(len(factors), 0.5)) + 1e-9
        weight /= weight.sum()
        # Predictions that differ by rounding alone are one.
        told = np.round(np.multiply.outer(sizes, factors), 9)
        values = np.unique(told)
        rows = np.zeros((n, len(values)))
        for i in range(n):
            np.add.at(rows[i], np.searchsorted(values, told[i]), weight)
        joint = JointLaw(Sizes(list(sizes), list(counts)), Table(sizes, values, rows))
        load = float(1 - np.exp(-rng.exponential(1.5)) * 0.999)
        inverse, alpha = (weight / factors).sum(), factors.max()
        best = mean_response(joint, load, "srpt").mean_response
        pspjf, bounce = (mean_response(joint, load, name).mean_response / best for name in ("pspjf", "bounce"))
        bound = within(alpha * inverse, 1)
        assert pspjf <= bound * (1 + 1e-9)
        assert bounce <= within(alpha * inverse, 1 + 2 * alpha) * (1 + 1e-9)
        assert pspjf <= within(load / (1 - load) * (weight @ factors) * inverse, 2) * (1 + 1e-9)
        nearest = max(nearest, pspjf / bound)
    assert nearest > 0.85, "the laws must come near the bound"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"errors": "ovr", "sigma": 1}, "did you mean 'over'"),
        ({"sigma": 0}, "a number above 0 and at most 5"),
        ({"sigma": float("nan")}, "a number above 0 and at most 5"),
        ({"errors": "over:sigma=9"}, "a number above 0 and at most 5"),
        ({"errors": "under"}, "a number above 0 and at most 5"),
        ({"errors": "bad"}, "write bad:share=0.01"),
        ({"errors": "bad:share=2"}, "above 0 and below 1"),
        ({"errors": "longest:deviation=1"}, "unknown parameter of errors 'longest'"),
        ({"errors": "bad:deviation=1"}, "need the key span"),
        ({"errors": "bad:share=0.1", "sizes": "deterministic"}, "have no density"),
        ({"errors": "exact", "load": 1.0}, "above 0 and below 1"),
        ({"errors": "exact", "load": float("nan")}, "above 0 and below 1"),
        ({"errors": "exact", "lod": 1.0}, "did you mean 'load'"),
    ],
)
def test_bad_input(change, words):
    point = {"sizes": "exponential", "load": 0.8, "errors": "lognormal"} | change
    for call in (PROBLEM.simulate, PROBLEM.exact):
        with pytest.raises(InputError, match=words):
            call(point, "pspjf", *((1, 100) if call is PROBLEM.simulate else ()))
