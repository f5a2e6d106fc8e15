"""The analysis against closed forms, high precision and independent integrals of the defining formulas."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from openqueues.models.analysis import (
    analysable,
    bucket_thresholds,
    mean_response,
    mean_response_given,
    optimal_threshold,
    optimal_thresholds,
)
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import names
from scipy.integrate import quad
from scipy.optimize import brentq, minimize
from scipy.special import kn

EXPONENTIAL = joint_law("exponential", "exponential")
WEIBULL = joint_law("weibull:shape=0.5", "exponential")


def near(result, exact):
    """The true error must be within the estimate, up to 1e-12 of the value."""
    assert abs(result.mean_response - float(exact)) <= result.error + 1e-12 * float(exact), (result, exact)
    assert result.error <= 1e-9 * result.mean_response, result


# --- sizes: high precision -----------------------------------------------------------------------------

SIZES = {
    # sf, E[S; S<=x], E[S^2; S<=x], density, E[S^2], where to split the integrals
    "exponential": (
        lambda x: mpmath.exp(-x),
        lambda x: mpmath.gammainc(2, 0, x),
        lambda x: mpmath.gammainc(3, 0, x),
        lambda x: mpmath.exp(-x),
        2,
        [0, 1, 3, 6, 10, 20, 40, 80],
    ),
    "weibull:shape=0.5": (
        lambda x: mpmath.exp(-mpmath.sqrt(2 * x)),
        lambda x: mpmath.gammainc(3, 0, mpmath.sqrt(2 * x)) / 2,
        lambda x: mpmath.gammainc(5, 0, mpmath.sqrt(2 * x)) / 4,
        lambda x: mpmath.exp(-mpmath.sqrt(2 * x)) / mpmath.sqrt(2 * x),
        6,
        [0, 1, 10, 30, 60, 120, 300, 1000, 4000],
    ),
    "uniform": (
        lambda x: 1 - x / 2,
        lambda x: x**2 / 4,
        lambda x: x**3 / 6,
        lambda x: mpmath.mpf(1) / 2,
        mpmath.mpf(4) / 3,
        [0, 0.5, 1, 1.5, 2],
    ),
}


def by_size(sizes, load, policy):
    """Mean response time by the textbook formula, in 30 digits."""
    sf, m1, m2, pdf, second, cuts = SIZES[sizes]
    r = mpmath.mpf(load)

    def integral(f):
        # x = u^2 takes away the Weibull density's singularity at 0.
        return mpmath.quad(lambda u: 2 * u * f(u * u), [mpmath.sqrt(c) for c in cuts])

    if policy == "fcfs":
        return 1 + r * second / (2 * (1 - r))
    if policy in ("ps", "lcfs"):
        return 1 / (1 - r)
    if policy == "sjf":
        return 1 + integral(lambda x: pdf(x) * r * second / (2 * (1 - r * m1(x)) ** 2))
    if policy == "psjf":
        return integral(lambda x: pdf(x) * (r * m2(x) / (2 * (1 - r * m1(x)) ** 2) + x / (1 - r * m1(x))))
    if policy == "srpt":
        wait = integral(lambda x: pdf(x) * r * (m2(x) + x**2 * sf(x)) / (2 * (1 - r * m1(x)) ** 2))
        return wait + integral(lambda x: sf(x) / (1 - r * m1(x)))

    def las(x):
        free = 1 - r * (m1(x) + x * sf(x))
        return pdf(x) * (x / free + r * (m2(x) + x**2 * sf(x)) / (2 * free**2))

    return integral(las)


@pytest.mark.parametrize("policy", ["fcfs", "ps", "lcfs", "sjf", "psjf", "srpt", "las"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("load", [0.5, 0.99])
def test_policies_that_see_sizes(sizes, load, policy):
    with mpmath.workdps(30):
        near(mean_response(joint_law(sizes, "exact"), load, policy), by_size(sizes, load, policy))


def test_digits_known_elsewhere():
    assert mean_response(EXPONENTIAL, 0.8, "srpt").mean_response == pytest.approx(2.35277327, abs=5e-9)
    assert mean_response(EXPONENTIAL, 0.95, "srpt").mean_response == pytest.approx(5.54101102, abs=5e-9)
    # Independent Monte Carlo of 4e7 jobs gave 3.1392 +- 0.0072; 1e-5 is the printed quadrature's accuracy.
    assert mean_response(EXPONENTIAL, 0.8, "sprpt").mean_response == pytest.approx(3.13750, rel=1e-5)


# Mitzenmacher and Shahout 2025, Table 1: the columns whose printed digits are right.
TABLE_1 = """
0.5  2.0000  1.7127  1.7948  1.5314  1.4254
0.6  2.5000  1.9625  2.1086  1.7526  1.6041
0.7  3.3333  2.3122  2.5726  2.0839  1.8746
0.8  5.0000  2.8822  3.3758  2.6589  2.3528
0.9  10.0000  4.1969  5.3610  4.0518  3.5521
0.95  20.0000  6.2640  8.6537  6.2648  5.5410
0.98  50.0000  11.2849  16.9502  11.5513  10.4947
0.99  100.0000  18.4507  29.0536  18.9556  17.6269
"""


@pytest.mark.parametrize("row", TABLE_1.split("\n")[1:-1], ids=lambda row: row.split()[0])
def test_table_1(row):
    load, *printed = row.split()
    for policy, digits in zip(("fcfs", "sjf", "spjf", "psjf", "srpt"), printed, strict=True):
        assert f"{mean_response(EXPONENTIAL, float(load), policy).mean_response:.4f}" == digits, policy


def test_phase_type_sizes_have_the_means_of_the_closed_forms():
    """Pollaczek and Khinchine for Erlang sizes; a mixture of one-stage branches is the hyperexponential law."""
    near(mean_response(joint_law("erlang:stages=4", "exact"), 0.8, "fcfs"), 1 + 0.8 * 1.25 / (2 * 0.2))
    p = (1 + math.sqrt(0.6)) / 2
    mixture = f"erlang:stages=1|1,means={1 / p}|{1 / (1 - p)},weights={p}|{1 - p}"
    for policy in ("srpt", "pspjf", "bounce"):
        same = mean_response(joint_law("hyperexponential:scv=4", "exponential"), 0.8, policy)
        found = mean_response(joint_law(mixture, "exponential"), 0.8, policy)
        assert abs(found.mean_response - same.mean_response) <= found.error + same.error


# --- exponential predictions: one-dimensional closed forms ------------------------------------------------


def bessel(k, y):
    """int x^(k-1) exp(-x - y/x) dx = E[S^k; Y = y] for exponential sizes and predictions."""
    return 2 * y ** (k / 2) * kn(k, 2 * np.sqrt(y))


@pytest.mark.parametrize("load", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("policy", ["spjf", "pspjf", "sprpt"])
def test_exponential_predictions_of_exponential_sizes(load, policy):
    """Integrals over y alone, by the trapezoidal rule in log y, which converges exponentially here."""
    step = 1 / 64
    y = np.exp(np.arange(-45, 7.5, step))
    free = 1 - load * (1 - bessel(2, y))
    value, added = {
        "spjf": (bessel(0, y) * load / free**2, 1.0),
        "pspjf": (bessel(1, y) / free + bessel(0, y) * load * (2 - bessel(3, y)) / (2 * free**2), 0.0),
        "sprpt": (
            bessel(0, y) * load * (2 - 2 / math.e * bessel(3, y)) / (2 * free**2)
            + (1 - 1 / math.e) * bessel(1, y) / free,
            1 / math.e,
        ),
    }[policy]
    near(mean_response(EXPONENTIAL, load, policy), added + float((value * y).sum()) * step)


# --- any noise: the SOAP formula by nested adaptive quadrature ---------------------------------------------

NOISES = {
    "uniform:a=0.5": (lambda v: 1.0 if 0.5 < v < 1.5 else 0.0, 0.5, 1.5),
    "bounded:low=0.25,high=2,form=loguniform": (lambda v: 1 / (v * math.log(8)), 0.25, 2.0),
    "lognormal:sigma=1": (
        lambda v: math.exp(-((math.log(v) + 0.5) ** 2) / 2) / (v * math.sqrt(2 * math.pi)),
        math.exp(-9),
        math.exp(9),
    ),
}
DENSITIES = {
    "exponential": (lambda x: math.exp(-x), 1e-12, 45.0),
    "uniform:low=0.5,high=1.5": (lambda x: 1.0, 0.5, 1.5),
    "lognormal:sigma=1": (
        lambda x: math.exp(-((math.log(x) + 0.5) ** 2) / 2) / (x * math.sqrt(2 * math.pi)),
        math.exp(-9),
        math.exp(9),
    ),
}


def integrate(f, low, high, points=()):
    """quad in log x, in pieces."""
    cuts = sorted({low, high, *(p for p in points if low < p < high)})
    total = 0.0
    for a, b in pairwise(cuts):
        ends = math.log(a), math.log(b)
        total += quad(lambda u: f(math.exp(u)) * math.exp(u), *ends, epsabs=1e-12, epsrel=1e-11, limit=200)[0]
    return total


def rank(policy, y, age):
    return y - age if policy == "sprpt" else min(abs(y - age), y)


def worst_rank(policy, x, y, age):
    """The largest rank from `age` to completion."""
    if policy == "sprpt":
        return y - age
    return max(rank(policy, y, age), rank(policy, y, x), y if x > 2 * y else 0.0)


def served_at_most(policy, s, t, y):
    """How long a job of size s and prediction t > y is served at a rank of at most y."""
    end = s if policy == "sprpt" else min(s, t + y)
    return max(end - (t - y), 0.0)


def by_definition(sizes, noise, load, policy, x, y):
    """SOAP: E[T | size x, prediction y], from nothing but the two densities and the rank."""
    f, low, high = DENSITIES[sizes]
    h, v0, v1 = NOISES[noise]

    def over_sizes(g, points=()):
        return integrate(lambda s: f(s) * g(s), low, high, points)

    def below(k, t):  # E[S^k; Y < t]: sizes for which some, or all, noise gives less than t
        def share(s):
            return integrate(h, v0, min(v1, t / s)) if t / s > v0 else 0.0

        return over_sizes(lambda s: s**k * share(s), (t / v0, t / v1)) if t > 0 else 0.0

    def recycled(s):
        inside = [n for n in (1 + y / s, y / s, 1 - y / s) if v0 < n < v1]
        start = max(v0, y / s)
        if start >= v1:
            return 0.0
        return integrate(lambda n: h(n) * served_at_most(policy, s, s * n, y) ** 2, start, v1, inside)

    points = (y / v0, y / v1, y / abs(1 - v0), y / abs(1 - v1))
    square = below(2, y) + over_sizes(recycled, points)
    wait = load * square / (2 * (1 - load * below(1, y)) ** 2)
    ages = sorted({0.0, x, *(a for a in (y, 2 * y, 2 * y - x) if 0 < a < x)})

    def delay(age):
        return 1 / (1 - load * below(1, worst_rank(policy, x, y, age)))

    residence = sum(quad(delay, *ends, epsabs=1e-9, epsrel=1e-9)[0] for ends in pairwise(ages))
    return wait + residence


@pytest.mark.parametrize("policy", ["sprpt", "bounce"])
@pytest.mark.parametrize(
    ("sizes", "noise"),
    [
        ("exponential", "uniform:a=0.5"),
        ("uniform:low=0.5,high=1.5", "uniform:a=0.5"),
        ("exponential", "bounded:low=0.25,high=2,form=loguniform"),
    ],
)
def test_ranks_that_change_with_age(sizes, noise, policy):
    joint = joint_law(sizes, noise)
    for x, y in [(0.8, 1.1), (1.4, 0.9), (1.2, 0.5)]:
        got = mean_response_given(joint, 0.8, policy, x, y)
        assert got == pytest.approx(by_definition(sizes, noise, 0.8, policy, x, y), rel=1e-8)


@pytest.mark.parametrize("policy", ["spjf", "pspjf", "sprpt", "bounce", "onebit", "kbit", "kbit:preemptive=false"])
@pytest.mark.parametrize("noise", ["uniform:a=0.5", "lognormal:sigma=1", "exponential"])
def test_mean_is_the_mean_of_the_conditional_means(noise, policy):
    """A Gauss rule over (size, noise) of its own; kinks of the conditional means end its panels."""
    joint = joint_law("exponential", noise)
    low, high = max(joint.noise.support[0], 1e-12), min(joint.noise.support[1], 1e4)
    cuts, policy = explicit_thresholds(joint, policy)
    x, weights = gauss([1e-15, *(c / v for c in cuts for v in (low, high) if 1e-15 < c / v < 40), 40.0])
    weights = weights * joint.sizes.pdf(x)
    groups = [(x, weights)]
    if len(cuts):
        groups = [(size[None], weight) for size, weight in zip(x, weights, strict=True)]
    total = 0.0
    for size, weight in groups:
        own = (0.5, 1.0, *(cuts / size[0]))  # without cuts the kinks are the same for all sizes
        v, share = gauss([low, *(k for k in own if low < k < high), high])
        given = mean_response_given(joint, 0.9, policy, size[:, None], size[:, None] * v)
        total += float(np.sum(weight * (given @ (share * joint.noise.pdf(v)))))
    assert mean_response(joint, 0.9, policy).mean_response == pytest.approx(total, rel=1e-9)


def gauss(marks):
    """Nodes and weights of a Gauss rule in log x on panels that end at the marks."""
    logs = np.unique(np.log(marks))
    cuts = [np.linspace(a, b, max(2, math.ceil(b - a) + 1)) for a, b in pairwise(logs)]
    cuts = np.unique(np.concatenate(cuts))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(cuts)[:, None] / 2, (cuts[1:] + cuts[:-1])[:, None] / 2
    x = np.exp(middle + half * nodes).ravel()
    return x, (half * weights).ravel() * x


def explicit_thresholds(joint, policy):
    """The thresholds, and the policy with them written out."""
    name, _, rest = policy.partition(":")
    if name not in ("onebit", "kbit"):
        return np.array([]), policy
    cuts = optimal_thresholds(joint, 0.9, 1 if name == "onebit" else 2, "false" not in rest)
    key = "threshold" if name == "onebit" else "thresholds"
    return cuts, f"{name}:{key}={'|'.join(repr(float(c)) for c in cuts)}" + (f",{rest}" if rest else "")


@pytest.mark.parametrize("load", [0.5, 0.9])
@pytest.mark.parametrize("sizes", ["exponential", "weibull:shape=0.5", "uniform", "pareto:alpha=1.5,ratio=1e4"])
@pytest.mark.parametrize(
    ("noisy", "exact"),
    [("spjf", "sjf"), ("pspjf", "psjf"), ("sprpt", "srpt"), ("bounce", "srpt"), ("onebit", "onebit-true")],
)
def test_noise_that_vanishes_leaves_exact_predictions(sizes, load, noisy, exact):
    """With N within a of 1 the difference is of the order of a, so that it falls with a, to nothing."""
    limit = mean_response(joint_law(sizes, "exact"), load, exact).mean_response
    gaps = [
        mean_response(joint_law(sizes, f"uniform:a={a}"), load, noisy).mean_response / limit - 1 for a in (1e-2, 1e-4)
    ]
    assert abs(gaps[0]) < 0.02
    assert abs(gaps[1]) < 0.02 * abs(gaps[0]) + 1e-9


# --- classes and atoms ------------------------------------------------------------------------------------


def classes_by_definition(joint, load, policy):
    """SPRPT or bounce with classes: the SOAP formula, all expectations by one fine sum over sizes."""
    values = joint.classes.values
    if joint.sizes.atoms is not None:
        x, weight = joint.sizes.atoms
    else:
        marks = {1e-14, 60.0, *joint.classes.edges, 2 * values[0], *(2 * values)}
        marks |= {abs(a + sign * b) for a in values for b in values for sign in (1, -1)} - {0.0}
        x, weight = gauss(sorted(m for m in marks if 1e-14 <= m <= 60))
        weight = weight * joint.sizes.pdf(x)
    chance = joint.classes.probability(x) * weight[:, None]
    work, square = x @ chance, x**2 @ chance
    total = 0.0
    for own, y in enumerate(values):
        low, high = work[values < y].sum(), work[values <= y].sum()
        moved = square[values <= y].sum()
        for other in np.flatnonzero(values > y):
            part = [served_at_most(policy, s, values[other], y) for s in x]
            moved += np.square(part) @ chance[:, other]
        total += load * moved / (2 * (1 - load * low) * (1 - load * high)) * chance[:, own].sum()
        for s, share in zip(x, chance[:, own], strict=True):
            if share > 0:
                total += share * class_residence(values, work, load, policy, s, y)
    return total


def class_residence(values, work, load, policy, s, y):
    """Between these ages the classes whose arrivals interrupt stay the same."""
    marks = {y - v for v in values} | {y, 2 * y, 2 * y - s}
    ages = [0.0, *sorted(a for a in marks if 0 < a < s), s]
    total = 0.0
    for a, b in pairwise(ages):
        worst = worst_rank(policy, s, y, (a + b) / 2)
        total += (b - a) / (1 - load * work[values < worst].sum())
    return total


@pytest.mark.parametrize("policy", ["sprpt", "bounce"])
@pytest.mark.parametrize(
    ("sizes", "predictions"),
    [
        ("exponential", "onebit:threshold=1.3"),
        ("exponential", "kbit:bits=2,of=exponential"),
        ("uniform", "confusion:threshold=1,miss=0.2,false_alarm=0.1"),
        ("ssjf", "ssjf:classes=5"),
    ],
)
def test_classes(sizes, predictions, policy):
    joint = joint_law(sizes, predictions)
    near(mean_response(joint, 0.9, policy), classes_by_definition(joint, 0.9, policy))


@pytest.mark.parametrize("load", [0.3, 0.9])
def test_deterministic_sizes(load):
    joint = joint_law("deterministic:mean=2", "exact")
    fcfs = 2 + load * 2 / (2 * (1 - load))
    for policy in ("fcfs", "sjf", "srpt", "spjf", "sprpt", "bounce", "onebit:threshold=3,preemptive=false"):
        near(mean_response(joint, load, policy), fcfs)
    # All that arrive in a busy period leave at its end.
    near(mean_response(joint, load, "las"), 2 / (1 - load) + load * 2 / (2 * (1 - load) ** 2))


def test_two_sizes(tmp_path):
    """SRPT with sizes 1 and 3, as likely: a long job is overtaken by all shorts until 1 is left of it."""
    file = tmp_path / "sizes.csv"
    file.write_text("1\n3\n")
    joint = joint_law(f"empirical:file={file},mean=2", "exact")
    rate = 0.9 / 2
    short = rate * 0.5
    wait_short = rate * (0.5 * 1 + 0.5 * 1) / (2 * (1 - short))
    wait_long = rate * 5 / (2 * (1 - short) * 0.1)
    exact = 0.5 * (wait_short + 1) + 0.5 * (wait_long + 2 / (1 - short) + 1)
    near(mean_response(joint, 0.9, "srpt"), exact)


def test_predictions_that_say_nothing():
    joint = joint_law("weibull:shape=0.5", "constant")
    for policy in ("spjf", "pspjf", "sprpt", "onebit:preemptive=false", "kbit:bits=3,preemptive=false"):
        near(mean_response(joint, 0.8, policy), 13.0)
    near(mean_response(joint, 0.8, "onebit"), 5.0)  # Last come first served: all are called short.
    assert optimal_threshold(joint, 0.8, True) == math.inf


# --- bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("threshold", [0.3, 2.0, 12.0])
def test_one_bit_closed_forms(load, threshold):
    """The paper's t1 and t2 for exponential sizes and predictions, and their identity."""
    long = bessel(1, threshold)
    free = (1 - load) * (1 - load * (1 - bessel(2, threshold)))
    t1 = 1 + load * (1 - load * (1 - long)) / free
    t2 = (1 - load + load * long) / free
    near(mean_response(EXPONENTIAL, load, f"onebit:threshold={threshold},preemptive=false"), t1)
    near(mean_response(EXPONENTIAL, load, f"onebit:threshold={threshold}"), t2)
    assert t1 == pytest.approx(load * t2 + 1, rel=1e-13)


