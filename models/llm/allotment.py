"""How many tokens to give to each question, if there are so many for all of them.

    asked = questions(2000, seed=1, most=1)
    given = allot(asked, tokens=2000 * 700, policy=read_policy("problems/depth-predictions/policies/curve.py"))
    given.right.mean()

Each question has one chain of thought. Tokens are given out in slices of SLICE, one at a time, to the question for
which the policy's decide(...) is lowest (ties: the first), until none is left or decide is infinite for all. A chain
that ends takes only what it needs of its last slice. The chain's answer is what it would say if it were stopped there.

Columns of a question for decide:

    spent               tokens that it has had, without probes
    difficulty, tokens_guess    predictions before the run: of the difficulty, and the median length for it
    rate                predicted before the run: the largest mean rise, a token, of the chance of a right answer from
                        here on, if tokens are given until it is largest; the slope, if the curve is concave
    rate_running        the same, given that the chain has not ended yet, a token that it takes (its Gittins index)
    agree               how many of the last probes gave the same answer, the last included; 0 before the first
    success, tokens, bend    the truth: chance that the complete chain is right, its tokens; the form of the curve

A policy that sees `agree` pays for a probe of reasoning.PROBE tokens after each slice. Predictions are calibrated: they
are expectations over what is unknown, see `forecast`. PARAMETERS of a policy may hold `classes`: the predicted
difficulty is then only known by one of so many equal classes.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import measured
from openqueues.models.llm.questions import BEND, LENGTHS, Questions, known, length_at
from openqueues.models.llm.reasoning import PROBE, probed_answers
from openqueues.models.policies import Policy
from openqueues.models.special import ndtr, ndtri

SLICE = 128
COLUMNS = (
    *("spent", "difficulty", "tokens_guess", "rate", "rate_running", "agree"),
    *("success", "tokens", "bend"),
)
CELLS = 32
"""Cells of the predicted difficulty, equally likely, in which forecasts are made if the policy names no classes."""
_INNER = 24


@dataclass(frozen=True, eq=False)
class Allotted:
    """What each of n questions got."""

    tokens: np.ndarray
    """int64 (n,), of its chain."""
    probes: np.ndarray
    """int64 (n,)"""
    chance: np.ndarray
    """(n,), that a chain stopped there is right, before its luck is known."""
    right: np.ndarray
    """bool (n,), whether its answer is right; a question without tokens has none."""

    @property
    def all_tokens(self) -> np.ndarray:
        """int64 (n,), those of probes included."""
        return self.tokens + PROBE * self.probes


def allot(asked: Questions, tokens: float, policy: Policy, skill: float = 0.8, depth: float = 0.6) -> Allotted:
    """Give out so many tokens. skill and depth: what `questions` was told, which calibrated predictions need."""
    if not 0 <= tokens < np.inf:
        raise InputError(f"tokens is {tokens:g}: it must be a finite number of at least 0.")
    decide, taken = _decide(policy)
    theta = {name: float(value) for name, value in policy.parameters.items()}
    classes = int(theta.get("classes", 0))
    made = forecast(skill, depth, asked.easy, asked.hard, asked.bend, classes)
    n, total, success = len(asked), asked.tokens[:, 0], asked.success
    cell = np.minimum((asked.predicted_difficulty * len(made.rate)).astype(np.int64), len(made.rate) - 1)
    difficulty = (cell + 0.5) / len(made.rate) if classes else asked.predicted_difficulty
    guess = made.middle[cell] if classes else asked.predicted_tokens
    # Lists, since numpy takes ten times as long for single numbers.
    spent, probes, agree, length, cell = [0] * n, [0] * n, [0] * n, total.tolist(), cell.tolist()
    looks = "agree" in policy.sees
    answers: dict[int, np.ndarray] = {}
    last = made.rate.shape[1] - 1
    columns = {
        "spent": lambda q: float(spent[q]),
        "difficulty": difficulty.tolist().__getitem__,
        "tokens_guess": guess.astype(float).tolist().__getitem__,
        "rate": lambda q: float(made.rate[cell[q], min(spent[q] // SLICE, last)]),
        "rate_running": lambda q: float(made.running[cell[q], min(spent[q] // SLICE, last)]),
        "agree": lambda q: float(agree[q]),
        "success": success.tolist().__getitem__,
        "tokens": lambda q: float(length[q]),
        "bend": lambda q: asked.bend,
    } | {name: lambda q, value=value: value for name, value in theta.items()}
    looked_at = [columns[name] for name in taken]

    def score(q: int) -> float:
        value = decide(*[column(q) for column in looked_at])
        if value != value:
            raise InputError(f"policy '{policy.name}': decide gives nan for question {q}: return a number or infinity.")
        return value

    queue = [(score(q), q) for q in range(n)]
    heapify(queue)
    left = int(tokens)
    while queue and left > 0:
        value, q = heappop(queue)
        if value == np.inf:
            break
        more = min(SLICE, length[q] - spent[q], left)
        spent[q] += more
        left -= more
        if spent[q] == length[q] or more < SLICE:
            continue
        if looks:
            if q not in answers:
                answers[q] = probed_answers(asked, q, length[q], SLICE)[1]
            if left < PROBE:
                break
            left -= PROBE
            given, k = answers[q], probes[q]
            agree[q] = agree[q] + 1 if k and given[k] == given[k - 1] else 1
            probes[q] += 1
        heappush(queue, (score(q), q))
    chance = success * known(np.array(spent) / total, asked.bend)
    return Allotted(np.array(spent), np.array(probes), chance, asked.luck[:, 0] < chance)


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is known before the run of questions of each cell of the predicted difficulty, by slices given before."""

    rate: np.ndarray
    """(cells, slices): the largest mean rise of the chance of a right answer a token, chains that have ended too."""
    running: np.ndarray
    """The same of chains that have not ended yet, a token that they take."""
    middle: np.ndarray
    """(cells,): the median length."""


