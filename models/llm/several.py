"""Several language models of different size, speed, price and quality, and a policy that says which one to ask.

Each model is one server that decodes all its requests together: with n of them, a request makes a token every
step + seq * n ms. This is an engine with memory for all, looked at as a fluid: the first part is the reading of the
weights, the second what every token adds to it, its share of the prompts that are computed in between included.

A policy is a file of SHAPE "decision" with up to three functions:

    decide(...)   a score of each model when a request arrives: the lowest is asked (of equals the smaller one)
    accept(...)   of an answer, unless the largest model has given it: above 1/2 it is given out, else the next larger
                  model is asked too, at once. Without it every answer is given out
    learn(...)    when an answer is given out, to write what was seen into `memory`; returns a number of no meaning

Their arguments are columns that the file names in SEES, and parameters. The columns, all floats but the last:

    model, models   number of the model, from 0, the smallest, and how many there are
    accuracy        of the model over all questions, as it was when it was measured
    price           of the model, $ per million output tokens
    step_ms, seq_ms    of the model, as measured
    requests        at the model now, without this one
    value_wrong, value_s, value_usd    what a wrong answer, a second and a dollar cost
    now, topic      s; kind of question, from 0
    draw, normal    random numbers of the request: uniform on (0, 1); of the request and the model: standard normal
    quality         predicted probability that the model's answer is right
    tokens          predicted output tokens
    time_s          predicted time at the model, if it stays as full as it is with this request; in accept and learn, as
                    predicted when it was asked
    slows_s         predicted time that the request adds to those of the requests that are there (decide only)
    judged          probability that the answer is right, by somebody who has read it (accept, learn)
    spent_s, took_s    time since the arrival, and of it at this model (accept, learn)
    outcome         1 right, 0 wrong, nan where nobody says (learn)
    next_quality, next_time_s, next_price    of the next larger model, nan for the largest (decide, accept)
    right, true_time_s    the truth: probability given the question's difficulty, time as time_s (decide)
    fair, factor    what drift has changed: `quality` as it would be if the predictor knew of it, and by what factor an
                    iteration of the model now takes longer (decide)
    memory          a vector of MEMORY numbers of its own, 0 at the start; every function may read and write it
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.several_kernel import serve
from openqueues.models.policies import INFORMATION, Policy
from openqueues.models.queues.compiled import load

COLUMNS = (
    *("model", "models", "quality", "tokens", "price", "requests", "time_s", "slows_s", "step_ms", "seq_ms", "now"),
    *("topic", "draw", "normal", "accuracy", "value_wrong", "value_s", "value_usd", "right", "true_time_s", "judged"),
    *("spent_s", "took_s", "outcome", "next_quality", "next_time_s", "next_price", "fair", "factor"),
)
MEMORY = 128
MOST_PARAMETERS = 4
_FORECASTS = {"quality", "tokens", "time_s", "slows_s", "judged", "next_quality", "next_time_s"}
_TRUTH = {"right", "true_time_s", "fair", "factor"}
_NUMBERS = tuple(f"theta{place}" for place in range(MOST_PARAMETERS))
_DEFAULTS = {"accept": "def accept():\n    return 1.0\n", "learn": "def learn():\n    return 0.0\n"}


@dataclass(frozen=True)
class Model:
    """A language model on its own accelerators."""

    name: str
    accuracy: float
    step_ms: float
    """Of an iteration, whoever is in it."""
    seq_ms: float
    """More for each request in it."""
    price: float
    """US dollars per million output tokens."""


@dataclass(frozen=True, eq=False)
class Stream:
    """n requests to m models, in the order of arrival."""

    arrival_s: np.ndarray
    """(n,) ascending from 0 or later."""
    tokens: np.ndarray
    """(n,) of the answer, positive, the same of every model."""
    predicted_tokens: np.ndarray
    """(n,)"""
    topic: np.ndarray
    """(n,)"""
    quality: np.ndarray
    """(n, m) predicted probability that the answer is right."""
    right: np.ndarray
    """(n, m) the true one."""
    fair: np.ndarray
    """(n, m) quality, if the predictor knew of the drift."""
    correct: np.ndarray
    """(n, m) bool"""
    judged: np.ndarray
    """(n, m) probability by somebody who has read the answer."""
    normal: np.ndarray
    """(n, m) standard normal numbers for the policy."""
    draw: np.ndarray
    """(n,) uniform numbers for the policy."""
    seen: np.ndarray
    """(n,) bool, whether somebody says if the answer was right."""
    shift_s: float = math.inf
    """When the models' pace changes."""
    factors: tuple[float, ...] = ()
    """(m,) by which an iteration takes longer from then on; none: 1."""

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True, eq=False)
class Answered:
    finish_s: np.ndarray
    """(n,)"""
    model: np.ndarray
    """(n,) int64, whose answer was given out."""
    usd: np.ndarray
    """(n,) price of all its answers."""
    present: np.ndarray
    """(n,) int64, requests in the system when it came."""


