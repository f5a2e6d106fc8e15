"""Laws of sizes: formulas against quadrature of densities written down here, draws against formulas."""

import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from openqueues.models.laws import SIZES, size_law

mp.mp.dps = 30


def _hyperexponential(scv):
    """Weights, rates by the textbook: balanced means are p1/rate1 = p2/rate2 = 1/2."""
    p = (1 + mp.sqrt(mp.mpf(scv - 1) / (scv + 1))) / 2
    return lambda x: 2 * p**2 * mp.exp(-2 * p * x) + 2 * (1 - p) ** 2 * mp.exp(-2 * (1 - p) * x)


def _lognormal(sigma):
    sigma = mp.mpf(sigma)
    return lambda x: mp.npdf(mp.log(x), -(sigma**2) / 2, sigma) / x


def _weibull(shape):
    shape = mp.mpf(shape)
    scale = 1 / mp.gamma(1 + 1 / shape)
    return lambda x: shape / scale * (x / scale) ** (shape - 1) * mp.exp(-((x / scale) ** shape))


def _pareto(alpha, ratio):
    alpha, ratio = mp.mpf(alpha), mp.mpf(ratio)
    if alpha == 1:
        low = (1 - 1 / ratio) / mp.log(ratio)
    else:
        low = (1 - ratio**-alpha) * (alpha - 1) / (alpha * (1 - ratio ** (1 - alpha)))
    return lambda x: alpha * low**alpha * x ** (-alpha - 1) / (1 - ratio**-alpha)


def _erlang(*branches):
    """Branches (share, stages, mean)."""

    def density(x):
        parts = ((p, k, mp.mpf(k) / m) for p, k, m in branches)
        return sum(p * rate * (rate * x) ** (k - 1) * mp.exp(-rate * x) / mp.factorial(k - 1) for p, k, rate in parts)

    return density


# Densities of the laws with mean 1, independent of the package.
DENSITIES = {
    "exponential": lambda x: mp.exp(-x),
    "weibull:shape=0.5": _weibull(0.5),
    "weibull:shape=0.7": _weibull(0.7),
    "weibull:shape=3": _weibull(3),
    "hyperexponential:scv=4": _hyperexponential(4),
    "hyperexponential:scv=300": _hyperexponential(300),
    "erlang:stages=1|4,means=0.5|5.5,weights=0.9|0.1": _erlang(
        (mp.mpf("0.9"), 1, mp.mpf("0.5")), (mp.mpf("0.1"), 4, mp.mpf("5.5"))
    ),
    "lognormal:sigma=1": _lognormal(1),
    "lognormal:sigma=0.25": _lognormal(0.25),
    "pareto:alpha=1.5,ratio=1000": _pareto(1.5, 1000),
    "pareto:alpha=1,ratio=1000000": _pareto(1, 1e6),
    "pareto:alpha=2,ratio=50": _pareto(2, 50),
    "uniform": lambda x: mp.mpf(1) / 2,
    "uniform:low=0.5,high=1.5": lambda x: mp.mpf(1),
}
TINY = np.array([1e-12, 1e-6, 1e-3])
INNER = np.array([0.02, 0.3, 0.9, 1.0, 2.5, 8.0])
DISCRETE = ["deterministic", "points:values=1|5|30,weights=7|2|1", "ssjf:data=histogram"]


@pytest.fixture(params=DENSITIES)
def law(request):
    return size_law(request.param)


def _points(law):
    """Sizes inside the support: tiny ones or just above a positive low end, and ordinary ones.

    None where P(S > x) < 1e-30: an exponent of -70 and beyond costs more than three digits of any float.
    """
    low, high = law.support
    near = low * (1 + np.array([1e-9, 1e-4])) if low > 0 else TINY
    if law.spec.startswith("lognormal"):
        near = np.array([0.01])
    return np.concatenate((near, _inner(law)))


def _inner(law):
    low, high = law.support
    return INNER[(INNER > low) & (INNER < high) & (law.sf(INNER) > 1e-30)]


