"""Measured laws of prompt and answer lengths: tables fitted to public traces, and the traces themselves.

The package carries, per trace, quantiles of both lengths and the joint counts of their ranks (a copula in steps),
made by make_lengths. Where the folder OPENQUEUES_DATA has the file, its rows are drawn, with replacement, or replayed.
"""

from __future__ import annotations

import csv
import os
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.requests import MOST_TOKENS, Requests

FOLDER = Path(__file__).parent / "data"
LEVELS = np.concatenate((np.arange(128) / 128, [0.995, 0.9975, 0.999, 0.9995, 1.0]))
"""Levels of the quantiles in a table."""


@dataclass(frozen=True)
class Trace:
    """A file of OPENQUEUES_DATA: its columns; `time` is None where it has no arrivals, `unit_s` is the clock's unit."""

    file: str
    input: str = "input_tokens"
    output: str = "output_tokens"
    time: str | None = None
    unit_s: float = 1.0
    blocks: str | None = None


TRACES = {
    "azure-conv": Trace("azure2023_conv.csv", "context_tokens", "generated_tokens", "t_s"),
    "azure-code": Trace("azure2023_code.csv", "context_tokens", "generated_tokens", "t_s"),
    "mooncake": Trace("mooncake_conversation.csv", time="t_ms", unit_s=1e-3, blocks="hash_ids_512"),
    "servegen-r1": Trace("servegen_deepseek_r1_10rps_1h.csv", time="t_s"),
    "sharegpt": Trace("sharegpt_8k_lengths_llama2.csv", "num_prefill_tokens", "num_decode_tokens"),
    "arxiv": Trace("arxiv_summarization_lengths_llama2.csv", "num_prefill_tokens", "num_decode_tokens"),
}
HISTOGRAM = "lmsys_chat1m_length_joint_histogram.csv"
"""Counts by bins of both lengths: all that is kept of LMSYS-Chat-1M, so that its rows cannot be drawn."""
NAMES = (*TRACES, "lmsys")


@dataclass(frozen=True, eq=False)
class Table:
    """Quantiles at LEVELS of both lengths, and counts of requests by the classes of rank (K equal ones) of both."""

    input_tokens: np.ndarray
    output_tokens: np.ndarray
    ranks: np.ndarray

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """n pairs (int64); the first ones are the same for every n."""
        uniform = rng.random((n, 3))
        cell = np.searchsorted(np.cumsum(self.ranks.ravel())[:-1] / self.ranks.sum(), uniform[:, 0], side="right")
        place = np.stack(np.divmod(cell, len(self.ranks)))
        levels = (place + uniform[:, 1:].T) / len(self.ranks)
        both = (self.input_tokens, self.output_tokens)
        return tuple(
            np.rint(np.interp(level, LEVELS, values)).astype(np.int64)
            for level, values in zip(levels, both, strict=True)
        )


@lru_cache(maxsize=16)
def table(name: str) -> Table:
    """The table that the package carries."""
    with open(FOLDER / f"{name}.toml", "rb") as stream:
        content = tomllib.load(stream)
    return Table(*(np.array(content[key], dtype=np.float64) for key in ("input_tokens", "output_tokens", "ranks")))


def full_path(name: str) -> Path | None:
    """The trace in the folder that OPENQUEUES_DATA names, None where there is none."""
    folder = os.environ.get("OPENQUEUES_DATA")
    path = Path(folder, TRACES[name].file) if folder and name in TRACES else None
    return path if path and path.is_file() else None


def full(name: str) -> Requests:
    """The requests of a trace in OPENQUEUES_DATA, all at 0 where it has no times; InputError where it is absent."""
    path = full_path(name)
    if path is None:
        why = "its rows are not public"
        if name in TRACES:
            why = f"OPENQUEUES_DATA names no folder that holds '{TRACES[name].file}': set it"
        raise InputError(f"the trace '{name}' is not here: {why}, or use data=fitted.")
    return _read(name, str(path))


@lru_cache(maxsize=4)
def _read(name, path):
    trace = TRACES[name]
    names = [column for column in (trace.input, trace.output, trace.time, trace.blocks) if column]
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = csv.reader(stream)
            header = next(rows)
            place = [header.index(column) for column in names]
            cells = [[row[i] for i in place] for row in rows]
        columns = dict(zip(names, zip(*cells, strict=True), strict=True))
        lengths = [np.array(columns[column], dtype=np.float64) for column in (trace.input, trace.output)]
        if any(np.any(~((one >= 1) & (one <= MOST_TOKENS)) | (one != np.floor(one))) for one in lengths):
            raise ValueError
        time = np.array(columns[trace.time], np.float64) * trace.unit_s if trace.time else np.zeros(len(cells))
        order = np.argsort(time, kind="stable")
        blocks = {}
        if trace.blocks:
            lists = [columns[trace.blocks][i].split() for i in order.tolist()]
            blocks["prefix_start"] = np.cumsum([0, *map(len, lists)])
            blocks["prefix_blocks"] = np.array([int(one) for ids in lists for one in ids], np.int64)
        # Some clocks begin below 0; only differences mean something.
        time = time[order] - min(time.min(), 0.0)
        return Requests(time, *(one[order].astype(np.int64) for one in lengths), **blocks)
    except OSError as error:
        raise InputError(f"cannot read the trace '{path}': {error.strerror or error}.") from None
    except (ValueError, IndexError, KeyError, StopIteration, UnicodeDecodeError, csv.Error):
        right = f"give a file with the columns {', '.join(names)}, lengths of at least 1"
        raise InputError(f"the file '{path}' is not the trace '{name}': {right}.") from None