@pytest.mark.parametrize("load", [0.5, 0.9, 0.98, 0.995])
@pytest.mark.parametrize("preemptive", [True, False])
def test_best_threshold_of_true_sizes(load, preemptive):
    root = brentq(lambda t: (t - 1) / (math.exp(-t) + t - 1) - load, 1 + 1e-9, 50, xtol=1e-14)
    assert optimal_threshold(EXPONENTIAL, load, preemptive, "size") == pytest.approx(root, rel=1e-7)


PARETO = joint_law("pareto:alpha=1.5,ratio=1e4", "uniform:a=0.5")


@pytest.mark.parametrize("joint", [EXPONENTIAL, WEIBULL, PARETO])
@pytest.mark.parametrize("load", [0.5, 0.98])
@pytest.mark.parametrize("preemptive", [True, False])
def test_best_threshold_is_global(joint, load, preemptive):
    mode = "" if preemptive else ",preemptive=false"
    best = mean_response(joint, load, f"onebit:preemptive={str(preemptive).lower()}").mean_response
    tried = [
        mean_response(joint, load, f"onebit:threshold={t}{mode}").mean_response for t in np.geomspace(1e-3, 500, 150)
    ]
    assert best <= min(tried) <= 1.01 * best


@pytest.mark.parametrize("joint", [EXPONENTIAL, WEIBULL])
@pytest.mark.parametrize("load", [0.5, 0.95])
@pytest.mark.parametrize("preemptive", ["true", "false"])
def test_best_thresholds_of_two_bits(joint, load, preemptive):
    """A descent in the logarithms of the gaps, from many starts, finds nothing better, and gets as far."""
    best = mean_response(joint, load, f"kbit:bits=2,preemptive={preemptive}").mean_response

    def at(logs):
        cuts = np.cumsum(np.exp(np.clip(logs, -20, 8)))
        spec = f"kbit:bits=2,preemptive={preemptive},thresholds=" + "|".join(repr(float(c)) for c in cuts)
        return mean_response(joint, load, spec).mean_response

    rng = np.random.default_rng(5)
    starts = rng.normal(0, 1.5, (4, 3))
    found = [minimize(at, start, method="Nelder-Mead", options={"xatol": 1e-6}).fun for start in starts]
    assert best <= min(found) * (1 + 1e-13)
    assert min(found) == pytest.approx(best, rel=1e-6)