def _integral(law, k, a, b):
    """int_a^b x^k f(x) dx; the substitution x = s^4 tames the singularity at 0, panels the decay."""
    density = DENSITIES[law.spec]
    low, high = law.support
    # The ends of a bounded support are rounded numbers here; integrate between the numbers as they are.
    a, b = mp.mpf(max(a, low)), mp.mpf(min(b, high))
    inner = [mp.mpf(2) ** j for j in range(-10, 16, 2) if a < mp.mpf(2) ** j < b]
    ends = [mp.root(end, 4) if end < mp.inf else mp.inf for end in (a, *inner, b)]
    # mpmath stops at an absolute error, so the integrand is brought to the order of 1 first.
    size = max(abs(v**k * density(v) * v) for v in (a, b, (a + min(b, 1)) / 2) if 0 < v < mp.inf)
    return size * mp.quad(lambda s: s ** (4 * k + 3) * 4 * density(s**4) / size, ends)


def test_the_density_is_the_one_written_down(law):
    x = _points(law)
    expected = [float(DENSITIES[law.spec](mp.mpf(v))) for v in x]
    np.testing.assert_allclose(law.pdf(x), expected, rtol=2e-13)


@pytest.mark.parametrize("k", range(4))
def test_partial_moments_keep_their_digits_at_both_ends(law, k):
    """Relative error 1e-12, for sizes near 0 (or the low end) and in the tail."""
    x = _points(law)
    expected = np.array([float(_integral(law, k, 0, v)) for v in x])
    near_end = law.support[0] > 0
    # Just above a positive low end, the end itself is rounded: its last digit is what limits x - low.
    blur = 4e-16 * law.support[0] / np.maximum(x - law.support[0], 1e-300) if near_end else 0.0
    assert np.all(np.abs(law.partial_moment(k, x) / expected - 1) < 1e-12 + blur)
    x = _inner(law)
    tail = np.array([float(_integral(law, k, v, mp.inf)) for v in x])
    np.testing.assert_allclose(law.tail_moment(k, x), tail, rtol=1e-12)
    assert law.moment(k) == pytest.approx(float(_integral(law, k, 0, mp.inf)), rel=1e-12)


def test_distribution_functions_are_the_zeroth_moments(law):
    x = _points(law)
    np.testing.assert_allclose(law.cdf(x), law.partial_moment(0, x), rtol=1e-12)
    np.testing.assert_allclose(law.sf(x), law.tail_moment(0, x), rtol=1e-12)
    low, high = law.support
    assert law.cdf(-1.0) == 0 and law.sf(-1.0) == 1 and law.pdf(-1.0) == 0
    assert law.cdf(np.inf) == 1 and law.sf(np.inf) == 0
    assert law.ppf(0.0) == low and law.ppf(1.0) == pytest.approx(high, rel=1e-14)
    assert np.isnan(law.ppf([-0.1, 1.1, np.nan])).all()


def test_quantiles_invert_the_distribution_function(law):
    u = np.array([1e-9, 1e-4, 0.03, 0.25, 0.5, 0.77, 0.999])
    x = law.ppf(u)
    blur = 4.5e-16 * x * law.pdf(x) / u  # x itself is rounded
    assert np.all(np.abs(law.cdf(x) / u - 1) < 1e-13 + blur)
    far = 1 - 2.0**-30
    x = law.ppf(far)
    assert law.sf(x) == pytest.approx(2.0**-30, rel=1e-12 + 2.0**30 * 4.5e-16 * x * law.pdf(x))


def test_weibull_of_the_paper():
    """Distribution function 1 - exp(-sqrt(2x)), mean 1, second moment 6."""
    law = size_law("weibull:shape=0.5")
    x = np.array([1e-9, 0.1, 1.0, 30.0])
    np.testing.assert_allclose(law.cdf(x), -np.expm1(-np.sqrt(2 * x)), rtol=1e-14)
    assert (law.mean, law.moment(2)) == (1.0, pytest.approx(6, rel=1e-14))


