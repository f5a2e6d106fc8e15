"""Joint laws given by a table: few sizes, few predictions, and their probabilities."""

import numpy as np
from openqueues.models.laws.classes import Classes
from openqueues.models.laws.discrete import Counted
from openqueues.models.laws.predictions import PredictionLaw


class Sizes(Counted):
    """Given values, as often as `counts` says."""

    def __init__(self, values, counts):
        self.given = np.array(values), np.array(counts)

    spec = property(lambda self: f"given:{self.given}")
    mean = property(lambda self: self.moment(1))
    _values = property(lambda self: self.given[0])
    _counts = property(lambda self: self.given[1])


class Table(PredictionLaw):
    """Predictions with finitely many values: row i holds their probabilities for the i-th size."""

    def __init__(self, sizes, values, rows):
        self.parts = sizes, values, rows

    spec = property(lambda self: f"table:{[part.tolist() for part in self.parts]}")

    def classes(self, law):
        sizes, values, rows = self.parts

        class Rows(Classes):
            def probability(self, x):
                return rows[np.searchsorted(sizes, np.atleast_1d(x) * (1 - 1e-9))]

        return Rows(values, np.array([]))