def test_more_bits_are_better_and_approach_full_predictions():
    for load in (0.5, 0.95):
        for policy, limit in (("kbit:preemptive=false", "spjf"), ("kbit:preemptive=true", "pspjf")):
            name, _, rest = policy.partition(":")
            specs = [f"{name}:bits={b},{rest}" for b in range(1, 7)]
            means = [mean_response(EXPONENTIAL, load, spec).mean_response for spec in specs]
            gaps = np.array(means) - mean_response(EXPONENTIAL, load, limit).mean_response
            assert np.all(np.diff(means) < 0)
            if limit == "spjf":
                assert np.all(gaps > 0) and gaps[-1] < 1e-3 * means[-1]
        assert means[0] == mean_response(EXPONENTIAL, load, "onebit").mean_response


def test_equal_thresholds():
    cuts = bucket_thresholds(joint_law("exponential", "exact"), 0.8, 2, True, "equal")
    assert cuts == pytest.approx(-np.log([0.75, 0.5, 0.25]), rel=1e-12)
    classes = joint_law("exponential", "kbit:bits=2")
    assert bucket_thresholds(classes, 0.8, 2, True, "equal") == pytest.approx(
        (classes.classes.values[1:] + classes.classes.values[:-1]) / 2
    )


# --- units, errors, input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["sprpt", "bounce", "las", "kbit:bits=2"])
def test_unit_of_time(policy):
    one = mean_response(EXPONENTIAL, 0.8, policy).mean_response
    near(mean_response(joint_law("exponential:mean=250", "exponential"), 0.8, policy), 250 * one)