@lru_cache(maxsize=32)
def forecast(skill: float, depth: float, easy: float, hard: float, bend: float, classes: int = 0) -> Forecast:
    """Expectations over difficulty and length for each class of the predicted difficulty (0: for each of CELLS)."""
    cells = classes or CELLS
    fine = ndtri((np.arange(_INNER) + 0.5) / _INNER)
    # Cells of one class hold many predictions: as many as make CELLS in all.
    inside = max(CELLS // cells, 1)
    blurred = ndtri((np.arange(cells * inside) + 0.5) / (cells * inside)).reshape(cells, inside, 1, 1)
    score = skill * blurred + np.sqrt(1.0 - skill * skill) * fine[:, None]
    lengths = depth * score + np.sqrt(1.0 - depth * depth) * fine
    success = np.broadcast_to(easy + (hard - easy) * ndtr(score), lengths.shape).reshape(cells, -1)
    tokens = length_at(measured.table(LENGTHS), lengths).reshape(cells, -1)
    given = SLICE * np.arange(int(np.ceil(tokens.max() / SLICE)) + 1)
    right = np.stack([(success * known(at / tokens, bend)).mean(axis=1) for at in given], axis=1)
    taken = np.stack([np.minimum(tokens, at).mean(axis=1) for at in given], axis=1)
    planned = np.broadcast_to(given, taken.shape)
    return Forecast(_steepest(right, planned), _steepest(right, taken), np.median(tokens, axis=1))


def _steepest(value: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """(cells, points - 1): from each point the largest rise of the value over that of the cost to a later point."""
    result = np.zeros((value.shape[0], value.shape[1] - 1))
    for j in range(result.shape[1]):
        more = cost[:, j + 1 :] - cost[:, [j]]
        rise = value[:, j + 1 :] - value[:, [j]]
        result[:, j] = np.divide(rise, more, out=np.zeros_like(rise), where=more > 0).max(axis=1)
    return result


@lru_cache(maxsize=1)
def mean_tokens() -> float:
    """The mean length of a complete chain."""
    return float(length_at(measured.table(LENGTHS), ndtri((np.arange(100_000) + 0.5) / 100_000)).mean())


def equal_shares(tokens: float, depth: float, easy: float, hard: float, bend: float = BEND) -> float:
    """The share of right answers if many questions get so many tokens on average, all as many slices or one more."""
    success, lengths = _law(depth, easy, hard)
    before = (0.0, 0.0)
    for at in range(SLICE, int(lengths.max()) + 2 * SLICE, SLICE):
        after = float(np.minimum(lengths, at).mean()), float((success * known(at / lengths, bend)).mean())
        if after[0] >= tokens:
            return before[1] + (tokens - before[0]) / (after[0] - before[0]) * (after[1] - before[1])
        before = after
    return before[1]


def _law(depth: float, easy: float, hard: float) -> tuple[np.ndarray, np.ndarray]:
    """(success, tokens) of equally likely questions: a square of difficulties and of lengths given these."""
    fine = (np.arange(400) + 0.5) / 400
    score = depth * ndtri(fine)[:, None] + np.sqrt(1.0 - depth * depth) * ndtri(fine)
    tokens = length_at(measured.table(LENGTHS), score)
    return np.broadcast_to(easy + (hard - easy) * fine[:, None], tokens.shape), tokens


def most_right(
    tokens: float, depth: float, easy: float, hard: float, bend: float = BEND, *, hindsight: bool = True
) -> float:
    """No policy answers a larger share of questions rightly, with so many tokens a question on average.

    With a price of a token, what a question is worth is the largest chance of a right answer less its tokens' price;
    the mean of that, and the price of all tokens, is a bound for every price (weak duality of the concave relaxation),
    and the least of them the value. In hindsight it holds for policies that know which token makes the answer right,
    so for all; without, for those that know difficulty and length but see no answer.
    """
    from scipy.optimize import minimize_scalar

    success, lengths = _law(depth, easy, hard)

    def value(log_price: float) -> float:
        price = np.exp(log_price)
        cost = price * lengths
        worth = success * _hindsight(cost, bend) if hindsight else _worth(success, cost, bend)
        return float(worth.mean() + price * tokens)

    # The value is convex in the price, and every price gives a bound.
    found = minimize_scalar(value, bounds=(np.log(1e-9), 0.0), method="bounded", options={"xatol": 1e-6})
    return min(float(found.fun), (easy + hard) / 2)


def _hindsight(cost: np.ndarray, bend: float) -> np.ndarray:
    """The mean of max(1 - cost x, 0), x the share of its tokens after which a chain that ends right is right."""
    m = np.minimum(1.0, 1.0 / cost)
    end = np.exp(-bend * m)
    return (1.0 - end - cost * (1.0 - end * (1.0 + bend * m)) / bend) / -np.expm1(-bend)


def _worth(success: np.ndarray, cost: np.ndarray, bend: float) -> np.ndarray:
    """The largest success times known(x) - cost x over shares x; with a convex curve of known, at 0 or 1."""
    if bend < 0:
        return np.maximum(success - cost, 0.0)
    slope = success * bend / -np.expm1(-bend)
    x = np.clip(np.log(slope / cost) / bend, 0.0, 1.0)
    return success * known(x, bend) - cost * x


def _decide(policy: Policy):
    """(the policy's compiled decide, the names of its arguments)."""
    found = {node.name: node for node in ast.parse(policy.source).body if isinstance(node, ast.FunctionDef)}
    if policy.shape != "decision" or "decide" not in found:
        raise InputError(f"policy '{policy.name}' has SHAPE = '{policy.shape}': allotting tokens needs 'decision'.")
    taken = tuple(argument.arg for argument in found["decide"].args.args)
    for one in taken:
        if one not in policy.parameters and (one not in COLUMNS or one not in policy.sees):
            raise InputError(
                f"policy '{policy.name}': decide takes '{one}', which is not in PARAMETERS, nor in SEES one of "
                f"{', '.join(COLUMNS)}: declare it."
            )
    return _compiled(policy.source, policy.name), taken


@lru_cache(maxsize=64)
def _compiled(source: str, name: str):
    from openqueues.models.queues.compiled import load

    helpers = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    lines = [source, "from numba import njit as _njit"]
    lines += [f"{one} = _njit({one}, error_model='numpy')" for one in helpers if one != "decide"]
    return load("\n".join([*lines, "serve = _njit(decide, cache=True, error_model='numpy')"]) + "\n", name, "decide")
