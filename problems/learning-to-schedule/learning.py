"""A small learner: scores that are linear in a few columns, fitted to any loss by L-BFGS.

A library of learners would bring the standard losses and not those that this question is about. A linear score has
a handful of weights, so that what differs between two predictors is their loss and not how well each was tuned.

A loss is a policy file of the shape "decision" with the columns

    score, size               of a training job; exp(score) is the prediction of its size
    other_score, other_size   of another one: the loss is then of the pair
    threshold                 the size from which a job counts as long, for schedulers of one bit
    mean                      the mean size given the features, from the law that draws them

and `decide` returns the loss. A file that does not see `score` is no loss but a predictor: `decide` returns the
score itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.queues.compiled import kernel

COLUMNS = ("score", "size", "other_score", "other_size", "threshold", "mean")
SHIFTS = (1, 2, 5, 11)  # of the jobs that a training job is paired with
RIDGE = 1e-6  # keeps scores finite where a loss, like that of separable classes, has no minimum
_KERNEL = Path(__file__).parent / "fit_kernel.py"


class Learner:
    """A predictor under one loss: `fit` once, then `scores` of any features."""

    def __init__(self, policy, theta, threshold):
        if policy.shape != "decision":
            raise InputError(f"policy '{policy.name}' has a rank and is no loss: a loss has SHAPE = 'decision'.")
        self.policy, self.threshold = policy, float(threshold)
        self.learns = "score" in policy.sees or "other_score" in policy.sees
        self.pairs = "other_score" in policy.sees
        self._theta = theta or (0.0,)
        self._loss = kernel([policy], [_KERNEL], columns=COLUMNS)
        self.weights = None
        self._line = (0.0, 1.0)

    def fit(self, columns, sizes, mean):
        """Fit the weights to training jobs: columns (n, d), sizes (n,), mean (n,)."""
        if not self.learns:
            return self
        from scipy.optimize import minimize

        shifts = np.array(SHIFTS if self.pairs else (0,))
        slope = np.empty(len(sizes))
        start = np.zeros(columns.shape[1])

        def objective(weights):
            scores = columns @ weights
            value = self._call(scores, sizes, mean, shifts, slope)
            return value + RIDGE * (weights @ weights), slope @ columns + 2 * RIDGE * weights

        # Scores begin as those of the mean size for all jobs, where no loss is steep.
        level, *_ = np.linalg.lstsq(columns, np.full(len(sizes), np.log(sizes.mean())), rcond=None)
        with np.errstate(over="ignore", invalid="ignore"):
            found = minimize(objective, start + level, jac=True, method="L-BFGS-B", options={"maxiter": 500})
        self.weights = found.x
        if not np.all(np.isfinite(self.weights)):
            raise InputError(f"policy '{self.policy.name}': the loss has no finite minimum on the training set.")
        if self.pairs:
            # Differences of scores do not fix their level or scale: a line through the log sizes does.
            scores = columns @ self.weights
            spread = scores.var()
            tilt = float(((scores - scores.mean()) @ np.log(sizes)) / (len(sizes) * spread)) if spread > 0 else 0.0
            self._line = (float(np.log(sizes).mean() - tilt * scores.mean()), tilt) if tilt > 0 else (0.0, 1.0)
        return self

    def scores(self, columns, mean):
        """The score of each row of columns (n, d): the log of the prediction."""
        if not self.learns:
            out = np.empty(len(columns))
            self._call(out, np.empty(0), mean, np.array((0,)), out)
            return out
        level, tilt = self._line
        return level + tilt * (columns @ self.weights)

    def _call(self, scores, sizes, mean, shifts, slope):
        from numba.core.errors import NumbaError

        try:
            value = self._loss(self._theta, scores, sizes, mean, self.threshold, shifts, slope)
        except NumbaError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"policy '{self.policy.name}' cannot be compiled ({reason}): keep decide to numbers, math and plain "
                "control flow."
            ) from None
        if np.isnan(value) or (len(sizes) == 0 and not np.all(np.isfinite(slope))):
            raise InputError(f"policy '{self.policy.name}': decide returned what is not a number; return the loss.")
        return value
