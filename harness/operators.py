"""Step times of dense models, composed of the measured operator times in the package aiconfigurator-core.

The package holds, for a GPU and a serving backend, tables of what one matrix product, one attention or one all-reduce
takes. A step of a dense transformer on `tp` GPUs is, in each layer, four products, attention, two all-reduces and
passes over memory (norms, activation), and then the product with the vocabulary for each token that is made.
Nothing of the processor that launches all this is in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown

PACKAGE = "aiconfigurator-core"
MODELS = {
    "llama-3.1-8b": "meta-llama--Meta-Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama--Meta-Llama-3.1-70B",
    "qwen3-32b": "Qwen--Qwen3-32B",
}
"""Our names of the models, and the package's of their configurations."""
GPUS = {"a100": "a100_sxm", "h100": "h100_sxm", "h200": "h200_sxm"}
BACKENDS = {"vllm": "vLLM", "trtllm": "TensorRT-LLM", "sglang": "SGLang"}
PRECISIONS = {"bf16": "bfloat16", "fp8": "fp8", "fp8-block": "fp8_block"}
"""Of weights and products: 16 bits, 8 bits with one scale a matrix, 8 bits with one a block of 128 x 128."""
TPS = (1, 2, 4, 8)
HEAD = 128
LINK_BYTES_PER_S = {"a100": 32e9, "h100": 64e9, "h200": 64e9}
"""One way between a GPU and its host: PCIe 4 or 5, 16 lanes."""
MEMORY = {"vllm": (0.9, 3 << 30), "trtllm": (0.9, 3 << 30), "sglang": (0.84, 0)}
"""Share of each GPU's memory that a backend takes by default, and bytes of it that are neither weights nor KV cache;
SGLang's share leaves these out."""
BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
CONTEXTS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
PROMPTS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1280, 1536, 2048, 2560, 3072, 4096, 6144, 8192, 12288)
LONGEST_STEP = 16384


@dataclass(frozen=True)
class Setting:
    """A model on `tp` GPUs under a backend; InputError for one that the package does not know or that cannot be."""

    model: str
    gpu: str
    backend: str
    tp: int = 1
    precision: str = "bf16"
    kv: str = "bf16"
    """Of the KV cache: bf16 or fp8."""

    def __post_init__(self):
        for what, known in (("model", MODELS), ("gpu", GPUS), ("backend", BACKENDS), ("precision", PRECISIONS)):
            if getattr(self, what) not in known:
                raise unknown(what, getattr(self, what), known)
        if self.tp not in TPS:
            raise InputError(f"tp is {self.tp}: it must be one of {', '.join(map(str, TPS))}.")
        if self.gpu == "a100" and (self.precision != "bf16" or self.kv != "bf16"):
            raise InputError("an A100 has no products in fp8: give precision bf16.")

    @property
    def name(self) -> str:
        """As in the catalogue of laws: llama-3.1-70b-h100-tp4-fp8-vllm."""
        return f"{self.model}-{self.gpu}-tp{self.tp}-{self.precision}-{self.backend}"


def folder() -> Path:
    """The package's folder. InputError, saying how to install it, where it is not there."""
    found = find_spec("aiconfigurator_core")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"the measured operator times are in the package {PACKAGE}, which is not installed: run "
            "`uv sync --extra hardware` (or `pip install openqueues[hardware]`)."
        )
    return Path(found.submodule_search_locations[0])


