"""End-to-end measurements of serving, and the engine run as they were made.

aiconfigurator-core holds some 5,000 measurements: mean time to first token and per output token of a model on a GPU
under a backend, with a given number of clients that each send the next request when the last has ended. Here are those
of dense models that we have operator tables for; the engine serves the same closed loop.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from openqueues import operators
from openqueues.models.errors import InputError
from openqueues.operators import Operators, Setting

if TYPE_CHECKING:
    from openqueues.models.llm import Fit, Hardware, Requests

LEAST_SHARE = 0.8
"""Where a benchmark draws lengths: uniform from this share of the given ones up to these."""
_SHARED_TOKENS = 64
"""Prompts that are sent again are found in the prefix cache by whole blocks of so many tokens."""
_MODELS = {
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "Qwen/Qwen3-32B": "qwen3-32b",
}
_PRECISIONS = {"fp8": "fp8", "fp8_block": "fp8-block", "": "bf16"}


@dataclass(frozen=True)
class Row:
    """A measurement."""

    id: str
    setting: Setting
    version: str
    """Of the backend; empty where the source does not say."""
    input_tokens: int
    output_tokens: int
    clients: int
    varied: bool
    """Whether lengths are drawn from LEAST_SHARE of the given ones up to these, or all are the given ones."""
    ttft_ms: float
    tpot_ms: float

    @property
    def group(self) -> tuple[str, str, str, str]:
        s = self.setting
        return s.model, s.gpu, s.backend, s.precision

    @property
    def configuration(self) -> str:
        """What the halves are split by: all numbers of clients of a configuration are in the same half."""
        return f"{'/'.join(self.group)}/tp{self.setting.tp}/{self.input_tokens}/{self.output_tokens}"


@dataclass(frozen=True)
class Serving:
    """How a group was served, as far as its source does not say, and the correction of the operators' times."""

    policy: str
    token_budget: int
    """Prompt tokens of a step."""
    think_s: float
    """Mean time from an answer to the next request at the server, exponential."""
    places_lost: int
    """How many fewer requests run at once than there are clients."""
    kv: str
    """Precision of the KV cache."""
    rounds: int = 10
    """Requests of each client, the first all at once."""
    prompts: int = 0
    """Different prompts that the load generator draws from, which the prefix cache holds then; 0: all differ."""
    scale: float = 1.0
    step_ms: float = 0.0
    seq_ms: float = 0.0
    """The correction: a factor of all times, and what each step and each sequence that decodes in it takes beside."""

    @property
    def words(self) -> str:
        lost = f", {self.places_lost} place fewer than clients" if self.places_lost else ""
        drawn = f", drawn from {self.prompts} prompts" if self.prompts else ""
        return (
            f"{self.policy}, {self.token_budget} tokens a step, think time {1000 * self.think_s:g} ms{lost}, "
            f"{self.rounds} requests a client{drawn}, KV in {self.kv}, times x {self.scale:.3f} "
            f"{self.step_ms:+.2f} ms a step {1000 * self.seq_ms:+.1f} us a sequence"
        )