def answer(stream: Stream, models: tuple[Model, ...], policy: str | Policy, values=(1.0, 0.0, 0.0)) -> Answered:
    """Serve the stream to the end. values: what a wrong answer, a second and a dollar cost, for policies to see.

    Raises InputError for a stream that makes no sense and for a policy that cannot be used.
    """
    chosen = policies.policy(policy) if isinstance(policy, str) else policy
    functions = functions_of(chosen)
    _check(stream, models)
    n, m = stream.quality.shape
    theta = np.zeros(MOST_PARAMETERS)
    for place, (name, value) in enumerate(chosen.parameters.items()):
        if isinstance(value, str) or not math.isfinite(value):
            raise InputError(f"policy '{chosen.name}': parameter '{name}' is '{value}': it must be a number.")
        theta[place] = value
    law = np.array([(one.step_ms, one.seq_ms, one.price, one.accuracy) for one in models])
    columns = ("arrival_s", "tokens", "predicted_tokens", "topic", "draw", "seen")
    request = np.stack([np.asarray(getattr(stream, name), float) for name in columns], axis=1)
    columns = ("quality", "right", "fair", "correct", "judged", "normal")
    per = np.stack([np.asarray(getattr(stream, name), float) for name in columns], axis=2)
    finish, model = np.full(n, np.nan), np.zeros(n, np.int64)
    usd, present = np.zeros(n), np.zeros(n, np.int64)
    factors = np.array(stream.factors or np.ones(m), float)
    failed = serve(
        *functions,
        theta,
        np.array(values, float),
        law,
        factors,
        float(stream.shift_s),
        request,
        per,
        np.zeros(MEMORY),
        finish,
        model,
        usd,
        present,
    )
    if failed:
        raise InputError(
            f"policy '{chosen.name}': a function of it did not return a number, or went beyond the {MEMORY} numbers of "
            "memory: each must return a number."
        )
    return Answered(finish, model, usd, present)


def functions_of(policy: Policy):
    """The policy's decide, accept and learn, compiled as functions of (*COLUMNS, four numbers, memory)."""
    if policy.shape != "decision":
        raise InputError(f"policy '{policy.name}' has SHAPE = '{policy.shape}': several models take 'decision'.")
    for column in policy.sees:
        if column not in (*COLUMNS, "memory"):
            raise unknown(f"column in SEES of policy '{policy.name}'", column, (*COLUMNS, "memory"))
    sees = set(policy.sees)
    least = "oracle" if sees & _TRUTH else "predictions" if sees & _FORECASTS else "blind"
    if INFORMATION.index(policy.information) < INFORMATION.index(least):
        raise InputError(
            f"policy '{policy.name}' says INFORMATION = '{policy.information}', but what it sees makes it '{least}': "
            "write that."
        )
    if len(policy.parameters) > MOST_PARAMETERS:
        raise InputError(f"policy '{policy.name}' has more than {MOST_PARAMETERS} parameters: take some out.")
    return _compiled(policy.source, policy.name, policy.sees, tuple(policy.parameters))


@lru_cache(maxsize=256)
def _compiled(source: str, name: str, sees: tuple[str, ...], parameters: tuple[str, ...]):
    found = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    names = dict(zip(parameters, _NUMBERS, strict=False))
    lines = [source, *(text for function, text in _DEFAULTS.items() if function not in found)]
    lines += [
        "from numba import carray as _carray, cfunc as _cfunc, float64 as _float64, njit as _njit",
        "from numba.types import CPointer as _pointer",
    ]
    helpers = [function for function in found if function not in ("decide", *_DEFAULTS)]
    # An index beyond the end of memory would read, or write, what is the model's.
    options = "error_model='numpy'" + (", boundscheck=True" if "memory" in sees else "")
    lines += [f"{helper} = _njit({helper}, {options})" for helper in helpers]
    taken = (*COLUMNS, *_NUMBERS)
    for function in ("decide", "accept", "learn"):
        node = found.get(function)
        arguments = [argument.arg for argument in node.args.args] if node else []
        for argument in arguments:
            if argument not in sees and argument not in parameters:
                raise InputError(
                    f"policy '{name}': {function} takes '{argument}', which is neither in SEES nor in PARAMETERS: "
                    "declare it in one of them."
                )
        lines += [
            f"{function} = _njit({function}, {options})",
            f"@_cfunc(_float64(*[_float64] * {len(taken)}, _pointer(_float64)), cache=True, error_model='numpy')",
            f"def _{function}({', '.join(taken)}, memory):",
            f"    memory = _carray(memory, ({MEMORY},))" if "memory" in arguments else "    pass",
        ]
        called = f"1.0 * {function}({', '.join(names.get(one, one) for one in arguments)})"
        if "memory" in arguments:  # what a function raises is not handed on to who calls it from machine code
            lines += ["    try:", f"        said = {called}", "    except Exception:", "        said = float('nan')"]
            lines += ["    return said"]
        else:
            lines += [f"    return {called}"]
    return load("\n".join([*lines, "serve = (_decide, _accept, _learn)"]) + "\n", name, "decide")


def _check(stream: Stream, models: tuple[Model, ...]) -> None:
    n, m = len(stream.arrival_s), len(models)
    if not n or not m:
        raise InputError(f"there are {n} requests and {m} models: give at least one of each.")
    if np.any(np.diff(stream.arrival_s) < 0) or not stream.arrival_s[0] >= 0:
        raise InputError("arrival_s must ascend from 0 or later: sort the requests.")
    for name in ("tokens", "predicted_tokens"):
        value = getattr(stream, name)
        if value.shape != (n,) or not np.all((value > 0) & np.isfinite(value)):
            raise InputError(f"{name} must hold a positive number for each request.")
    for name in ("quality", "right", "fair", "correct", "judged", "normal"):
        if getattr(stream, name).shape != (n, m):
            raise InputError(f"{name} has the shape {getattr(stream, name).shape}: it must be ({n}, {m}).")
    if len(stream.factors) not in (0, m) or not all(factor > 0 for factor in stream.factors):
        raise InputError(f"factors is {stream.factors}: give a positive number for each of the {m} models.")
    for model in models:
        if not (model.step_ms > 0 and model.seq_ms >= 0 and model.price >= 0):
            raise InputError(f"model '{model.name}': step_ms must be positive, seq_ms and price at least 0.")
