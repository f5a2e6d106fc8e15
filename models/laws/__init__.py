"""Laws of job sizes, of predictions given the size, and of both together, by short texts.

    joint = joint_law("weibull:shape=0.5", "exponential")
    sizes, predictions = joint.sample(rng_sizes, rng_predictions, 1000)

The tables below are the registries: a new law is a class with `read` and `spec`, and one line here.
"""

from __future__ import annotations

from openqueues.models.errors import unknown
from openqueues.models.laws import bounded, discrete, each, erlang, predictions, sizes, ssjf
from openqueues.models.laws.base import SizeLaw
from openqueues.models.laws.classes import Classes
from openqueues.models.laws.joint import JointLaw
from openqueues.models.laws.noise import Noise
from openqueues.models.laws.parameters import law_of, read
from openqueues.models.laws.predictions import PredictionLaw

__all__ = [
    "Classes",
    "JointLaw",
    "Noise",
    "PredictionLaw",
    "SizeLaw",
    "joint_law",
    "prediction_law",
    "size_law",
]

SIZES = {
    "exponential": sizes.Exponential,
    "weibull": sizes.Weibull,
    "hyperexponential": sizes.Hyperexponential,
    "erlang": erlang.Erlang,
    "lognormal": sizes.Lognormal,
    "pareto": bounded.Pareto,
    "uniform": bounded.Uniform,
    "deterministic": discrete.Deterministic,
    "points": discrete.Points,
    "empirical": discrete.Empirical,
    "ssjf": ssjf.Ssjf,
}
PREDICTIONS = {
    "exact": predictions.Exact,
    "exponential": predictions.Exponential,
    "uniform": predictions.Uniform,
    "lognormal": predictions.Lognormal,
    "bounded": predictions.Bounded,
    "each": each.Each,
    "onebit": predictions.OneBit,
    "kbit": predictions.KBit,
    "confusion": predictions.Confusion,
    "margin": predictions.MarginLaw,
    "classifier": ssjf.Classifier,
    "constant": predictions.Constant,
    "ssjf": ssjf.SsjfPredictions,
}


def size_law(law: str | SizeLaw) -> SizeLaw:
    """The law of sizes that a text such as `weibull:shape=0.5` names; InputError for a bad text."""
    if isinstance(law, SizeLaw):
        return law
    return law_of(SIZES, "size law", *read(law, "size law"))


def prediction_law(law: str | PredictionLaw) -> PredictionLaw:
    """The law of predictions that a text such as `uniform:a=0.5` names; InputError for a bad text."""
    if isinstance(law, PredictionLaw):
        return law
    return law_of(PREDICTIONS, "prediction law", *read(law, "prediction law"))


def joint_law(sizes: str | SizeLaw, predictions: str | PredictionLaw) -> JointLaw:
    """Both together; InputError where they do not fit, for example a threshold beyond all sizes."""
    return JointLaw(size_law(sizes), prediction_law(predictions))


def simple_prediction(name: str, values: dict, where: str) -> PredictionLaw:
    """A law that is exact or a noise, for use within another law; `where` names that one in errors."""
    known = {key: law for key, law in PREDICTIONS.items() if law.noise is not None or law.is_exact}
    if name not in known:
        raise unknown(f"law in 'of' of {where}", name, known)
    return law_of(known, f"{where}: prediction law", name, values)
