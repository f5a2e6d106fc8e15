"""Two stations in tandem: servers that compute prompts, then servers that make answers, each for a part of a request.

The model of dedicated GPUs. A prompt fills a GPU, so a prompt server works on one request at a time. An answer server
works on up to `batch` requests at once: with n of them each makes a token in a time step0 + step1 n. Between the
stations a request's cache moves, which takes time and no server. The answer station has batch * answer_servers places
of service and `room` more; a request whose prompt is done and that finds all of them taken, on the way included,
stays at its prompt server and blocks it. Answer servers take who waits when they have a place, the one with the fewest
requests first.

With batch 1, step0 0 and step1 1 this is the tandem queue of the textbooks, prompts and answers being service times.
Pooled, every server does both for the requests that it began: a prompt stops the answers at its server while it is
computed, and starts at the free server with the fewest requests as soon as there is one with a place in its batch.

Orders, at both stations; the answer is known by a prediction, the prompt exactly:

    fcfs        first come first served at each station
    stage       the shortest prompt, and the shortest predicted answer, without preemption
    total       the shortest predicted time of a server for both, without preemption, the same rank at both stations
    remaining   as stage, but by what is left, with preemption; what was computed is not lost (not pooled)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown

ORDERS = ("fcfs", "stage", "total", "remaining")
_TEMPLATE = Path(__file__).with_name("tandem_kernel.py")


@dataclass(frozen=True)
class Tandem:
    """Servers of both stations; pooled: prompt_servers do both, and answer_servers is 0. Times in s.

    Raises InputError for numbers that make no sense.
    """

    prompt_servers: int = 1
    answer_servers: int = 1
    batch: int = 1
    step0: float = 0.0
    step1: float = 1.0
    room: float = math.inf
    transfer: float = 0.0
    """Time on the way between the stations, the same for all requests."""

    def __post_init__(self):
        for name, least in (("prompt_servers", 1), ("answer_servers", 0), ("batch", 1), ("room", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int | float) and not isinstance(value, bool) and value >= least
            if not whole or (value != math.inf and value != int(value)) or (value == math.inf and name != "room"):
                raise InputError(f"{name} of a tandem is {value}: it must be a whole number of at least {least}.")
        for name in ("step0", "step1", "transfer"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise InputError(f"{name} of a tandem is {value}: it must be a time of at least 0 s.")
        if not self.step0 + self.step1 > 0:
            raise InputError("step0 and step1 of a tandem are both 0: a token of an answer must take time.")

    @property
    def pooled(self) -> bool:
        """Whether every server does both parts."""
        return self.answer_servers == 0

    @property
    def places(self) -> float:
        """Most requests at the answer station and on the way to it."""
        return self.answer_servers * self.batch + self.room

    def step(self, requests: float) -> float:
        """Time of a token at an answer server with so many requests."""
        return self.step0 + self.step1 * requests

    @property
    def token(self) -> float:
        """Time of a server that a token takes in a full batch."""
        return self.step(self.batch) / self.batch

    def capacity(self, prompt: float, answer: float) -> float:
        """Requests a second that servers which are never blocked can serve at most, for mean prompt and answer."""
        if self.pooled:
            return self.prompt_servers / (prompt + answer * self.token)
        return min(self.prompt_servers / prompt, self.answer_servers / (answer * self.token))


@dataclass(frozen=True, eq=False)
class Times:
    """When things happened, (n,) each, in s: end of the prompt, release of the prompt server, end of the answer."""

    first: np.ndarray
    moved: np.ndarray
    finish: np.ndarray


def serve(
    tandem: Tandem,
    arrival: np.ndarray,
    prompt: np.ndarray,
    answer: np.ndarray,
    order: str = "fcfs",
    predicted: np.ndarray | None = None,
) -> Times:
    """Serve requests of arrival times (ascending), prompt times, answers in tokens; all (n,), at least 0.

    predicted: the answers as the order knows them (default: exactly). Raises InputError for values that make no
    sense and for an order that is not one of ORDERS.
    """
    columns = [np.array(values, np.float64) for values in (arrival, prompt, answer)]
    guess = columns[2] if predicted is None else np.array(predicted, np.float64)
    for name, values in zip(("arrival", "prompt", "answer", "predicted"), (*columns, guess), strict=True):
        if values.shape != columns[0].shape or values.ndim != 1 or not values.size:
            raise InputError("arrival, prompt, answer and predicted must be arrays of one length of at least 1.")
        if not np.all((values >= 0) & (values < np.inf)):
            i = int(np.argmin((values >= 0) & (values < np.inf)))
            raise InputError(f"{name} of request {i} is {values[i]:g}: it must be a finite number of at least 0.")
    if np.any(np.diff(columns[0]) < 0):
        raise InputError("arrival must ascend: sort the requests by arrival.")
    if order not in ORDERS:
        raise unknown("order", str(order), ORDERS)
    if order == "remaining" and tandem.pooled:
        raise InputError("order 'remaining' preempts, which pooled servers do not: use another order.")
    n, c1 = columns[0].size, tandem.prompt_servers
    c2 = c1 if tandem.pooled else tandem.answer_servers
    rank1, rank2 = _ranks(order, tandem, columns[1], guess)
    batch = min(tandem.batch, n)
    servers = np.zeros((c1, 2), np.int64)
    servers[:, 0] = -1
    answers = np.zeros((c2, 3))
    answers[:, 2] = np.inf
    out = np.empty((3, n))
    _kernel()(
        *columns,
        rank1,
        rank2,
        np.full(n, float(tandem.transfer)),
        tandem.pooled,
        batch,
        int(min(tandem.places, n)),
        float(tandem.step0),
        float(tandem.step1),
        order == "remaining",
        servers,
        np.zeros((c1, 2)),
        answers,
        np.zeros((c2, batch, 2)),
        np.zeros((c2, batch), np.int64),
        np.zeros(c2, np.int64),
        *np.empty((3, n, 3)),
        *out,
    )
    return Times(*out)


def draw(rate: float, prompts, answers, correlation: float, seed: int, n: int) -> tuple[np.ndarray, ...]:
    """(arrival, prompt, answer), (n,) each: Poisson arrivals, sizes of two laws of mean 1 or of any, made dependent.

    prompts, answers: size laws. correlation: of the two normal numbers that are turned into the sizes (a Gaussian
    copula), from -1 to 1. Both sizes stay the same for every rate.
    """
    from openqueues.models.streams import streams
    from scipy.special import ndtr

    if not -1 <= correlation <= 1:
        raise InputError(f"correlation is {correlation}: it must be from -1 to 1.")
    source = streams(seed)
    arrival = np.cumsum(source.gaps.standard_exponential(n)) / rate
    one, two = source.sizes.standard_normal(n), source.routing.standard_normal(n)
    two = correlation * one + math.sqrt(1.0 - correlation**2) * two
    return arrival, prompts.ppf(ndtr(one)), answers.ppf(ndtr(two))


def _ranks(order, tandem, prompt, guess):
    """The ranks of the requests at both stations; equal ranks go in the order in which they join."""
    if order == "fcfs":
        return np.zeros(prompt.size), np.zeros(prompt.size)
    if order == "total":
        total = prompt + guess * tandem.token
        return total, total.copy()
    return prompt.copy(), guess.copy()


@cache
def _kernel():
    from openqueues.models.queues.compiled import kernel

    return kernel([], [_TEMPLATE], heap_width=3)
