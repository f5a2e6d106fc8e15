"""Programs of several kinds side by side: which questions are asked in which way.

reasoned = mixed([majority(asked.take(kind == 0), ...), tree(asked.take(kind == 1), ...)], kind, arrival_s)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.reasoning import Reasoned
from openqueues.models.llm.requests import Requests


def mixed(ways: Sequence[Reasoned], kind: np.ndarray, arrival_s: np.ndarray) -> Reasoned:
    """Of each p the next program of ways[kind[p]], which arrives at arrival_s[p]; both (programs,).

    Prompts of different ways share no prefix blocks.
    """
    kind, arrival_s = np.asarray(kind), np.asarray(arrival_s)
    counts = [one.programs.count for one in ways]
    whole = kind.ndim == 1 and kind.dtype.kind in "iu" and kind.size and 0 <= kind.min() and kind.max() < len(ways)
    if not whole or np.bincount(kind, minlength=len(ways)).tolist() != counts:
        raise InputError(f"kind must hold as many of each number from 0 to {len(ways) - 1} as programs: {counts}.")
    if arrival_s.shape != kind.shape:
        raise InputError(f"arrival_s must be {kind.size} times, one for each program.")
    place = np.empty(kind.size, np.int64)
    for k, number in enumerate(counts):
        place[kind == k] = np.arange(number)
    begins = [one.programs.begins for one in ways]
    sizes = np.array([begins[k][p + 1] - begins[k][p] for p, k in zip(place, kind, strict=True)])
    start = np.concatenate([[0], np.cumsum(sizes)])
    # Of each stage: the way that it comes from, its number there, and what to add to that for its number here.
    way = np.repeat(kind, sizes)
    shift = np.repeat(start[:-1] - [begins[k][p] for p, k in zip(place, kind, strict=True)], sizes)
    stage = np.arange(start[-1]) - shift
    fresh = np.cumsum([0, *(1 + int(one.programs.requests.prefix_blocks.max(initial=-1)) for one in ways)])

    def column(of) -> np.ndarray:
        first = np.asarray(of(ways[0]))
        result = np.empty((len(stage), *first.shape[1:]), first.dtype)
        for k, one in enumerate(ways):
            result[way == k] = np.asarray(of(one))[stage[way == k]]
        return result

    after = [ways[k].programs.after for k in range(len(ways))]
    edges = [ways[k].programs.after_start for k in range(len(ways))]
    blocks = [ways[k].programs.requests.prefix_blocks for k in range(len(ways))]
    blocks_at = [ways[k].programs.requests.prefix_start for k in range(len(ways))]
    waits = [after[k][edges[k][i] : edges[k][i + 1]] + d for k, i, d in zip(way, stage, shift, strict=True)]
    paths = [blocks[k][blocks_at[k][i] : blocks_at[k][i + 1]] + fresh[k] for k, i in zip(way, stage, strict=True)]
    requests = Requests(
        np.repeat(arrival_s, sizes),
        column(lambda one: one.programs.requests.input_tokens),
        column(lambda one: one.programs.requests.output_tokens),
        predicted_output_tokens=column(lambda one: one.programs.requests.predicted_output_tokens),
        prefix_start=np.cumsum([0, *map(len, paths)]),
        prefix_blocks=np.concatenate(paths),
        prefix_block_tokens=ways[0].programs.requests.prefix_block_tokens,
    )
    continues = column(lambda one: one.programs.continues)
    programs = Programs(
        requests,
        program=np.repeat(np.arange(kind.size), sizes),
        after_start=np.cumsum([0, *map(len, waits)]),
        after=np.concatenate(waits).astype(np.int64),
        need=column(lambda one: one.programs.need),
        continues=np.where(continues >= 0, continues + shift, -1),
        model=column(lambda one: one.programs.model),
        values=column(lambda one: one.programs.values),
    )
    return Reasoned(programs, column(lambda one: one.answer))