def measured_rows(root: Path | None = None) -> list[Row]:
    """The rows of our models, GPUs and backends that serve prompts and answers in one place, in the file's order."""
    path = (operators.folder() if root is None else root) / "systems" / "silicon_sample.csv"
    gpus = {theirs: ours for ours, theirs in operators.GPUS.items()}
    found = []
    with open(path, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            model, gpu = _MODELS.get(row["model_path"]), gpus.get(row["system"])
            if not (model and gpu and row["mode"] == "agg" and row["backend"] in operators.BACKENDS):
                continue
            tp, precision = int(float(row["tp_size"])), _PRECISIONS.get(row["gemm_quant_mode"])
            if precision is None or float(row["pp_size"]) != 1:
                continue
            clients = re.search(r"silicon_concurrency=(\d+)", row["silicon_data_source"])
            found.append(
                Row(
                    id=row["id"],
                    setting=Setting(model, gpu, row["backend"], tp, precision),
                    version=row["backend_version"],
                    input_tokens=int(row["isl"]),
                    output_tokens=int(row["osl"]),
                    clients=int(clients.group(1)) if clients else int(float(row["batch_size"])),
                    varied=row["silicon_data_source"].startswith("source_file=20"),
                    ttft_ms=float(row["silicon_ttft_ms"]),
                    tpot_ms=float(row["silicon_tpot_ms"]),
                )
            )
    return found


def shuffled(names: Iterable[str]) -> list[str]:
    """Each name once, in the order of their hashes: no order that means anything, and always the same."""
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def fitting_half(rows: Iterable[Row]) -> set[str]:
    """The configurations whose rows may be used in fitting: of each group the first half by a hash, rounded down."""
    groups: dict[tuple, set[str]] = {}
    for row in rows:
        groups.setdefault(row.group, set()).add(row.configuration)
    return {name for names in groups.values() for name in shuffled(names)[: len(names) // 2]}


def operator_law(setting: Setting) -> Hardware:
    """The law of the operators' times alone, see operator_fit."""
    return operator_fit(setting).law


@cache
def operator_fit(setting: Setting, root: Path | None = None) -> Fit:
    """The law fitted to the operators' times alone. InputError where the weights do not fit or a table is absent."""
    from openqueues.models import llm

    tables = Operators(setting, root)
    if tables.kv_tokens <= 0:
        raise InputError(
            f"{setting.model} in {setting.precision} does not fit on {setting.tp} {setting.gpu.upper()}: raise tp."
        )
    steps = llm.read_steps(operators.steps_of(tables))
    known = {
        "kv_tokens": tables.kv_tokens,
        "kv_bytes_per_token": tables.kv_bytes_per_token,
        "swap_bytes_per_s": setting.tp * operators.LINK_BYTES_PER_S[setting.gpu],
    }
    fit = llm.fit_law(steps, name=setting.name, source="", **known)
    used = ", ".join(f"{table} {version}" for table, version in sorted(tables.used.items()))
    source = (
        f"Fitted to step times composed of operator times in {operators.PACKAGE} {operators.package_version()} "
        f"({used}): {fit.summary}; KV in {setting.kv}"
    )
    return replace(fit, law=replace(fit.law, source=source))


@cache
def law_of(setting: Setting, serving: Serving) -> Hardware:
    """The law of a setting as it was served: the operators' times, corrected."""
    from openqueues.models import llm

    law = operator_law(replace(setting, kv=serving.kv))
    return llm.corrected(law, scale=serving.scale, step_ms=serving.step_ms, seq_ms=serving.seq_ms)


def run_row(row: Row, law: Hardware, serving: Serving) -> tuple[float, float]:
    """(TTFT, TPOT) in ms, means over all requests, of the engine in the row's closed loop; InputError if it cannot."""
    from openqueues.models import llm

    rng = np.random.default_rng(zlib.crc32(row.id.encode()))
    shape = row.clients, serving.rounds
    least = LEAST_SHARE if row.varied else 1.0
    inputs, outputs = (
        rng.integers(int(least * tokens), tokens, shape, endpoint=True)
        for tokens in (row.input_tokens, row.output_tokens)
    )
    think = rng.exponential(serving.think_s, shape) if serving.think_s else np.zeros(shape)
    policy = serving.policy
    if serving.prompts:
        drawn = rng.integers(serving.prompts, size=shape)
        inputs = inputs.ravel()[drawn % inputs.size]
        policy += ":prefix_cache=true"
    programs = llm.closed_loop(inputs, outputs, think_s=think, start_s=np.sort(think[:, 0]))
    if serving.prompts:
        programs = programs.with_requests(_shared(programs.requests, drawn.ravel()))
    most = max(row.clients - serving.places_lost, 1)
    cluster = llm.Cluster([llm.Instance(law, max_batch=most, token_budget=serving.token_budget)])
    served = llm.serve_cluster(programs, cluster, policy)
    ttft = (served.first_token_s - served.arrival_s).mean() + serving.think_s
    tpot = (served.finish_s - served.first_token_s) / (programs.requests.output_tokens - 1)
    return 1000 * float(ttft), 1000 * float(tpot.mean())


def _shared(requests: Requests, drawn: np.ndarray) -> Requests:
    """The requests with the blocks of their prompts, which those with the same number share; a prompt's last token is
    computed each time."""
    blocks = (requests.input_tokens - 1) // _SHARED_TOKENS
    start = np.concatenate([[0], np.cumsum(blocks)])
    place = np.arange(start[-1]) - np.repeat(start[:-1], blocks)
    ids = np.repeat(drawn, blocks) * (int(blocks.max()) + 1) + place
    return replace(requests, prefix_start=start, prefix_blocks=ids, prefix_block_tokens=_SHARED_TOKENS)


@cache
def _predicted(row: Row, serving: Serving) -> tuple[float, float, str]:
    try:
        return *run_row(row, law_of(row.setting, serving), serving), ""
    except InputError as error:
        return np.nan, np.nan, str(error)


def predictions(rows: list[Row], serving: Serving) -> tuple[np.ndarray, list[str]]:
    """((rows, 2) TTFT and TPOT in ms, nan where a row cannot run; why it cannot, or nothing)."""
    found = [_predicted(row, serving) for row in rows]
    return np.array([one[:2] for one in found]).reshape(-1, 2), [one[2] for one in found]
