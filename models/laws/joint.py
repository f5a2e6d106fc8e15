"""Joint laws of (size, prediction): a law of sizes and a law of predictions put together."""

from __future__ import annotations

import numpy as np
from openqueues.models.laws.base import SizeLaw
from openqueues.models.laws.predictions import PredictionLaw


class JointLaw:
    """The law of (size, prediction) of a job; equal when `spec` is equal.

    Exactly one of `is_exact`, `noise` (see `noise.Noise`) and `classes` (see `classes.Classes`) is set. The
    sizes are drawn from their own generator, so all prediction laws see the same ones.
    """

    def __init__(self, sizes: SizeLaw, predictions: PredictionLaw):
        self.sizes = sizes
        self.predictions = predictions
        self.is_exact = predictions.is_exact
        self.noise = predictions.noise
        self.classes = predictions.classes(sizes)

    @property
    def spec(self) -> str:
        """The canonical text of both laws, fit as a key of caches."""
        return f"{self.sizes.spec} | {self.predictions.spec}"

    def fill_predictions(self, rng: np.random.Generator, sizes: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with predictions of `sizes`; the same whether filled at once or piece by piece."""
        if self.is_exact:
            out[...] = sizes
        elif self.noise is not None:
            self.noise.fill(rng, out)
            out *= sizes
        else:
            self.classes.fill(rng, sizes, out)

    def sample(
        self, rng_sizes: np.random.Generator, rng_predictions: np.random.Generator, n: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """n independent (sizes, predictions)."""
        sizes = self.sizes.sample(rng_sizes, n)
        predictions = np.empty(n)
        self.fill_predictions(rng_predictions, sizes, predictions)
        return sizes, predictions

    def __repr__(self) -> str:
        return f"JointLaw({self.spec!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JointLaw) and other.spec == self.spec

    def __hash__(self) -> int:
        return hash(self.spec)
