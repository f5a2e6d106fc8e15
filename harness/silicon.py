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
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from openqueues import operators
from openqueues.models.errors import InputError
from openqueues.operators import Operators, Setting
from openqueues.silicon_results import TARGETS

if TYPE_CHECKING:
    from openqueues.models.llm import Fit, Hardware

ROUNDS = 10
"""Requests of each client; the load generators send 10 or so for each, the first all at once."""
LEAST_SHARE = 0.8
"""Where a benchmark draws lengths: uniform from this share of the given ones up to these."""
_MODELS = {
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "Qwen/Qwen3-32B": "qwen3-32b",
}
_PRECISIONS = {"fp8": "fp8", "fp8_block": "fp8-block", "": "bf16"}
# What the sources do not say of the serving: of these the one is taken that fits the fitting half best.
_BUDGETS, _THINK_S = (2048, 4096, 8192), (0.0, 0.003, 0.01)
_POLICIES = {"vllm": ("sarathi",), "trtllm": ("orca",), "sglang": ("vllm", "sarathi")}
_PLACES_LOST = {"vllm": (0,), "trtllm": (0, 1), "sglang": (0,)}


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
    scale: float = 1.0
    step_ms: float = 0.0

    @property
    def words(self) -> str:
        lost = f", {self.places_lost} place fewer than clients" if self.places_lost else ""
        return (
            f"{self.policy}, {self.token_budget} tokens a step, think time {1000 * self.think_s:g} ms{lost}, "
            f"KV in {self.kv}, times x {self.scale:.3f} {self.step_ms:+.2f} ms a step"
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


def fitting_half(rows: Iterable[Row]) -> set[str]:
    """The configurations whose rows may be used in fitting: of each group the first half by a hash, rounded down."""
    groups: dict[tuple, set[str]] = {}
    for row in rows:
        groups.setdefault(row.group, set()).add(row.configuration)
    halves = (sorted(one, key=lambda name: hashlib.sha256(name.encode()).hexdigest()) for one in groups.values())
    return {name for names in halves for name in names[: len(names) // 2]}


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


def run_row(row: Row, law: Hardware, serving: Serving) -> tuple[float, float]:
    """(TTFT, TPOT) in ms, means over all requests, of the engine in the row's closed loop; InputError if it cannot."""
    from openqueues.models import llm

    rng = np.random.default_rng(zlib.crc32(row.id.encode()))
    shape = row.clients, ROUNDS
    lengths = []
    for tokens in (row.input_tokens, row.output_tokens):
        low = int(LEAST_SHARE * tokens) if row.varied else tokens
        lengths.append(rng.integers(low, tokens, shape, endpoint=True))
    think = rng.exponential(serving.think_s, shape) if serving.think_s else np.zeros(shape)
    programs = llm.closed_loop(*lengths, think_s=think, start_s=np.sort(think[:, 0]))
    most = max(row.clients - serving.places_lost, 1)
    cluster = llm.Cluster([llm.Instance(law, max_batch=most, token_budget=serving.token_budget)])
    served = llm.serve_cluster(programs, cluster, serving.policy)
    ttft = (served.first_token_s - served.arrival_s).mean() + serving.think_s
    tpot = (served.finish_s - served.first_token_s) / (programs.requests.output_tokens - 1)
    return 1000 * float(ttft), 1000 * float(tpot.mean())


def predictions(rows: list[Row], serving: Serving) -> tuple[np.ndarray, list[str]]:
    """((rows, 2) TTFT and TPOT in ms, nan where a row cannot run; why it cannot, or nothing)."""
    from openqueues.models import llm

    times, reasons = np.full((len(rows), 2), np.nan), [""] * len(rows)
    for i, row in enumerate(rows):
        try:
            law = operator_law(replace(row.setting, kv=serving.kv))
            law = llm.corrected(law, scale=serving.scale, step_ms=serving.step_ms)
            times[i] = run_row(row, law, serving)
        except InputError as error:
            reasons[i] = str(error)
    return times, reasons


def found_serving(rows: list[Row]) -> Serving:
    """How a group was served and the correction of its times, from the rows of its fitting half alone."""
    group = rows[0].group
    backend, precision = group[2], group[3]
    wanted = np.log([[row.ttft_ms, row.tpot_ms] for row in rows])
    best, least = None, np.inf
    choices = product(
        _POLICIES[backend],
        _BUDGETS,
        _THINK_S,
        _PLACES_LOST[backend],
        ("bf16",) if precision == "bf16" else ("bf16", "fp8"),
    )
    for choice in choices:
        serving = Serving(*choice)
        error = np.log(predictions(rows, serving)[0]) - wanted
        error -= np.nanmedian(error[:, 1])
        loss = _loss(error)
        if loss < least:
            best, least = serving, loss
    return _corrected(rows, best, wanted)


def _loss(error: np.ndarray) -> float:
    """Median absolute log errors of TTFT and TPOT, in units of what we want; rows that cannot run count as e times."""
    size = np.nan_to_num(np.abs(error), nan=1.0)
    return float(np.median(size[:, 0]) / TARGETS["ttft"] + np.median(size[:, 1]) / TARGETS["tpot"])


def _corrected(rows: list[Row], serving: Serving, wanted: np.ndarray) -> Serving:
    """The serving with the scale and the constant that bring the errors down: Gauss-Newton on weighted errors.

    Weights of 1 / (1 + |error|) let a row that is far off pull no more than any other.
    """
    unit = np.array([TARGETS["ttft"], TARGETS["tpot"]])

    def errors(one: Serving) -> np.ndarray:
        return ((np.log(predictions(rows, one)[0]) - wanted) / unit).ravel()

    now, least = serving, np.inf
    best = serving
    for _ in range(5):
        error = errors(now)
        loss = _loss(error.reshape(-1, 2) * unit)
        if loss < least:
            best, least = now, loss
        slopes = [
            (errors(replace(now, scale=now.scale * 1.05)) - error) / np.log(1.05),
            (errors(replace(now, step_ms=now.step_ms + 0.5)) - error) / 0.5,
        ]
        good = np.isfinite(error) & np.isfinite(slopes[0]) & np.isfinite(slopes[1])
        weight = 1 / (1 + np.abs(error[good]))
        matrix = np.column_stack([slope[good] for slope in slopes]) * weight[:, None]
        move = np.linalg.lstsq(matrix, -error[good] * weight, rcond=None)[0]
        now = replace(
            now,
            scale=float(now.scale * np.exp(np.clip(move[0], -0.5, 0.5))),
            step_ms=float(now.step_ms + np.clip(move[1], -5, 5)),
        )
    return best
