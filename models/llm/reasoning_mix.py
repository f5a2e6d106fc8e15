"""Programs of several kinds side by side: which questions are asked in which way.

reasoned = mixed([majority(asked, ...), tree(asked, ...)], kind=[0, 1, 1, 0, ...])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.reasoning import Reasoned
from openqueues.models.llm.requests import Requests


def mixed(ways: Sequence[Reasoned], kind: np.ndarray) -> Reasoned:
    """Program p of ways[kind[p]], for each p. All ways have as many programs, which arrive at the same times.

    Prompts of different ways share no prefix blocks.
    """
    kind = np.asarray(kind)
    count = ways[0].programs.count
    for one in ways:
        if one.programs.count != count or not np.array_equal(one.programs.arrival_s, ways[0].programs.arrival_s):
            raise InputError("the ways have not the same programs at the same times: ask the same questions with them.")
    if kind.shape != (count,) or kind.dtype.kind not in "iu" or np.any((kind < 0) | (kind >= len(ways))):
        raise InputError(f"kind must be {count} whole numbers from 0 to {len(ways) - 1}, one for each program.")
    begins = [one.programs.begins for one in ways]
    sizes = np.array([begins[k][p + 1] - begins[k][p] for p, k in enumerate(kind)])
    start = np.concatenate([[0], np.cumsum(sizes)])
    # Of each stage: the way that it comes from, its number there, and what to add to that for its number here.
    way = np.repeat(kind, sizes)
    shift = np.repeat(start[:-1] - [begins[k][p] for p, k in enumerate(kind)], sizes)
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
        column(lambda one: one.programs.requests.arrival_s),
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
        program=np.repeat(np.arange(count), sizes),
        after_start=np.cumsum([0, *map(len, waits)]),
        after=np.concatenate(waits).astype(np.int64),
        need=column(lambda one: one.programs.need),
        continues=np.where(continues >= 0, continues + shift, -1),
        model=column(lambda one: one.programs.model),
        values=column(lambda one: one.programs.values),
    )
    return Reasoned(programs, column(lambda one: one.answer))