@pytest.mark.parametrize("text", [*DENSITIES, *DISCRETE])
def test_draws_follow_the_law(text):
    """Kolmogorov distance, means of S and min(S, 1): the true law breaks a bound once in 1e4 seeds."""
    # The rare branch of a hyperexponential brings half of the work: it takes more draws to see it 1% off.
    law, n = size_law(text), 4_000_000 if "scv=4" in text else 1_000_000
    drawn = law.sample(np.random.default_rng(20261), n)
    x = np.sort(drawn)
    cdf = law.cdf(x)
    if law.atoms is None:
        distance = max(np.max(np.arange(1, n + 1) / n - cdf), np.max(cdf - np.arange(n) / n))
    else:
        values = law.atoms[0]
        distance = np.max(np.abs(np.searchsorted(x, values, side="right") / n - law.cdf(values)))
    assert np.sqrt(n) * distance < 2.23
    assert law.support[0] <= x[0] and x[-1] <= law.support[1]
    capped = law.partial_moment(1, 1.0) + law.sf(1.0), law.partial_moment(2, 1.0) + law.sf(1.0)
    for values, mean, square in (
        (drawn, law.mean, law.moment(2)),
        (np.minimum(drawn, 1.0), *capped),
    ):
        deviation = np.sqrt(max(square - mean**2, 0.0) / n)
        assert abs(values.mean() - mean) <= 3.9 * deviation + 1e-12


@pytest.mark.parametrize("text", [*DENSITIES, *DISCRETE])
def test_draws_do_not_depend_on_the_pieces(text):
    law = size_law(text)
    whole, pieces = np.random.default_rng(5), np.random.default_rng(5)
    expected = law.sample(whole, 1000)
    parts = [law.sample(pieces, n) for n in (1, 0, 2, 500, 497)]
    assert np.concatenate(parts).tobytes() == expected.tobytes()
    assert whole.bit_generator.state == pieces.bit_generator.state
    assert np.all(expected > 0)


@pytest.mark.parametrize("text", [text for text in (*DENSITIES, *DISCRETE) if "low=" not in text])
def test_the_mean_scales_everything(text):
    one, three = size_law(text), size_law(text + ("," if ":" in text else ":") + "mean=3")
    x = np.array([0.2, 0.8, 1.7])
    assert three.mean == 3 and three != one and hash(three) != hash(one)
    np.testing.assert_allclose(three.cdf(3 * x), one.cdf(x), rtol=1e-13)
    np.testing.assert_allclose(three.partial_moment(2, 3 * x), 9 * one.partial_moment(2, x), rtol=1e-12)
    draws = [law.sample(np.random.default_rng(1), 9) for law in (one, three)]
    np.testing.assert_allclose(draws[1], 3 * draws[0], rtol=1e-14)
    for law in (one, three):
        assert size_law(law.spec) == law and size_law(law) is law


def test_canonical_texts():
    for given, canonical in {
        " weibull : shape = 0.50 , mean=1": "weibull:shape=0.5",
        "pareto:ratio=1e3,alpha=1.5": "pareto:alpha=1.5,ratio=1000",
        "erlang:stages=4,means=7,weights=2": "erlang:stages=4",
        "erlang:stages=1|2,means=1|3,weights=1|1": "erlang:stages=1|2,means=1.0|3.0,weights=1.0|1.0",
        "uniform:low=0,high=2": "uniform",
        "uniform:mean=2": "uniform:mean=2",
        "uniform:high=3,low=1": "uniform:low=1,high=3",
        "ssjf:data=histogram,mean=1": "ssjf:data=histogram",
    }.items():
        assert size_law(given).spec == canonical


def test_moments_of_the_hyperexponential():
    assert size_law("hyperexponential:scv=9").moment(2) == pytest.approx(10, rel=1e-13)
    one = size_law("hyperexponential:scv=1")
    np.testing.assert_allclose(one.sf(INNER), np.exp(-INNER), rtol=1e-13)