@pytest.mark.parametrize("load", [0, 1, -0.5, 1.2, math.nan, math.inf, "0.5", True, None])
def test_bad_load(load):
    with pytest.raises(InputError, match="above 0 and below 1"):
        mean_response(EXPONENTIAL, load, "srpt")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("sprtp", "did you mean 'sprpt'"),
        ("srpt:theshold=1", "takes no parameters"),
        ("onebit:treshold=1", "did you mean 'threshold'"),
        ("onebit:threshold=-1", "ascending numbers from 0 up"),
        ("onebit:threshold=best", "ascending numbers from 0 up"),
        ("onebit:preemptive=maybe", "must be true or false"),
        ("kbit:bits=0", "whole number from 1 to 8"),
        ("kbit:bits=2.5", "whole number from 1 to 8"),
        ("kbit:bits=1,thresholds=1|2", "at most 1"),
        ("kbit:bits=2,thresholds=2|1", "ascending numbers from 0 up"),
        (7, "must be a text"),
    ],
)
def test_bad_policy(policy, message):
    with pytest.raises(InputError, match=message):
        mean_response(EXPONENTIAL, 0.8, policy)


def test_bad_size_or_prediction():
    with pytest.raises(InputError, match="looks at the prediction"):
        mean_response_given(EXPONENTIAL, 0.8, "sprpt", 1.0)
    with pytest.raises(InputError, match="not a finite number above 0"):
        mean_response_given(EXPONENTIAL, 0.8, "srpt", [1.0, -1.0])
    with pytest.raises(InputError, match="differs from its size"):
        mean_response_given(joint_law("exponential", "exact"), 0.8, "sprpt", 1.0, 2.0)
    with pytest.raises(InputError, match="predicted"):
        optimal_threshold(EXPONENTIAL, 0.8, True, "prediction")


def test_every_policy_has_an_analysis():
    assert set(analysable()) == set(names())
