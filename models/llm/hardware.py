"""How long one iteration of the engine takes on a given model and hardware, and what else they fix.

An iteration computes L prompt tokens, decodes B sequences and attends to K resident KV tokens for these; L2 is
the sum over the requests in prefill of (end of their chunk)^2 - (its start)^2, so that it adds up to the squared
prompt lengths whatever the chunks. Its time is

    max(additive + tile_ms ceil((L + B) / tile_tokens) + table(L + B),  compute_step_ms + compute_token_ms (L + B))

    L > 0:  additive = prompts + decode_seq_ms B + kv_token_ms K with
            prompts = prefill_step_ms + prefill_token_ms L + prefill_token2_ms L2, or mixed_step_ms where that is more,
            above 0 and B > 0
    L = 0:  additive = decode_step_ms + decode_seq_ms B + kv_token_ms K,
            with the decode2 constants and kv2_token_ms instead when from_batch > 0 and B >= from_batch

where the tile term is left out for tile_tokens = 0, and table() is 0 without a table, else linear between its
points, constant before the first and with the last slope beyond the last. The second regime is of steps that only
decode. mixed_step_ms is for laws fitted to steps of prompts only and of decoding only, as Splitwise's: every step reads
the weights, which computing prompts hides and decode_step_ms measures, so that a mixed step, too, takes that long
beside its decoding; without it one with few tokens of prompts would be shorter than a step that only decodes.

A law is a name of the catalogues (published laws in hardware.toml, laws fitted to measured operators in
hardware_measured.toml), such a name with keys changed (`name:key=value,key=value`), a TOML file with the same keys, or
the keys alone (`key=value,key=value`).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.spec import parse_spec

PUBLISHED, MEASURED = (Path(__file__).parent / name for name in ("hardware.toml", "hardware_measured.toml"))
LAYOUT = (
    "prefill_step_ms",
    "prefill_token_ms",
    "prefill_token2_ms",
    "decode_step_ms",
    "decode_seq_ms",
    "kv_token_ms",
    "from_batch",
    "decode2_step_ms",
    "decode2_seq_ms",
    "kv2_token_ms",
    "tile_tokens",
    "tile_ms",
    "compute_step_ms",
    "compute_token_ms",
    "mixed_step_ms",
)
"""What stands where in the first array of `Hardware.coefficients`."""
_STEPS = {"prefill_step_ms", "decode_step_ms", "decode2_step_ms"}
_WHOLE = {"from_batch", "tile_tokens", "kv_tokens", "max_batch"}


@dataclass(frozen=True)
class Hardware:
    """An iteration-time law (the head of this module has the formula) with memory, power and price; 0 where not known.

    Times are in ms. Raises InputError for a coefficient that makes no sense, or where decoding would take no time;
    prefill may be free.
    """

    name: str = "inline"
    source: str = ""
    """Where the numbers come from."""
    prefill_step_ms: float = 0.0
    prefill_token_ms: float = 0.0
    prefill_token2_ms: float = 0.0
    decode_step_ms: float = 0.0
    decode_seq_ms: float = 0.0
    kv_token_ms: float = 0.0
    from_batch: int = 0
    """Fewest decoding sequences of the second regime; 0: there is one regime."""
    decode2_step_ms: float = 0.0
    decode2_seq_ms: float = 0.0
    kv2_token_ms: float = 0.0
    tile_tokens: int = 0
    tile_ms: float = 0.0
    table_tokens: tuple[float, ...] = ()
    table_ms: tuple[float, ...] = ()
    compute_step_ms: float = 0.0
    """Least time of any step; it also keeps a fit with a negative constant above 0."""
    compute_token_ms: float = 0.0
    mixed_step_ms: float = 0.0
    """Least time of the prompts of a step that also decodes; 0: what they take in a step of their own."""
    kv_tokens: int = 0
    """KV capacity in tokens; 0: not known, no limit."""
    kv_bytes_per_token: float = 0.0
    max_batch: int = 0
    """Most requests in a batch; 0: no limit of the hardware law."""
    swap_bytes_per_s: float = 0.0
    """Bandwidth between GPU and host memory, each way; 0: not known."""
    power_idle_w: float = 0.0
    power_busy_w: float = 0.0
    price_per_hour: float = 0.0
    """US dollars for all GPUs of the replica."""

    def __post_init__(self):
        where = f"hardware '{self.name}'"
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("name", "source"):
                if not isinstance(value, str):
                    raise InputError(f"{where} has {field.name}={value!r}, but it must be a text.")
            elif field.name in ("table_tokens", "table_ms"):
                numbers = value if isinstance(value, list | tuple) else (value,)
                if not all(_is_number(one) for one in numbers):
                    raise InputError(f"{where} has {field.name}={value!r}, but it must be a list of finite numbers.")
                object.__setattr__(self, field.name, tuple(float(one) for one in numbers))
            else:
                self._check_number(where, field.name, value)
        self._check_table(where)
        if bool(self.tile_tokens) != bool(self.tile_ms):
            raise InputError(f"{where} has a staircase with only one of tile_tokens and tile_ms: give both.")
        if self.from_batch == 0 and (self.decode2_step_ms or self.decode2_seq_ms or self.kv2_token_ms):
            raise InputError(f"{where} has constants of a second regime but no from_batch: say where it begins.")
        steps = {"decode": self.step_ms(0, 0, 1, 1)}
        if self.from_batch:
            steps["decode in the second regime"] = self.step_ms(0, 0, self.from_batch, self.from_batch)
        for step, time in steps.items():
            if not time > 0:
                raise InputError(
                    f"{where} has a step of {step} that takes {time:g} ms: give coefficients that make every step"
                    " longer than 0, or a least time compute_step_ms."
                )

    def _check_number(self, where, name, value):
        right = "a whole number of at least 0" if name in _WHOLE else "a finite number of at least 0"
        if name in _STEPS:
            right = "a finite number (below 0 only with compute_step_ms above 0)"
        low = -math.inf if name in _STEPS and _is_number(self.compute_step_ms) and self.compute_step_ms > 0 else 0
        if not _is_number(value) or value < low or (name in _WHOLE and value != int(value)):
            raise InputError(f"{where} has {name}={value}, but {name} must be {right}.")
        object.__setattr__(self, name, int(value) if name in _WHOLE else float(value))

    def _check_table(self, where):
        tokens, times = self.table_tokens, self.table_ms
        if len(tokens) != len(times):
            raise InputError(f"{where} has {len(tokens)} table_tokens and {len(times)} table_ms: give as many of both.")
        if len(tokens) == 1:
            raise InputError(f"{where} has a table of one point: give at least two.")
        if any(b <= a for a, b in zip(tokens, tokens[1:], strict=False)) or any(one < 0 for one in tokens):
            raise InputError(f"{where} has table_tokens that do not ascend from at least 0.")
        if any(b < a for a, b in zip(times, times[1:], strict=False)) or any(one < 0 for one in times):
            raise InputError(f"{where} has table_ms that fall: give times of at least 0 that do not.")

    def coefficients(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(float64 array in the order of LAYOUT, table_tokens, table_ms), times in ms."""
        return (
            np.array([getattr(self, name) for name in LAYOUT], dtype=np.float64),
            np.array(self.table_tokens, dtype=np.float64),
            np.array(self.table_ms, dtype=np.float64),
        )

    def step_ms(self, prefill: float, prefill2: float, decoding: float, resident: float) -> float:
        """Time of an iteration with L, L2, B and K of the head of this module; the readable form, not the fast one."""
        tokens = prefill + decoding
        if prefill > 0:
            time = self.prefill_step_ms + self.prefill_token_ms * prefill + self.prefill_token2_ms * prefill2
            if decoding > 0 and self.mixed_step_ms > 0:
                time = max(time, self.mixed_step_ms)
            time += self.decode_seq_ms * decoding + self.kv_token_ms * resident
        elif 0 < self.from_batch <= decoding:
            time = self.decode2_step_ms + self.decode2_seq_ms * decoding + self.kv2_token_ms * resident
        else:
            time = self.decode_step_ms + self.decode_seq_ms * decoding + self.kv_token_ms * resident
        if self.tile_tokens:
            time += self.tile_ms * math.ceil(tokens / self.tile_tokens)
        if self.table_tokens:
            time += self._table(tokens)
        return max(time, self.compute_step_ms + self.compute_token_ms * tokens)

    def energy_j(self, busy_s: float, makespan_s: float) -> float | None:
        """Joules of a run with `busy_s` seconds of iterations in `makespan_s`; None where the power is not known."""
        if not self.power_busy_w:
            return None
        return self.power_busy_w * busy_s + self.power_idle_w * (makespan_s - busy_s)

    def usd(self, makespan_s: float) -> float | None:
        """US dollars of a run; None where the price is not known."""
        return self.price_per_hour * makespan_s / 3600 if self.price_per_hour else None

    def _table(self, tokens):
        xs, ys = self.table_tokens, self.table_ms
        if tokens > xs[-1]:
            return ys[-1] + (ys[-1] - ys[-2]) / (xs[-1] - xs[-2]) * (tokens - xs[-1])
        return float(np.interp(tokens, xs, ys))


