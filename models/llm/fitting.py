"""Fitting the iteration-time law of hardware.py to a table of step times, and writing the law down.

Of a step the table says what it computes (L, L2, B, K of hardware.py) and how long it took. The law fitted is

    L > 0:  prefill_step + prefill_token L + prefill_token2 L2 + decode_seq B + kv_token K + table(L + B)
    L = 0:  decode_step + decode_seq B + kv_token K + table(B)

with no coefficient below 0 and a table that starts at 0 and never falls. The table has what the matrix products take,
whose time is no line: a floor while the weights are read, then steps, then tokens by floating-point operations. All
this is linear in the coefficients, so non-negative least squares finds the one best fit, of relative errors: each
row is divided by its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.hardware import Hardware

COLUMNS = ("prefill_tokens", "prefill_squares", "decoding", "resident_tokens", "time_ms")
LINEAR = ("prefill_step_ms", "prefill_token_ms", "prefill_token2_ms", "decode_step_ms", "decode_seq_ms", "kv_token_ms")
DIGITS = 6
_NEAREST = 1.15


@dataclass(frozen=True, eq=False)
class Steps:
    """Measured steps, arrays of one value a step. Raises InputError, naming the row, for values that make no sense."""

    prefill_tokens: np.ndarray
    """L, tokens of prompts that the step computes; 0: it only decodes."""
    prefill_squares: np.ndarray
    """L2, the sum over the prompts of (end of the chunk)^2 - (its start)^2."""
    decoding: np.ndarray
    """B, sequences that make one more token."""
    resident_tokens: np.ndarray
    """K, tokens that these attend to."""
    time_ms: np.ndarray

    def __post_init__(self):
        for name in COLUMNS:
            values = np.array(getattr(self, name), np.float64)
            if values.ndim != 1 or len(values) != len(self.time_ms) or not len(values):
                raise InputError(f"column {name} of the steps must have one value for each of the steps.")
            good = np.isfinite(values) & ((values > 0) if name == "time_ms" else (values >= 0))
            if not good.all():
                i = int(np.argmin(good))
                right = "above 0" if name == "time_ms" else "at least 0"
                raise InputError(f"{name} of step {i} is {values[i]:g}, but must be a finite number, {right}.")
            object.__setattr__(self, name, values)
        empty = self.prefill_tokens + self.decoding <= 0
        if empty.any():
            raise InputError(f"step {int(np.argmax(empty))} computes nothing: prefill_tokens and decoding are both 0.")

    def __len__(self) -> int:
        return len(self.time_ms)

    def part(self, rows: np.ndarray) -> Steps:
        """The steps that a mask or numbers of rows name."""
        return Steps(*(getattr(self, name)[rows] for name in COLUMNS))


@dataclass(frozen=True, eq=False)
class Fit:
    """A law and how well it says the steps that it was fitted to."""

    law: Hardware
    error: np.ndarray
    """Time by the law over the measured one, less 1, one value a step."""

    @property
    def summary(self) -> str:
        """The errors in a few words: `of 512 steps half are within 1.2%, 90% within 4.0%, all within 11.3%`."""
        half, most, worst = (f"{100 * np.quantile(np.abs(self.error), q):.1f}%" for q in (0.5, 0.9, 1.0))
        return f"of {len(self.error)} steps half are within {half}, 90% within {most}, all within {worst}"


def read_steps(columns: Mapping[str, Sequence[Any]]) -> Steps:
    """Steps from columns by name; others than COLUMNS are ignored. InputError for one that is absent or no number."""
    for name in COLUMNS:
        if name not in columns:
            raise InputError(f"the table of steps has no column {name}: it needs {', '.join(COLUMNS)}.")
    try:
        arrays = [np.array(columns[name], np.float64) for name in COLUMNS]
    except (ValueError, TypeError):
        raise InputError("the table of steps holds a value that is not a number.") from None
    return Steps(*arrays)


def fit_law(steps: Steps, *, name: str, source: str, knots: Sequence[float] | None = None, **known: Any) -> Fit:
    """Fit a law to steps.

    knots: tokens at which the table has points, ascending; by default those among the steps' numbers of tokens, thinned
    to factors of at least 1.15; (): no table. known: further keys of Hardware, as kv_tokens, taken as they are.

    Raises InputError for steps of which none, or fewer than there are coefficients to find, only decode.
    """
    from scipy.optimize import nnls

    tokens = steps.prefill_tokens + steps.decoding
    points = _thinned(tokens) if knots is None else np.asarray(knots, np.float64)
    ramps = _ramps(tokens, points)
    prompts = steps.prefill_tokens > 0
    matrix = np.column_stack(
        [prompts, steps.prefill_tokens, steps.prefill_squares, ~prompts, steps.decoding, steps.resident_tokens, ramps]
    ).astype(np.float64)
    decoding = int((~prompts).sum())
    if decoding < 3:
        raise InputError(f"{decoding} of {len(steps)} steps only decode: give at least 3, with different batches.")
    shares = matrix / steps.time_ms[:, None]
    size = np.sqrt((shares**2).sum(axis=0))
    size[size == 0] = 1.0
    found, _ = nnls(shares / size, np.ones(len(steps)))
    found = found / size
    values = {key: _short(value) for key, value in zip(LINEAR, found, strict=False)}
    rises = found[len(LINEAR) :]
    if rises.any():
        values["table_tokens"] = [float(point) for point in points]
        values["table_ms"] = [0.0, *(_short(value) for value in np.cumsum(rises))]
    law = Hardware(name=name, source=source, **values, **known)
    return Fit(law, law_ms(law, steps) / steps.time_ms - 1.0)


def law_ms(law: Hardware, steps: Steps) -> np.ndarray:
    """The time of each step by a law, in ms."""
    rows = zip(*(getattr(steps, name) for name in COLUMNS[:-1]), strict=True)
    return np.array([law.step_ms(*row) for row in rows])


def corrected(law: Hardware, *, scale: float = 1.0, step_ms: float = 0.0, seq_ms: float = 0.0) -> Hardware:
    """The law with every time multiplied by `scale`, and `step_ms` more in each step, or less if that is below 0, and
    `seq_ms` more for each sequence that decodes.

    A constant that would fall below 0 is 0, but decoding one token takes a tenth of its time by the law at least.
    """
    times = [field.name for field in fields(Hardware) if field.name.endswith("_ms") and field.name != "table_ms"]
    values = {key: scale * getattr(law, key) for key in times}
    values["table_ms"] = tuple(_short(scale * one) for one in law.table_ms)
    values["prefill_step_ms"] = max(values["prefill_step_ms"] + step_ms, 0.0)
    values["decode_step_ms"] = max(values["decode_step_ms"] + step_ms, 0.1 * values["decode_step_ms"])
    values["decode_seq_ms"] += seq_ms
    return replace(law, **{key: _short(value) if key != "table_ms" else value for key, value in values.items()})


def law_text(law: Hardware, *, section: bool = False) -> str:
    """The law as TOML that `hardware_law` reads, without defaults: a file of its own, or a section of a catalogue."""
    # A dot in a bare key would begin a table inside another.
    lines = [f"[{_quoted(law.name)}]" if section else f"name = {_quoted(law.name)}"]
    for field in fields(Hardware):
        value = getattr(law, field.name)
        if field.name != "name" and value != field.default:
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _thinned(tokens: np.ndarray) -> np.ndarray:
    """Ascending numbers of tokens among those given, each at least _NEAREST times the one before."""
    kept: list[float] = []
    for value in np.unique(tokens):
        if not kept or value >= _NEAREST * kept[-1]:
            kept.append(float(value))
    return np.array(kept)


def _ramps(tokens: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(steps, points - 1): how far each number of tokens is from one point to the next, 0 to 1; the last goes on."""
    if len(points) < 2:
        return np.zeros((len(tokens), 0))
    ramps = (tokens[:, None] - points[:-1]) / np.diff(points)
    return np.column_stack([np.clip(ramps[:, :-1], 0.0, 1.0), np.maximum(ramps[:, -1], 0.0)])


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return f"{value:.{DIGITS}g}" if value != int(value) else str(int(value))


def _quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'
