"""The entry points: check the input, choose the resolution, estimate the error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from openqueues.models.analysis.bits import read_thresholds
from openqueues.models.analysis.classes import ClassPredictions
from openqueues.models.analysis.noise import NoisyPredictions
from openqueues.models.analysis.policies import POLICIES, Analysable
from openqueues.models.analysis.queue import Queue, Response
from openqueues.models.analysis.ranking import Ranking, SizeAtoms, SizesWithDensity
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import JointLaw
from openqueues.models.spec import check_keys, parse_spec

_GOAL = 1e-9
_FINEST = 4


@dataclass(frozen=True)
class Analysis:
    """Mean response time in the law's unit of time, and an estimate of its absolute error."""

    policy: str
    load: float
    mean_response: float
    error: float


def analysable() -> tuple[str, ...]:
    """The names of the policies that can be analysed."""
    return tuple(POLICIES)


def mean_response(joint: JointLaw, load: float, policy: str) -> Analysis:
    """Mean response time of an M/G/1 queue with jobs of law `joint` at `load`, under `policy`.

    The error is the difference of two resolutions, refined until it is below 1e-9 of the value (or the finest
    resolution is reached), plus what rounding may do at that load.
    """
    load = checked_load(load)
    name, entry, parameters = read(policy)
    parameters = _with_thresholds(joint, load, entry, parameters)
    coarse = _respond(joint, load, entry, parameters, 0).mean
    for level in range(1, min(_FINEST, entry.finest) + 1):
        value = _respond(joint, load, entry, parameters, level).mean
        error = abs(value - coarse) + value * _doubt(joint, load, entry, level)
        if error <= _GOAL * value:
            break
        coarse = value
    return Analysis(policy, load, value, error)


def _doubt(joint, load, entry, level):
    """The relative error that rounding and imperfect tables may cause and that two resolutions may share.

    The load is a sum over the tables; 1/(1 - load), squared at worst, passes an error in it on.
    """
    probability, work, square = ranking(joint, entry.by, level).defect(joint.sizes)
    return 5e-15 / (1 - load) + probability + 2 * work * load / (1 - load) + square


def mean_response_given(
    joint: JointLaw, load: float, policy: str, size: ArrayLike, prediction: ArrayLike | None = None
) -> np.ndarray:
    """Mean response time of a job of this size and prediction: arrays that broadcast, in the law's unit.

    The prediction may be left out where the policy does not look at it or the law's predictions are exact.
    """
    load = checked_load(load)
    name, entry, parameters = read(policy)
    size = _positive(size, "size")
    if entry.by == "size" or joint.is_exact:
        order = size
        if joint.is_exact and prediction is not None and np.any(size != np.asarray(prediction)):
            raise InputError("a prediction differs from its size, but the law's are exact: leave it out.")
    elif prediction is None:
        raise InputError(f"policy '{name}' looks at the prediction: give one for each size.")
    else:
        order = _positive(prediction, "prediction")
    size, order = np.broadcast_arrays(size, order)
    parameters = _with_thresholds(joint, load, entry, parameters)
    return np.asarray(_respond(joint, load, entry, parameters, 2).given(size, order))


def optimal_threshold(joint: JointLaw, load: float, preemptive: bool, on: str = "predicted") -> float:
    """The threshold of least mean response time with one bit of the prediction (or size): a global optimum.

    0 says that first come first served is as good as any bit, infinity that last come first served is; with
    finitely many predictions it lies midway between two of them.
    """
    if on not in ("predicted", "size"):
        raise unknown("column of a threshold", str(on), ("predicted", "size"))
    queue = Queue(joint.sizes, checked_load(load), ranking(joint, on, 1))
    return float(read_thresholds(queue, 1, preemptive, "optimal")[0])


