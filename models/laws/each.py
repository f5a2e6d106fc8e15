"""Predictions of few-point sizes: a factor for each value, so that errors may depend on the size in any way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.classes import Classes
from openqueues.models.laws.parameters import Parameters, spec, unless
from openqueues.models.laws.predictions import PredictionLaw

WIDTH = 1e-6
"""Equal sizes are told apart by predictions that differ by at most this share."""


@dataclass(frozen=True, eq=False, repr=False)
class Each(PredictionLaw):
    """The i-th value of a few-point law of sizes is predicted to be factor i times itself.

    With split=k the predictions of a value are k equally likely ones, within a millionth below that: so a policy
    that ranks by predictions tells equal jobs apart, as it would if their sizes differed slightly.
    """

    factors: tuple[float, ...]
    split: int = 1

    @classmethod
    def read(cls, given: Parameters) -> Each:
        return cls(given.positives("factors"), given.integer("split", 1, 1000, default=1))

    @property
    def spec(self):
        return spec("each", factors="|".join(map(repr, self.factors)), split=unless(self.split, 1))

    def classes(self, sizes):
        atoms = None if sizes.atoms is None else sizes.atoms[0]
        if atoms is None or len(atoms) != len(self.factors):
            has = "a density" if atoms is None else f"{len(atoms)} values"
            raise InputError(
                f"prediction law '{self.spec}' has {len(self.factors)} factors, but the sizes '{sizes.spec}' have"
                f" {has}: give sizes like points:values=1|30,weights=9|1 and a factor for each value."
            )
        parts = 1 - WIDTH * np.arange(self.split) / self.split
        return _Told(atoms, atoms[:, None] * np.array(self.factors)[:, None] * parts)


class _Told(Classes):
    """told[i]: the equally likely predictions of the i-th size."""

    def __init__(self, atoms: np.ndarray, told: np.ndarray):
        super().__init__(np.unique(told), np.array([]))
        self._between, self._told = np.sqrt(atoms[1:] * atoms[:-1]), told
        place = np.searchsorted(self.values, told)
        self._chances = np.zeros((len(atoms), len(self.values)))
        np.add.at(self._chances, (np.arange(len(atoms))[:, None], place), 1 / told.shape[1])

    def probability(self, x):
        return self._chances[np.searchsorted(self._between, np.atleast_1d(x))]

    def fill(self, rng, sizes, out):
        rng.random(out=out)
        out *= self._told.shape[1]
        out[...] = self._told[np.searchsorted(self._between, sizes), out.astype(np.int64)]
