"""The family of models and the streams of questions that the entries on several models share."""

from __future__ import annotations

import math

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.quality import pair, questions
from openqueues.models.llm.several import Model, Stream
from openqueues.models.special import ndtr, ndtri
from openqueues.models.streams import derive_seed

MEAN_TOKENS, SPREAD = 200.0, 1.0
"""Of answers: mean, and standard deviation over mean of a lognormal law."""
PROMPT = 150.0
TOPICS = 4
DRIFTS = ("none", "model", "topics", "speed", "boast")
PERIOD_S = 600.0
# Parameters in 10^9, accuracy, $ per million output tokens. Prices of the first and last are the survey's.
_FAMILY = {"1b": (1.24, 0.45, 0.10), "8b": (8.03, 0.70, 0.22), "70b": (70.6, 0.84, 0.72)}
_SEQ_MS, _PROMPT_MS = 0.28, 0.215  # of the largest: per request in an iteration, per token of a prompt


def family(names: str) -> tuple[Model, ...]:
    """Models by name, smallest first: family("1b,8b,70b").

    Each is on two H100. Alone the 1B makes a token in 2 ms and the 70B in 30 (the survey: 0.2 s and 3 s for 100), and
    the 8B lies on the line through them in the number of parameters. What a request adds to an iteration, and the
    time of a token of a prompt, are those of a 70B fitted to Splitwise's measurements on four H100 (the prompt's
    doubled for two), and in proportion to the parameters. Every token of an answer bears its share of the prompt.
    """
    chosen = names.split(",")
    for name in chosen:
        if name not in _FAMILY:
            raise unknown("model", name, _FAMILY)
    slope = 28.0 / (_FAMILY["70b"][0] - _FAMILY["1b"][0])
    made = []
    for name in chosen:
        size, accuracy, price = _FAMILY[name]
        more = (_SEQ_MS + _PROMPT_MS * PROMPT / MEAN_TOKENS) * size / _FAMILY["70b"][0]
        made.append(Model(name, accuracy, 2.0 + slope * (size - _FAMILY["1b"][0]) - more, more, price))
    return tuple(made)


def rate(models: tuple[Model, ...], load: float) -> float:
    """Requests a second: load 1 is all that the largest model could serve, in a batch without end."""
    if not (load > 0 and math.isfinite(load)):
        raise InputError(f"load is {load}: it must be a positive number.")
    return load * 1000.0 / (MEAN_TOKENS * models[-1].seq_ms)


def stream(
    models: tuple[Model, ...],
    load: float,
    n: int,
    seed: int,
    *,
    noise: float = 1.0,
    length_noise: float = 0.5,
    judge: float = 1.5,
    swing: float = 0.0,
    questions_like: str = "mmlu",
    drift: str = "none",
    size: float = 1.0,
    feedback: float = 1.0,
) -> Stream:
    """n requests. Arrivals: Poisson, of the rate 1 + swing * sin(2 pi t / PERIOD_S) times the mean.

    noise: of the prediction of quality (quality.questions); length_noise: deviation of the log of the predicted over
    the true number of tokens. judge: deviation of what somebody who reads an answer sees, +1 of a right and -1 of a
    wrong one, before the prediction is turned into `judged` by Bayes' rule. questions_like: whose correlation between
    models. feedback: share of requests whose outcome is seen.

    drift, from the middle request on: `model`: the ability of all but the largest model falls by `size` (in units of
    a standard deviation of the latent difficulty and luck together); `topics`: it falls in the even topics and rises
    in the odd ones; `speed`: iterations of the largest take 1 + size times as long. Predictions stay what they were.
    `boast` is no drift: from the first request on all but the largest claim to be better by `size`.
    """
    for name, value, most in (("swing", swing, 1), ("feedback", feedback, 1)):
        if not 0 <= value <= most:
            raise InputError(f"{name} is {value}: it must be from 0 to {most}.")
    if not judge > 0 or not length_noise >= 0:
        raise InputError(f"judge is {judge} and length_noise {length_noise}: they must be above 0 and at least 0.")
    if drift not in DRIFTS:
        raise unknown("drift", drift, DRIFTS)
    correlation = pair(questions_like).correlation
    accuracies = tuple(model.accuracy for model in models)
    asked = questions(accuracies, n, seed, noise=noise, correlation=correlation)
    arrivals, lengths, guesses, luck, policy, views = (
        np.random.Generator(np.random.PCG64(derive_seed("several models", name, seed)))
        for name in ("arrivals", "lengths", "guesses", "luck", "policy", "views")
    )
    log = math.sqrt(math.log(1 + SPREAD**2))
    tokens = MEAN_TOKENS * np.exp(log * lengths.standard_normal(n) - log**2 / 2)
    predicted = tokens * np.exp(length_noise * guesses.standard_normal(n))
    topic = lengths.integers(0, TOPICS, n)
    m, late = len(models), np.arange(n) >= n // 2
    change = np.zeros((n, m))
    if drift == "model":
        change[late, :-1] = -size
    elif drift == "topics":
        change[late, :-1] = np.where(topic[late] % 2 == 0, -size, size)[:, None]
    ability = ndtri(np.array(accuracies)) + change
    right = ndtr((ability - asked.difficulty[:, None]) / math.sqrt(1 - correlation))
    correct = luck.random((n, m)) < right
    share = 1 / (1 + noise * noise)  # of the difficulty's variance that the predictor explains
    left = math.sqrt(1 - correlation * share)
    quality, fair = asked.predicted, asked.predicted
    if drift == "boast":
        quality = quality.copy()
        quality[:, :-1] = ndtr(ndtri(quality[:, :-1]) + size / left)
    elif change.any():
        fair = np.where(change == 0, quality, ndtr(ndtri(quality) + change / left))
    arrival = _times(arrivals, rate(models, load), swing, n)
    signal = np.where(correct, 1.0, -1.0) + judge * views.standard_normal((n, m))
    clipped = np.clip(quality, 1e-12, 1 - 1e-12)
    judged = 1 / (1 + (1 - clipped) / clipped * np.exp(-2 * signal / judge**2))
    slower = drift == "speed"
    return Stream(
        arrival,
        tokens,
        predicted,
        topic,
        quality,
        right,
        fair,
        correct,
        judged,
        policy.standard_normal((n, m)),
        policy.random(n),
        views.random(n) < feedback,
        float(arrival[n // 2]) if slower else math.inf,
        (1.0,) * (m - 1) + (1.0 + size,) if slower else (),
    )


def _times(draws: np.random.Generator, per_s: float, swing: float, n: int) -> np.ndarray:
    """(n,) arrivals of a Poisson stream whose rate swings, by the inverse of its integral."""
    unit = np.cumsum(draws.standard_exponential(n)) / per_s
    if swing == 0:
        return unit
    turn = 2 * math.pi / PERIOD_S
    grid = np.linspace(0.0, PERIOD_S, 2001)
    passed = grid + swing * (1 - np.cos(turn * grid)) / turn  # integral of the rate over per_s; PERIOD_S at the end
    whole = np.floor(unit / PERIOD_S)
    return whole * PERIOD_S + np.interp(unit - whole * PERIOD_S, passed, grid)
