"""Which language model answers which question correctly, and what can be predicted of it.

A question has a difficulty d, normal with mean 0 and variance r, and a model of accuracy p answers it correctly with
probability Phi((a - d) / sqrt(1 - r)), independently of other models given d, where a = Phi^-1(p): over all
questions its accuracy is p, and the two that RouteLLM compares are correct together as often as in its data if r is
their tetrachoric correlation. Whoever predicts sees d + noise and states the probability given that.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.special import ndtr, ndtri
from openqueues.models.streams import derive_seed

_TABLE = Path(__file__).parent / "data" / "quality.toml"


@dataclass(frozen=True, eq=False)
class Questions:
    """n questions to m models, in the order of the accuracies that they were drawn for."""

    difficulty: np.ndarray
    """float64 (n,), of mean 0."""
    correct: np.ndarray
    """bool (n, m), whether the model's answer is right; hidden from policies."""
    probability: np.ndarray
    """float64 (n, m), the probability that it is, given the difficulty: the best prediction there can be."""
    predicted: np.ndarray
    """float64 (n, m), the probability given what the predictor sees."""


def questions(
    accuracies: tuple[float, ...], n: int, seed: int, *, noise: float = 1.0, correlation: float | None = None
) -> Questions:
    """Draw n questions to models of these accuracies.

    noise: standard deviation of the predictor's error in units of that of the difficulty; 0 sees the difficulty,
    infinity nothing (it predicts the accuracy). correlation: r above (default: that of `pair("gsm8k")`).
    Raises InputError for accuracies outside (0, 1), a negative noise, or a correlation outside (0, 1).
    """
    p = np.array(accuracies, dtype=float)
    if p.ndim != 1 or not len(p) or not np.all((p > 0) & (p < 1)):
        raise InputError(f"accuracies are {accuracies}: they must be shares of right answers between 0 and 1.")
    if not noise >= 0:
        raise InputError(f"noise is {noise}: it must be at least 0.")
    r = pair("gsm8k").correlation if correlation is None else correlation
    if not 0 < r < 1:
        raise InputError(f"correlation is {r}: it must lie between 0 and 1.")
    draws = np.random.Generator(np.random.PCG64(derive_seed("quality", seed)))
    difficulty = np.sqrt(r) * draws.standard_normal(n)
    uniform, error = draws.random((n, len(p))), draws.standard_normal(n)
    ability = ndtri(p)
    probability = ndtr((ability - difficulty[:, None]) / np.sqrt(1 - r))
    share = 1 / (1 + noise * noise)  # of the difficulty's variance that the predictor explains
    seen = share * (difficulty + noise * np.sqrt(r) * error) if np.isfinite(noise) else np.zeros(n)
    predicted = ndtr((ability - seen[:, None]) / np.sqrt(1 - r + r * (1 - share)))
    return Questions(difficulty, uniform < probability, probability, predicted)


@dataclass(frozen=True)
class Pair:
    """How often two models answer the questions of a set correctly."""

    source: str
    weak: str
    strong: str
    both: int
    weak_only: int
    strong_only: int
    neither: int
    correlation: float
    """Tetrachoric: of two standard normal variables whose signs are as often alike."""

    @property
    def accuracies(self) -> tuple[float, float]:
        n = self.both + self.weak_only + self.strong_only + self.neither
        return (self.both + self.weak_only) / n, (self.both + self.strong_only) / n


@cache
def pair(name: str) -> Pair:
    """The counts of RouteLLM's evaluation on a set of questions, gsm8k or mmlu."""
    table = tomllib.loads(_TABLE.read_text())
    if name not in table:
        raise unknown("set of questions", name, table)
    return Pair(**table[name])
