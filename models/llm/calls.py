"""Requests that call tools while they answer: the six classes of InferCept, by measured and by published laws.

    programs = with_calls("poisson:rate=3", 1000, seed=1)

A request writes some tokens, calls a tool, reads what it returns and goes on; each piece is a stage that continues the
one before. Classes: math, qa (questions looked up), virtual_env (steps in a simulated house), chatbot (a person
answers), image and speech_tts (a model makes a picture or speaks, then a person answers, in turn).

data: full draws whole requests, with replacement, from the segments of Abhyankar et al.: InferCept (2024) as published
with MARS, in the folder OPENQUEUES_DATA; fitted draws each quantity on its own from the tables of the package
(data/infercept.toml, made by make_calls); auto is full where the file is there; published is fitted but for the times
and numbers of calls, which have the means and deviations that the paper gives: gamma times, numbers of calls gamma
rounded up. In the file no context exceeds 2,048 tokens, which cuts the calls of virtual_env short, and the tokens of
chatbot, image and speech_tts are characters / 4. A call after the last token is left out: nothing follows it.
"""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.requests import Requests
from openqueues.models.llm.workloads import Replay, arrivals_law
from openqueues.models.special import gammaincinv
from openqueues.models.streams import streams

FILE = "infercept_workload_segments.csv"
TABLES = Path(__file__).parent / "data" / "infercept.toml"
CLASSES = ("math", "qa", "virtual_env", "chatbot", "image", "speech_tts")
TURNS = {"math": 1, "qa": 1, "virtual_env": 1, "chatbot": 1, "image": 2, "speech_tts": 2}
"""Kinds of call that take turns."""
PUBLISHED = {
    "math": ((9e-5, 6e-5), (3.75, 1.3)),
    "qa": ((0.69, 0.17), (2.52, 1.73)),
    "virtual_env": ((0.09, 0.014), (28.18, 15.2)),
    "chatbot": ((28.6, 15.6), (4.45, 1.96)),
    "image": ((20.03, 7.8), (6.91, 3.93)),
    "speech_tts": ((17.24, 7.6), (6.91, 3.93)),
}
"""Mean and deviation of the seconds of a call and of the number of calls, Table 1 of InferCept."""
LEVELS = np.concatenate((np.arange(32) / 32, [0.99, 1.0]))
DATA = ("auto", "full", "fitted", "published")
MOST_CALLS = 96


@dataclass(frozen=True)
class Row:
    """One request: class, prompt, and of each call the tokens written before it, its seconds, the tokens returned."""

    kind: str
    prompt: int
    output: tuple[int, ...]
    delay: tuple[float, ...]
    returned: tuple[int, ...]
    last: int
    """Tokens after the last call; 0 where nothing follows it."""


def with_calls(
    arrivals: str,
    n: int,
    seed: int,
    *,
    mix: str | Sequence[str] = CLASSES,
    data: str = "auto",
    shares: Sequence[float] = (),
) -> Programs:
    """n requests with calls as programs, the same for every use of the seed; a predicted delay is the class's mean.

    mix: a class or several; shares: of the requests, one for each class of the mix (default: those of the file).
    The first value of each stage is the number of its class.
    """
    when = arrivals_law(arrivals)
    if isinstance(when, Replay):
        raise InputError("requests with calls have no trace of arrivals to replay: give poisson, gamma or closed.")
    if not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"{n} requests were asked for: ask for at least 1.")
    kinds = (mix,) if isinstance(mix, str) else tuple(mix)
    for kind in kinds:
        if kind not in CLASSES:
            raise unknown("class of requests with calls", str(kind), CLASSES)
    if data not in DATA:
        raise unknown("data", str(data), DATA)
    laws = tables()
    weights = np.array([laws[kind]["requests"] for kind in kinds] if not len(shares) else shares, np.float64)
    if not kinds or weights.shape != (len(kinds),) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise InputError(
            f"shares must be {len(kinds)} numbers of at least 0, not all 0: one for each class of the mix."
        )
    drawn = streams(seed)
    arrival = when.draw(drawn.gaps, n)
    uniform = drawn.sizes.random((n, 4 + 3 * MOST_CALLS))
    place = np.searchsorted(np.cumsum(weights)[:-1] / weights.sum(), uniform[:, 0], side="right")
    full = data == "full" or (data == "auto" and path() is not None)
    if full:
        found = path()
        if found is None:
            raise InputError(
                f"data=full, but OPENQUEUES_DATA names no folder that holds '{FILE}': set it, or use fitted."
            )
        by_class = {kind: [row for row in read_rows(found) if row.kind == kind] for kind in kinds}
        rows = [by_class[kinds[k]][int(u * len(by_class[kinds[k]]))] for k, u in zip(place, uniform[:, 1], strict=True)]
    else:
        rows = [None] * n
        for k, kind in enumerate(kinds):
            who = np.flatnonzero(place == k)
            for i, row in zip(who.tolist(), _drawn(kind, laws[kind], uniform[who], data), strict=True):
                rows[i] = row
    return _programs(arrival, rows, {kind: _mean_delay(kind, laws[kind], data) for kind in kinds})