def test_erlang_laws_with_one_stage_are_the_exponential_laws():
    x = np.array([1e-12, 1e-3, 0.7, 3.0, 40.0])
    p = (1 + np.sqrt(0.6)) / 2
    mixture = f"erlang:stages=1|1,means={1 / p}|{1 / (1 - p)},weights={p}|{1 - p}"
    for text, same in (("erlang:stages=1", "exponential"), (mixture, "hyperexponential:scv=4")):
        law, other = size_law(text), size_law(same)
        for k in range(4):
            np.testing.assert_allclose(law.partial_moment(k, x), other.partial_moment(k, x), rtol=1e-12)
            np.testing.assert_allclose(law.tail_moment(k, x), other.tail_moment(k, x), rtol=1e-12)
        np.testing.assert_allclose(law.pdf(x), other.pdf(x), rtol=1e-12)
        np.testing.assert_allclose(law.ppf([1e-9, 0.3, 0.999]), other.ppf([1e-9, 0.3, 0.999]), rtol=1e-12)
    assert size_law("erlang:stages=4").moment(2) == pytest.approx(1.25, rel=1e-15)


def test_deterministic_takes_nothing_from_the_stream():
    law, rng = size_law("deterministic:mean=2"), np.random.default_rng(1)
    before = rng.bit_generator.state
    assert law.sample(rng, 3).tolist() == [2.0, 2.0, 2.0] and rng.bit_generator.state == before
    assert [float(law.cdf(x)) for x in (1.9, 2.0)] == [0.0, 1.0] and law.moment(3) == 8


def test_empirical_against_the_plain_data(tmp_path):
    sizes = np.array([3.0, 1.0, 1.0, 7.5, 2.0, 3.0, 11.0])
    file = tmp_path / "sizes.csv"
    file.write_text("# lengths\nid,length\n" + "".join(f"{i},{v}\n" for i, v in enumerate(sizes)))
    law = size_law(f"empirical:file={file},column=length")
    by_number = size_law(f"empirical:file={file},column=2")
    scaled = np.sort(sizes / sizes.mean())
    values, weights = law.atoms
    np.testing.assert_allclose(values, np.unique(scaled), rtol=1e-15)
    np.testing.assert_allclose(weights, np.array([2, 1, 2, 1, 1]) / 7, rtol=1e-15)
    for k in range(4):
        assert law.moment(k) == pytest.approx(np.mean(scaled**k), rel=1e-14)
        for x in (0.0, values[0], values[2], 0.9999 * values[3], 99.0):
            upto = scaled <= x + 1e-9
            assert law.partial_moment(k, x) == pytest.approx(np.mean(scaled**k * upto), abs=1e-14)
            assert law.tail_moment(k, x) == pytest.approx(np.mean(scaled**k * ~upto), abs=1e-14)
    assert law.ppf([0.0, 2 / 7, 2 / 7 + 1e-9, 1.0]).tolist() == values[[0, 0, 1, 4]].tolist()
    assert law.source == str(file) and law.mean == 1 and by_number.atoms[0].tolist() == values.tolist()
    drawn = law.sample(np.random.default_rng(3), 70_000)
    seen = np.array([np.sum(drawn == value) for value in values])
    assert seen.sum() == 70_000
    assert np.all(np.abs(seen - 70_000 * weights) < 4 * np.sqrt(70_000 * weights * (1 - weights)))
    with pytest.raises(NotImplementedError, match="atoms"):
        law.pdf(1.0)


def test_every_registered_law_is_tested():
    tested = {text.partition(":")[0] for text in (*DENSITIES, *DISCRETE)}
    assert tested | {"empirical"} == set(SIZES)


def test_the_import_is_light():
    code = (
        "import sys; from openqueues.models.laws import joint_law;"
        "joint_law('weibull:shape=0.5', 'exponential');"
        "heavy = {'scipy.special', 'scipy.optimize', 'scipy.linalg', 'pandas', 'numba', 'mpmath'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_special_functions_are_those_of_scipy():
    import scipy.special
    from openqueues.models import special

    for name in ("gammainc", "gammaincc", "ndtr", "ndtri"):
        assert getattr(special, name) is getattr(scipy.special, name)