def optimal_thresholds(joint: JointLaw, load: float, bits: int, preemptive: bool) -> np.ndarray:
    """The thresholds on the prediction of least mean response time: a global optimum, ascending.

    At most 2^bits - 1; fewer where further classes would not help.
    """
    return bucket_thresholds(joint, load, bits, preemptive, "optimal")


def bucket_thresholds(
    joint: JointLaw, load: float, bits: int, preemptive: bool, thresholds: str | float | ArrayLike = "optimal"
) -> np.ndarray:
    """The thresholds that kbit's parameter means: `optimal`, `equal`, or ascending numbers as in 0.5|1|2."""
    queue = Queue(joint.sizes, checked_load(load), ranking(joint, "predicted", 1))
    return read_thresholds(queue, bits, preemptive, thresholds)


def ratio_to_srpt(joint: JointLaw, load: float, policy: str, mean: tuple[float, float]) -> tuple[float, float]:
    """(ratio, error) of the mean response time of a policy, given with its error, to that of SRPT on the same sizes."""
    value, error = mean
    best = mean_response(joint, load, "srpt")
    ratio = value / best.mean_response
    return ratio, 0.0 if policy == "srpt" else ratio * (error / value + best.error / best.mean_response)


def _positive(values, what):
    values = np.asarray(values, dtype=float)
    if not np.all((values > 0) & np.isfinite(values)):
        raise InputError(f"a {what} is not a finite number above 0: give positive {what}s.")
    return values


def checked_load(load: float) -> float:
    """`load` as a float; InputError unless it is a number strictly between 0 and 1."""
    number = isinstance(load, int | float | np.number) and not isinstance(load, bool)
    if not number or not math.isfinite(load) or not 0 < load < 1:
        raise InputError(f"load is {load}: a stable single server needs a load above 0 and below 1.")
    return float(load)


@lru_cache(maxsize=256)
def read(policy: str):
    """(name, entry of POLICIES, parameters as a tuple of pairs) of a policy's spec."""
    if not isinstance(policy, str):
        raise InputError(f"a policy must be a text such as 'sprpt', not {policy!r}.")
    name, given = parse_spec(policy, "policy")
    if name not in POLICIES:
        raise unknown("policy", name, POLICIES)
    entry = POLICIES[name]
    check_keys(given, entry.parameters, f"policy '{name}'")
    return name, entry, {**entry.parameters, **given}


def _with_thresholds(joint, load, entry, parameters):
    """The parameters with thresholds made numbers, so that every resolution analyses the same policy."""
    if entry.settle:
        return entry.settle(Queue(joint.sizes, load, ranking(joint, entry.by, 1)), parameters)
    for key in ("threshold", "thresholds"):
        if key in parameters:
            queue = Queue(joint.sizes, load, ranking(joint, entry.by, 1))
            bits, preemptive = parameters.get("bits", 1), parameters["preemptive"]
            numbers = read_thresholds(queue, bits, preemptive, parameters[key])
            return {**parameters, key: numbers}
    return parameters


def _respond(joint: JointLaw, load: float, entry: Analysable, parameters, level: int) -> Response:
    return entry.respond(Queue(joint.sizes, load, ranking(joint, entry.by, level)), **parameters)


def ranking(joint: JointLaw, by: str, level: int) -> Ranking:
    """The tables of a joint law for policies that rank by size or by prediction, kept for the next policy."""
    if by == "soap":
        from openqueues.models.analysis.soap import Laws

        return Laws(joint, level)
    if by == "size" or joint.is_exact:
        return _by_size(joint.sizes, level)
    return _by_prediction(joint, level)


@lru_cache(maxsize=64)
def _by_size(law, level):
    return SizeAtoms(law) if law.atoms is not None else SizesWithDensity(law, level)


@lru_cache(maxsize=64)
def _by_prediction(joint, level):
    if joint.noise is not None:
        return NoisyPredictions(joint.sizes, joint.noise, level)
    return ClassPredictions(joint.sizes, joint.classes, level)