def path() -> Path | None:
    """The file of segments in the folder that OPENQUEUES_DATA names, None where there is none."""
    folder = os.environ.get("OPENQUEUES_DATA")
    found = Path(folder, FILE) if folder else None
    return found if found and found.is_file() else None


@lru_cache(maxsize=1)
def tables() -> dict[str, dict]:
    """The tables of the package by class."""
    with open(TABLES, "rb") as stream:
        return tomllib.load(stream)


@lru_cache(maxsize=2)
def read_rows(file: Path) -> list[Row]:
    """The requests of the file of segments; InputError where it is not such a file."""
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            groups: dict[str, list[dict]] = {}
            for line in csv.DictReader(stream):
                groups.setdefault(line["request"], []).append(line)
        rows = []
        for lines in groups.values():
            called = [line for line in lines if line["api_time_s"]]
            # The file has a few returns below 0 tokens, where it was cut at the longest context.
            returned = [max(int(line["api_return_tokens"]), 0) for line in called]
            last = 0 if len(called) == len(lines) else int(lines[-1]["decode_tokens"])
            rows.append(
                Row(
                    lines[0]["kind"],
                    max(int(lines[0]["context_tokens_at_start"]), 1),
                    tuple(max(int(line["decode_tokens"]), 1) for line in called),
                    tuple(float(line["api_time_s"]) for line in called),
                    tuple(returned),
                    last,
                )
            )
        return rows
    except OSError as error:
        raise InputError(f"cannot read '{file}': {error.strerror or error}.") from None
    except (KeyError, ValueError, UnicodeDecodeError, csv.Error):
        raise InputError(f"the file '{file}' is not the table of segments '{FILE}': give that file.") from None


def _drawn(kind: str, law: dict, uniform: np.ndarray, data: str) -> list[Row]:
    """Requests of a class by the tables; uniform: a row of numbers for each, always as many."""
    turns = TURNS[kind]
    (mean, sd), (calls_mean, calls_sd) = PUBLISHED[kind]
    if data == "published":
        calls = np.ceil(_gamma(calls_mean - 0.5, calls_sd, uniform[:, 1])).clip(1, MOST_CALLS).astype(np.int64)
    else:
        calls = np.array(law["calls"])[(uniform[:, 1] * len(law["calls"])).astype(np.int64)]
    each = uniform[:, 4:].reshape(-1, MOST_CALLS, 3)[:, : int(calls.max(initial=0))]

    def of(quantity, column):
        values = np.empty(each.shape[:2])
        for turn in range(turns):
            values[:, turn::turns] = np.interp(each[:, turn::turns, column], LEVELS, law[quantity][turn])
        return values

    output = np.maximum(np.rint(of("output", 0)), 1).astype(np.int64).tolist()
    returned = np.maximum(np.rint(of("returned", 2)), 0).astype(np.int64).tolist()
    delay = (_gamma(mean, sd, each[..., 1]) if data == "published" else of("delay", 1)).tolist()
    prompt = np.maximum(np.rint(np.interp(uniform[:, 2], LEVELS, law["prompt"])), 1).astype(np.int64).tolist()
    last = [0] * len(calls)
    if law["last"]:
        last = np.maximum(np.rint(np.interp(uniform[:, 3], LEVELS, law["last"])), 1).astype(np.int64).tolist()
    return [
        Row(kind, prompt[i], tuple(output[i][:m]), tuple(delay[i][:m]), tuple(returned[i][:m]), last[i])
        for i, m in enumerate(calls.tolist())
    ]


def _gamma(mean: float, sd: float, level):
    """The quantiles of a gamma law at one level or several."""
    shape = (mean / sd) ** 2
    return gammaincinv(shape, level) * mean / shape


def _mean_delay(kind: str, law: dict, data: str) -> list[float]:
    """The mean seconds of a call of the class, for each kind of call that takes turns."""
    if data == "published":
        return [PUBLISHED[kind][0][0]] * TURNS[kind]
    return [float(np.trapezoid(values, LEVELS)) for values in law["delay"]]


def _programs(arrival: np.ndarray, rows: list[Row], means: dict[str, list[float]]) -> Programs:
    program, inputs, outputs, delays, predicted, before, classes = [], [], [], [], [], [], []
    for p, row in enumerate(rows):
        context = row.prompt
        stages = len(row.output) + (row.last > 0)
        written = (*row.output, row.last)
        turns = means[row.kind]
        for k in range(stages):
            program.append(p)
            classes.append(CLASSES.index(row.kind))
            before.append(len(before) - 1 if k else -1)
            delays.append(row.delay[k - 1] if k else 0.0)
            predicted.append(turns[(k - 1) % len(turns)] if k else 0.0)
            inputs.append(context)
            outputs.append(written[k])
            context += written[k] + (row.returned[k] if k < len(row.returned) else 0)
    before = np.array(before)
    return Programs(
        Requests(arrival[program], np.array(inputs), np.array(outputs)),
        program=np.array(program),
        after_start=np.concatenate([[0], np.cumsum(before >= 0)]),
        after=before[before >= 0],
        delay_s=np.array(delays),
        predicted_delay_s=np.array(predicted),
        continues=before,
        values=np.array(classes, np.float64)[:, None],
    )
