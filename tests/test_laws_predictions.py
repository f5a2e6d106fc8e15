"""Laws of predictions and joint laws: probabilities against draws, class values against integrals."""

import numpy as np
import pytest
from openqueues.models.laws import PREDICTIONS, joint_law, prediction_law, size_law
from scipy import integrate

NOISES = [
    "exponential",
    "uniform:a=0.5",
    "uniform:a=1",
    "lognormal:sigma=1",
    "lognormal:sigma=0.4,bias=1.5",
    "bounded:low=0.5,high=2",
    "bounded:low=0.25,high=4,form=loguniform",
]
CLASSES = [
    "onebit:threshold=1.3",
    "onebit:threshold=1.3,of=exponential",
    "onebit:threshold=1.3,of=bounded,low=0.5,high=2,form=loguniform",
    "kbit:bits=1",
    "kbit:bits=3",
    "kbit:bits=3,of=exponential",
    "kbit:bits=2,of=lognormal,sigma=0.5",
    "confusion:threshold=1.3,miss=0.2,false_alarm=0.05",
    "margin:threshold=1.3,scale=0.5",
    "classifier:table=ssjf3",
    "classifier:table=ssjf5",
    "constant",
]
EACH = "each:factors=2.0|0.25,split=5"  # for few-point sizes only, see test_attack.py
SIZES = ["weibull:shape=0.5", "uniform", "ssjf:data=histogram"]
PAIRS = [(sizes, predictions) for sizes in SIZES for predictions in CLASSES] + [
    ("ssjf:data=histogram", "ssjf:classes=3"),
    ("ssjf:data=histogram", "ssjf:classes=5"),
]


def _streams(seed=1):
    return np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])


@pytest.mark.parametrize("text", NOISES)
def test_noise_formulas_agree_with_each_other(text):
    noise = prediction_law(text).noise
    low, high = noise.support

    def integral(k, end):
        ends = sorted({low, *(p for p in (0.1, 1.0, 5.0) if low < p < end), end})
        parts = zip(ends, ends[1:], strict=False)
        return sum(
            integrate.quad(lambda v: v**k * float(noise.pdf(v)), a, b, epsabs=1e-14, epsrel=1e-12)[0] for a, b in parts
        )

    for v in (0.3, 0.8, 1.0, 1.7):
        end = min(max(v, low), high)
        expected = integral(0, end) if end > low else 0.0
        assert float(noise.cdf(v)) == pytest.approx(expected, rel=1e-10, abs=1e-14)
    for k in (0, 1, 2):
        assert noise.moment(k) == pytest.approx(integral(k, high), rel=1e-9)
    assert float(noise.cdf(0.0)) == 0 and float(noise.cdf(np.inf)) == 1 and float(noise.pdf(-1.0)) == 0
    if high < np.inf:
        assert noise.breakpoints == tuple(end for end in (low, high) if end > 0)


@pytest.mark.parametrize(
    "text, mean, square",
    [
        ("exponential", 1, 2),
        ("uniform:a=0.5", 1, 1 + 0.25 / 3),
        ("lognormal:sigma=1", 1, np.e),
        ("lognormal:sigma=0.4,bias=1.5", 1.5, 2.25 * np.exp(0.16)),
        ("bounded:low=0.5,high=2", 1.25, 1.75),
        ("bounded:low=0.25,high=4,form=loguniform", 3.75 / np.log(16), (16 - 1 / 16) / (2 * np.log(16))),
    ],
)
def test_noise_has_the_documented_moments(text, mean, square):
    noise = prediction_law(text).noise
    assert (noise.moment(1), noise.moment(2)) == (pytest.approx(mean), pytest.approx(square))
    assert prediction_law("uniform:a=1").noise.moment(-1) == np.inf


