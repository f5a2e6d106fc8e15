"""What is analysed, and what the analysis of one policy gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openqueues.models.analysis.ranking import Array, Ranking
from openqueues.models.laws import SizeLaw


@dataclass(frozen=True)
class Queue:
    """One queue: Poisson arrivals of jobs of `law` at `load`, ranked by size or prediction in `ranking`."""

    law: SizeLaw
    load: float
    ranking: Ranking

    @property
    def rate(self) -> float:
        return self.load / self.law.mean

    @property
    def waiting_work(self) -> float:
        """rate E[S^2] / 2: the mean work that a Poisson arrival finds in service (Pollaczek-Khinchine)."""
        return 0.5 * self.rate * self.law.moment(2)


@dataclass(frozen=True)
class Response:
    """Mean response time, and given(x, y) for a job of size x and order y (its size or its prediction)."""

    mean: float
    given: Callable[[Array, Array], Array]