def hardware_law(law: str | Hardware) -> Hardware:
    """The law that a text names: `name`, `name:key=value,...`, `key=value,...` or a path that ends in .toml.

    The points of a table are separated by `|`: `table_tokens=64|128,table_ms=22.7|24.1`. InputError for another text.
    """
    if isinstance(law, Hardware):
        return law
    if not isinstance(law, str) or not law.strip():
        raise InputError(f"hardware must be a name, a TOML file or a text such as 'decode_step_ms=20', not {law!r}.")
    if law.endswith(".toml"):
        return _from_file(Path(law))
    inline = "=" in law.partition(":")[0]
    name, values = parse_spec(f"inline:{law}" if inline else law, "hardware")
    base = None if inline else _named(name)
    for key in ("table_tokens", "table_ms"):
        if key in values:
            values[key] = [_number_or_text(part) for part in str(values[key]).split("|")]
    if inline:
        return _made("inline", values)
    _known(name, values)
    return replace(base, **values) if values else base


def names() -> tuple[str, ...]:
    """The names of the published laws, then those of the fitted ones."""
    return (*_catalogue(PUBLISHED), *_catalogue(MEASURED))


def _named(name: str) -> Hardware:
    """The second catalogue is long, and read only where the first has not the name."""
    for catalogue in (PUBLISHED, MEASURED):
        if name in _catalogue(catalogue):
            return _catalogue(catalogue)[name]
    raise unknown("hardware", name, names())


@lru_cache(maxsize=2)
def _catalogue(path: Path) -> dict[str, Hardware]:
    with open(path, "rb") as stream:
        return {name: _made(name, values) for name, values in tomllib.load(stream).items()}


def _from_file(path: Path) -> Hardware:
    try:
        with open(path, "rb") as stream:
            values = tomllib.load(stream)
    except OSError as error:
        raise InputError(f"cannot read the hardware file '{path}': {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the hardware file '{path}' is not valid TOML: {error}.") from None
    return _made(values.pop("name", path.stem), values)


def _made(name: str, values: Mapping[str, Any]) -> Hardware:
    _known(name, values)
    return Hardware(name=name, **values)


def _known(name: str, values: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(Hardware)} - {"name"}
    for key in values:
        if key not in known:
            raise unknown(f"key of hardware '{name}'", key, known)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number_or_text(text):
    try:
        return float(text)
    except ValueError:
        return text
