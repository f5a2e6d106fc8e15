"""What several models cost at best, and exactly under policies that do not look at the state.

With n requests a model makes f(n) = 1000 n / (step + seq n) tokens a second. Requests that come in a Poisson stream
find processor sharing at a speed that depends on n, whose number in system has the law p(n) ~ prod over i up to n of
r (step + seq i) / (1000 i) for r tokens asked for a second, whatever the law of the tokens (a symmetric queue: Kelly
1979, section 3.3). This is a negative binomial law of mean r (step + seq) / 1000 / (1 - r seq / 1000).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.several import Model
from openqueues.models.llm.several_stream import MEAN_TOKENS, SPREAD, rate
from openqueues.models.special import ndtr, ndtri

Values = tuple[float, float, float]
_GRID = 400  # points of difficulty
_LOG = math.sqrt(math.log(1 + SPREAD**2))


def mean_requests(model: Model, tokens_per_s: float) -> float:
    """Mean number of requests at a model under Poisson arrivals that ask for so many tokens a second."""
    if not 0 <= tokens_per_s * model.seq_ms < 1000:
        raise InputError(f"model '{model.name}' cannot make {tokens_per_s:g} tokens a second: ask it for fewer.")
    share = tokens_per_s * model.seq_ms / 1000.0
    return tokens_per_s * (model.step_ms + model.seq_ms) / 1000.0 / (1.0 - share)


def static(
    models: tuple[Model, ...], load: float, shares, accuracy: float, values: Values, work=None
) -> dict[str, float]:
    """Exact means where each request goes to a model without a look at the state, so that all find Poisson arrivals.

    shares: of the requests at each model; work: of the tokens, the same if it is not given. accuracy: share of right
    answers. Returns cost per request, accuracy, mean_latency_s, usd and largest_share. Raises InputError for a model
    that is asked for more than it can make.
    """
    work = shares if work is None else work
    per_s = rate(models, load)
    present = sum(mean_requests(model, part * per_s * MEAN_TOKENS) for model, part in zip(models, work, strict=True))
    usd = sum(model.price * part * MEAN_TOKENS / 1e6 for model, part in zip(models, work, strict=True))
    latency = present / per_s
    cost = values[0] * (1 - accuracy) + values[1] * latency + values[2] * usd
    return {
        "cost": cost,
        "accuracy": accuracy,
        "mean_latency_s": latency,
        "usd": usd,
        "largest_share": float(shares[-1]),
    }


def threshold(
    models: tuple[Model, ...],
    load: float,
    gain: float,
    noise: float,
    correlation: float,
    values: Values,
    length_noise: float | None = None,
) -> dict[str, float]:
    """`static` for two models of which the larger is asked where its quality is predicted to be higher by `gain`.

    With a length_noise, of the prediction of tokens: by gain times the predicted tokens over MEAN_TOKENS.
    """
    quality = _predicted(models, noise, correlation, _normal(200_000))
    more = quality[:, 1] - quality[:, 0]
    if length_noise is None:
        larger = (more > gain).astype(float)
        tokens = larger
    else:
        # log of the predicted tokens has this deviation, and their covariance with the log of the tokens is _LOG**2.
        spread = math.hypot(_LOG, length_noise)
        with np.errstate(divide="ignore"):
            z = (np.log(np.maximum(more, 0.0) / gain) + _LOG**2 / 2) / spread
        larger, tokens = ndtr(z), ndtr(z - _LOG**2 / spread)
    share, part = float(larger.mean()), float(tokens.mean())
    accuracy = float((quality[:, 0] + larger * more).mean())
    return static(models, load, (1 - share, share), accuracy, values, (1 - part, part))


def least_cost(
    models: tuple[Model, ...], load: float, values: Values, correlation: float, noise: float | None = None
) -> float:
    """Below this no policy's cost per request can be, in the long run and at this mean load.

    noise None: of no policy at all, though it knew which answers will be right. A number: of no policy that asks one
    model and knows of the answers what a predictor of this noise says, but all tokens.

    A second costs v at each of n requests, a token at a model is given any price u >= 0. At every moment v n is at
    least u f(n) + min over k of (v k - u f(k)), and the tokens made are at least those of the answers given out. So the
    cost is at least the mean over requests of the least sum of error, dollars and u times tokens, plus these minima
    times the time that passes for a request. The prices u are those that make it large; any would do.
    """
    from scipy.optimize import minimize

    per_s = rate(models, load)
    price = np.array([model.price for model in models]) * values[2] / 1e6
    wrong, chance = _outcomes(models, correlation) if noise is None else _chances(models, noise, correlation)

    def bound(logs):
        u = np.exp(logs)
        cheapest = _least_of_lines(values[0] * wrong, price + u)
        idle = sum(_least(model, values[1], one) for model, one in zip(models, u, strict=True))
        return float(chance @ cheapest) + idle / per_s

    alone = np.array([values[1] * (model.step_ms + model.seq_ms) / 1000.0 for model in models])
    found = minimize(lambda logs: -bound(logs), np.log(1.5 * alone), method="Nelder-Mead", options={"xatol": 1e-4})
    return float(bound(found.x))


def _least(model: Model, second: float, u: float) -> float:
    """min over n = 0, 1, ... of second * n - u * f(n)."""
    if not second > 0:
        raise InputError("a second must cost something: without it requests may wait for ever.")
    best = (math.sqrt(u * 1000.0 * model.step_ms / second) - model.step_ms) / model.seq_ms
    near = max(0, math.floor(best))
    return min(second * n - u * 1000.0 * n / (model.step_ms + model.seq_ms * n) for n in (0, near, near + 1))


def _normal(points: int) -> np.ndarray:
    """(points,) middles of equally probable parts of the standard normal law."""
    return ndtri((np.arange(points) + 0.5) / points)


def _least_of_lines(at_zero: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """(rows,): the mean over the lognormal law of the tokens x of min over k of at_zero[:, k] + slope[k] * x."""
    total = np.zeros(len(at_zero))
    for k in range(len(slope)):
        low, high = np.zeros(len(at_zero)), np.full(len(at_zero), np.inf)  # of the x where line k is the least
        for j in range(len(slope)):
            apart = at_zero[:, k] - at_zero[:, j]
            if slope[j] > slope[k]:
                low = np.maximum(low, apart / (slope[j] - slope[k]))
            elif slope[j] < slope[k]:
                high = np.minimum(high, -apart / (slope[k] - slope[j]))
            elif j != k:
                high = np.where((apart > 0) | ((apart == 0) & (j < k)), 0.0, high)
        high = np.maximum(high, low)
        with np.errstate(divide="ignore"):
            low, high = ((np.log(one / MEAN_TOKENS) + _LOG**2 / 2) / _LOG for one in (low, high))
        total += at_zero[:, k] * (ndtr(high) - ndtr(low))
        total += slope[k] * MEAN_TOKENS * (ndtr(high - _LOG) - ndtr(low - _LOG))
    return total


def _predicted(models: tuple[Model, ...], noise: float, correlation: float, z: np.ndarray) -> np.ndarray:
    """(len(z), models): the predicted qualities where what the predictor sees is z standard deviations from 0."""
    share = 1 / (1 + noise * noise)
    ability = ndtri(np.array([model.accuracy for model in models]))
    return ndtr((ability - math.sqrt(correlation * share) * z[:, None]) / math.sqrt(1 - correlation * share))


def _chances(models, noise, correlation):
    z = _normal(_GRID)
    return 1 - _predicted(models, noise, correlation, z), np.full(_GRID, 1 / _GRID)


def _outcomes(models, correlation):
    """All combinations of wrong (1) and right answers, with their probabilities."""
    right = _predicted(models, 0.0, correlation, _normal(200_000))
    wrong = np.array(list(itertools.product((0.0, 1.0), repeat=len(models))))
    chance = [np.prod(np.where(row > 0, 1 - right, right), axis=1).mean() for row in wrong]
    return wrong, np.array(chance)