@pytest.mark.parametrize("text", NOISES)
def test_noisy_predictions_are_drawn_from_the_noise(text):
    """Kolmogorov distance of Y/X, which must not depend on X: tested for small and for large sizes apart."""
    # A wrong deviation of a lognormal moves its distribution function least: more draws see it 1% off.
    joint, n = joint_law("weibull:shape=0.5", text), 4_000_000 if "lognormal" in text else 600_000
    sizes, predictions = joint.sample(*_streams(), n)
    for part in (sizes < 0.2, sizes >= 0.2):
        ratio = np.sort(predictions[part] / sizes[part])
        cdf = joint.noise.cdf(ratio)
        ranks = np.arange(len(ratio) + 1) / len(ratio)
        assert max(np.max(ranks[1:] - cdf), np.max(cdf - ranks[:-1])) * np.sqrt(len(ratio)) < 2.23
    low, high = joint.noise.support
    assert np.all(ratio >= low * (1 - 1e-15)) and np.all(ratio <= high * (1 + 1e-15))


@pytest.mark.parametrize("sizes, predictions", PAIRS)
def test_classes_are_drawn_with_their_probabilities(sizes, predictions):
    """In eight groups of sizes: counts of each class against the sums of probabilities (4.3 deviations)."""
    joint = joint_law(sizes, predictions)
    x, y = joint.sample(*_streams(), 200_000)
    probability = joint.classes.probability(x)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-13)
    assert np.all(probability >= 0) and np.all(np.diff(joint.classes.values) > 0)
    assert np.isin(y, joint.classes.values).all()
    for group in np.array_split(np.argsort(x), 8):
        for index, value in enumerate(joint.classes.values):
            p = probability[group, index]
            seen, deviation = np.sum(y[group] == value), np.sqrt(np.sum(p * (1 - p)))
            assert abs(seen - p.sum()) <= 4.3 * deviation + 1e-6


@pytest.mark.parametrize("sizes, predictions", PAIRS)
def test_class_values_are_the_mean_sizes_of_perfect_members(sizes, predictions):
    law, classes = size_law(sizes), joint_law(sizes, predictions).classes
    bounds = [0.0, *classes.edges, np.inf]
    for value, low, high in zip(classes.values, bounds, bounds[1:], strict=False):
        if law.atoms is not None:
            x, weight = law.atoms
            inside = (x >= low) & (x < high)
            mass, work = weight[inside].sum(), weight[inside] @ x[inside]
        else:
            # By quantiles: the integral of the quantile function over (F(low), F(high)).
            a, b = float(law.cdf(low)), float(law.cdf(high))
            mass = b - a
            work = integrate.quad(lambda u: float(law.ppf(u)), a, b, epsrel=1e-11, epsabs=0, limit=200)[0]
        assert value == pytest.approx(work / mass, rel=1e-8)
        assert low <= value < high


@pytest.mark.parametrize("sizes", SIZES)
def test_buckets_hold_equal_shares(sizes):
    law = size_law(sizes)
    classes = joint_law(sizes, "kbit:bits=3").classes
    assert len(classes.values) == 8
    share = law.cdf(np.nextafter(classes.edges, 0))
    slack = 1e-12 if law.atoms is None else law.atoms[1].max()
    np.testing.assert_allclose(share, np.arange(1, 8) / 8, rtol=0, atol=slack)


def test_a_job_at_the_threshold_is_long():
    law = size_law("ssjf:data=histogram")
    at = float(law.atoms[0][40])
    classes = joint_law(law, f"onebit:threshold={at!r}").classes
    below = float(law.atoms[0][39])
    assert classes.probability([below, at]).tolist() == [[1, 0], [0, 1]]
    assert classes.values[0] < at <= classes.values[1]


def test_confusion_and_margin_have_the_documented_errors():
    x = np.array([0.01, 1.0, 1.9999, 2.0001, 2 * np.e, 500.0])
    confusion = joint_law("exponential", "confusion:threshold=2,miss=0.2,false_alarm=0.05").classes
    np.testing.assert_allclose(confusion.probability(x)[:, 1], [0.05, 0.05, 0.05, 0.8, 0.8, 0.8])
    margin = joint_law("exponential", "margin:threshold=2,scale=0.5").classes
    wrong = np.where(x < 2, margin.probability(x)[:, 1], margin.probability(x)[:, 0])
    np.testing.assert_allclose(wrong, 1 / (1 + np.exp(np.abs(np.log(x / 2)) / 0.5)), rtol=1e-12)
    assert wrong[2] == pytest.approx(0.5, abs=1e-3)