class Operators:
    """The operator tables that a setting needs, in ms."""

    def __init__(self, setting: Setting, root: Path | None = None):
        self.setting = setting
        self.root = folder() if root is None else root
        self.used: dict[str, str] = {}
        """Table and version of each that was read."""
        config = json.loads((self.root / f"model_configs/{MODELS[setting.model]}_config.json").read_text("utf-8"))
        self.layers, self.hidden = config["num_hidden_layers"], config["hidden_size"]
        self.inner, self.words = config["intermediate_size"], config["vocab_size"]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        gpu = (self.root / f"systems/{GPUS[setting.gpu]}.yaml").read_text("utf-8")
        self.memory_bytes = _yaml_number(gpu, "mem_capacity")
        self.bytes_per_ms = _yaml_number(gpu, "mem_bw") * _yaml_number(gpu, "mem_bw_empirical_scaling_factor") / 1e3
        self.pass_ms = _yaml_number(gpu, "mem_empirical_constant_latency") * 1e3

    @property
    def kv_bytes_per_token(self) -> int:
        return 2 * self.layers * self.kv_heads * HEAD * (1 if self.setting.kv == "fp8" else 2)

    @property
    def kv_tokens(self) -> int:
        """Tokens for which the KV cache of all GPUs has room beside the weights; 0 or less: the weights do not fit."""
        s = self.setting
        attention = self.hidden * HEAD * (2 * self.heads + 2 * self.kv_heads)
        weights = self.layers * (attention + 3 * self.hidden * self.inner) * (2 if s.precision == "bf16" else 1)
        weights += 2 * 2 * self.words * self.hidden
        share, other = MEMORY[s.backend]
        room = s.tp * (share * self.memory_bytes - other) - weights
        return int(room / self.kv_bytes_per_token)

    def step_ms(self, prompts: int, length: int, decoding: int, context: int) -> float:
        """A step that computes `prompts` prompts of `length` tokens and one token each of `decoding` sequences, which
        attend to `context` tokens each."""
        s = self.setting
        tokens = prompts * length + decoding
        heads, kv_heads = self.heads // s.tp, max(self.kv_heads // s.tp, 1)
        precision, inner = PRECISIONS[s.precision], self.inner // s.tp
        layer = (
            self.product_ms(tokens, (heads + 2 * kv_heads) * HEAD, self.hidden, precision)
            + self.product_ms(tokens, self.hidden, heads * HEAD, precision)
            + self.product_ms(tokens, 2 * inner, self.hidden, precision)
            + self.product_ms(tokens, self.hidden, inner, precision)
            + 2 * self._memory_ms(tokens * 4 * self.hidden)
            + self._memory_ms(tokens * 3 * inner)
        )
        if s.tp > 1:
            layer += 2 * self._reduce_ms(2 * tokens * self.hidden, "eager" if prompts else "graph")
        if prompts:
            layer += _bilinear(*self._context, prompts, length)
        if decoding:
            layer += _bilinear(*self._generation, decoding, context)
        words = self.product_ms(prompts + decoding, self.words // s.tp, self.hidden, "bfloat16")
        return self.layers * layer + words + self._memory_ms(tokens * 2 * self.hidden)

    def product_ms(self, m: int, n: int, k: int, precision: str) -> float:
        """(m, k) times (k, n): linear in m, n and k between those measured, as the time of a large product is."""
        table = self._products[precision]
        (n0, n1, x), (k0, k1, y) = _between(table["n"], n), _between(table["k"], k)
        corners = ((n0, k0, (1 - x) * (1 - y)), (n1, k0, x * (1 - y)), (n0, k1, (1 - x) * y), (n1, k1, x * y))
        return sum(weight * _at(*table["times"][one, two], m) for one, two, weight in corners if weight)

    @cached_property
    def _products(self) -> dict:
        """By precision: the measured n and k, and for each pair of them the m and the times, the fastest kernel's."""
        wanted = ("gemm_dtype", "m", "n", "k", "latency")
        dtype, *columns = self._read("gemm", "gemm_perf", wanted)
        tables = {}
        for precision in {PRECISIONS[self.setting.precision], "bfloat16"}:
            m, n, k, ms = (column[dtype == precision] for column in columns)
            order = np.lexsort((ms, m, k, n))
            m, n, k, ms = m[order], n[order], k[order], ms[order]
            first = np.flatnonzero(np.diff(n * 1_000_003 + k, prepend=-1))
            times = {}
            for start, end in zip(first, [*first[1:], len(m)], strict=True):
                sizes, best = np.unique(m[start:end], return_index=True)
                # Products can be padded to more rows, and times scatter: none is longer than that of a larger one.
                least = np.minimum.accumulate(ms[start:end][best][::-1])[::-1]
                times[int(n[start]), int(k[start])] = sizes.astype(float), least
            tables[precision] = {"n": np.unique(n), "k": np.unique(k), "times": times}
        return tables

    @cached_property
    def _context(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._attention("context_attention_perf", "isl")

    @cached_property
    def _generation(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By batch and by tokens attended to: those before and the one that is made."""
        batches, steps, ms = self._attention("generation_attention_perf", "step")
        return batches, steps + 1, ms

    def _attention(self, table: str, length: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(batches, lengths, ms), nan where nothing was measured, of the heads that one GPU has."""
        s = self.setting
        heads = self.heads // s.tp, max(self.kv_heads // s.tp, 1)
        wanted = ("num_heads", "num_key_value_heads", "head_dim", "window_size", "kv_cache_dtype")
        own, kv, size, window, dtype, batch, tokens, ms = self._read(
            "attention", table, (*wanted, "batch_size", length, "latency")
        )
        rows = (own == heads[0]) & (kv == heads[1]) & (size == HEAD) & (dtype == PRECISIONS[s.kv])
        if window is not None:
            rows &= window == 0
        batches, i = np.unique(batch[rows], return_inverse=True)
        lengths, j = np.unique(tokens[rows], return_inverse=True)
        times = np.full((len(batches), len(lengths)), np.inf)
        np.minimum.at(times, (i, j), ms[rows])
        return batches.astype(float), lengths.astype(float), np.where(np.isinf(times), np.nan, times)

    @cached_property
    def _reductions(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By how it is launched, bytes and ms; the backends that were measured in one way only have it for both."""
        gpus, size, ms, kernel = self._read(
            "comm", "custom_allreduce_perf", ("num_gpus", "message_size", "latency", "kernel_source")
        )
        tables = {}
        for launched in ("eager", "graph"):
            rows = (gpus == self.setting.tp) & np.array([name.endswith(launched) for name in kernel])
            if not rows.any():
                rows = gpus == self.setting.tp
            order = np.argsort(size[rows], kind="stable")
            tables[launched] = size[rows][order].astype(float), ms[rows][order]
        return tables

    def _reduce_ms(self, size: float, launched: str) -> float:
        return _at(*self._reductions[launched], size)

    def _memory_ms(self, values: float) -> float:
        """A pass over so many 16-bit values, read or written."""
        return 2 * values / self.bytes_per_ms + self.pass_ms

    def _read(self, kind: str, table: str, columns: tuple[str, ...]) -> list[np.ndarray | None]:
        """Columns of the newest version of a table; None for one that it has not."""
        import pyarrow.parquet

        s = self.setting
        base = self.root / "systems/data" / GPUS[s.gpu] / kind / s.backend
        found = sorted(base.glob(f"*/{table}.parquet"), key=lambda path: _version(path.parent.name))
        if not found:
            raise InputError(f"{PACKAGE} has no table {table} of {s.backend} on {s.gpu}.")
        self.used[table] = found[-1].parent.name
        file = pyarrow.parquet.ParquetFile(found[-1])
        there = [name for name in columns if name in file.schema_arrow.names]
        read = file.read(columns=there)
        return [
            None
            if name not in there
            else np.array(read[name].to_pylist())
            if _text(read[name])
            else read[name].to_numpy()
            for name in columns
        ]


def steps_of(operators: Operators) -> dict[str, list[float]]:
    """Columns of the table of steps: decoding, prompts alone, and prompts beside decoding, as far as was measured."""
    rows = [(0, 0, batch, context) for batch, context in product(BATCHES, CONTEXTS)]
    rows += [(count, length, 0, 0) for count, length in product((1, 2, 4, 8, 16), PROMPTS)]
    rows += [
        (1, length, batch, context)
        for length, batch, context in product((128, 512, 1024, 2048, 4096, 8192), (4, 16, 64, 128), (1024, 4096))
    ]
    columns: dict[str, list[float]] = {
        name: [] for name in ("prefill_tokens", "prefill_squares", "decoding", "resident_tokens", "time_ms")
    }
    for count, length, batch, context in rows:
        if count * length + batch > LONGEST_STEP:
            continue
        ms = operators.step_ms(count, length, batch, context)
        if not np.isnan(ms):
            row = (count * length, count * length**2, batch, batch * context, ms)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(float(value))
    return columns


def package_version() -> str:
    return version(PACKAGE)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def _yaml_number(text: str, key: str) -> float:
    return float(re.search(rf"^\s*{key}:\s*([\d.e+-]+)", text, re.MULTILINE).group(1))


def _text(column) -> bool:
    import pyarrow

    return pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)


def _between(points: np.ndarray, value: float) -> tuple[int, int, float]:
    """The points around a value, and how far it is from the first to the second; beyond the last the line goes on."""
    i = int(np.clip(np.searchsorted(points, value), 1, len(points) - 1))
    low, high = points[i - 1], points[i]
    if value == high:
        return int(high), int(high), 0.0
    return int(low), int(high), float((value - low) / (high - low))


def _at(points: np.ndarray, values: np.ndarray, x: float) -> float:
    """Linear between the points, constant before the first, with the last slope beyond the last."""
    if x > points[-1]:
        return float(values[-1] + (values[-1] - values[-2]) / (points[-1] - points[-2]) * (x - points[-1]))
    return float(np.interp(x, points, values))


def _bilinear(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, row: float, column: float) -> float:
    """Bilinear in a table; nan outside it and where a corner was not measured."""
    if not (rows[0] <= row <= rows[-1] and columns[0] <= column <= columns[-1]):
        return np.nan
    i, j = (int(np.clip(np.searchsorted(x, at), 1, len(x) - 1)) for x, at in ((rows, row), (columns, column)))
    x = (row - rows[i - 1]) / (rows[i] - rows[i - 1])
    y = (column - columns[j - 1]) / (columns[j] - columns[j - 1])
    corners = (
        (i - 1, j - 1, (1 - x) * (1 - y)),
        (i, j - 1, x * (1 - y)),
        (i - 1, j, (1 - x) * y),
        (i, j, x * y),
    )
    return float(sum(weight * values[a, b] for a, b, weight in corners if weight))