def test_one_bit_of_an_exponential_prediction():
    """P(Y < T | x) = 1 - exp(-T/x)."""
    classes = joint_law("exponential", "onebit:threshold=1.5,of=exponential").classes
    x = np.array([0.1, 1.0, 4.0])
    np.testing.assert_allclose(classes.probability(x)[:, 0], -np.expm1(-1.5 / x), rtol=1e-14)
    uniform = joint_law("exponential", "onebit:threshold=1.5,of=uniform,a=0.5").classes
    assert uniform.breakpoints == (1.0, 3.0)


@pytest.mark.parametrize("predictions", ["exact", *NOISES, *CLASSES])
def test_every_prediction_law_sees_the_same_sizes(predictions):
    rng_sizes, rng_predictions = _streams(7)
    sizes, _ = joint_law("weibull:shape=0.5", predictions).sample(rng_sizes, rng_predictions, 500)
    other, _ = _streams(7)
    assert sizes.tobytes() == size_law("weibull:shape=0.5").sample(other, 500).tobytes()
    assert rng_sizes.bit_generator.state == other.bit_generator.state


@pytest.mark.parametrize("predictions", ["exact", *NOISES, *CLASSES, "ssjf:classes=3", "ssjf:classes=5"])
def test_predictions_do_not_depend_on_the_pieces(predictions):
    joint = joint_law("ssjf:data=histogram", predictions)
    whole, pieces = _streams(3), _streams(3)
    expected = joint.sample(*whole, 1000)
    parts = [joint.sample(*pieces, n) for n in (1, 0, 499, 500)]
    for index in (0, 1):
        assert np.concatenate([part[index] for part in parts]).tobytes() == expected[index].tobytes()
        assert whole[index].bit_generator.state == pieces[index].bit_generator.state


def test_exact_and_constant():
    exact, constant = joint_law("exponential:mean=2", "exact"), joint_law("exponential:mean=2", "constant")
    sizes, predictions = exact.sample(*_streams(), 100)
    assert exact.is_exact and exact.noise is None and exact.classes is None
    assert predictions.tobytes() == sizes.tobytes()
    assert set(constant.sample(*_streams(), 100)[1]) == {2.0} and not constant.is_exact


@pytest.mark.parametrize("text", ["exact", EACH, *NOISES, *CLASSES, "ssjf:classes=3", "ssjf:classes=5"])
def test_canonical_texts_read_back(text):
    law = prediction_law(text)
    assert law.spec == text and prediction_law(law.spec) == law and prediction_law(law) is law
    assert law != prediction_law("lognormal:sigma=9") and len({law, prediction_law(text)}) == 1


def test_joint_laws_are_keys():
    a, b = joint_law("exponential", "kbit:bits=2"), joint_law("exponential", "kbit:bits=2.0")
    assert a == b and hash(a) == hash(b) and a != joint_law("exponential", "kbit:bits=3")
    assert a.spec == "exponential | kbit:bits=2"


def test_a_table_from_a_file(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("# short, long\n0.75,0.9,0.1\n0.25,0.3,0.7\n")
    classes = joint_law("exponential", f"classifier:table={file}").classes
    np.testing.assert_allclose(classes.edges, [np.log(4)])
    assert classes.probability([1.0, 2.0]).tolist() == [[0.9, 0.1], [0.3, 0.7]]


def test_every_registered_law_is_tested():
    tested = {text.partition(":")[0] for text in (EACH, *NOISES, *CLASSES)}
    assert tested | {"exact", "ssjf"} == set(PREDICTIONS)
