"""How a group of measurements was served, and what corrects the operators' times: from its fitting rows alone.

The sources leave open how the backend formed batches and what the load generator sent: MENUS has what may be. How much
is fitted is chosen by cross-validation between FREEDOMS, each of which fits more than the one before: the fitting rows
are dealt to folds by configuration, and what is found without a fold predicts it. The freedom with the least errors is
then fitted to all fitting rows. No row outside of them has a say in any of this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from openqueues.silicon import Row, Serving, predictions, shuffled
from openqueues.silicon_results import TARGETS

MENUS = {
    "vllm": {"policy": ("sarathi",), "prompts": (0, 100)},
    "trtllm": {"policy": ("orca",), "places_lost": (0, 1)},
    "sglang": {"policy": ("vllm", "sarathi"), "prompts": (0, 100)},
}
"""Of each backend, beside COMMON; the first is what is taken where nothing can be chosen."""
COMMON = {"token_budget": (8192, 4096, 2048), "think_s": (0.0, 0.003, 0.01), "rounds": (10, 5, 2)}
KV = {"bf16": ("bf16",), "fp8": ("bf16", "fp8"), "fp8-block": ("bf16", "fp8")}
"""Of the KV cache, by the precision of the weights."""
FREEDOMS: dict[str, tuple[str, ...] | None] = {
    "nothing": None,
    "serving": (),
    "serving, scale, step": ("scale", "step_ms"),
    "serving, scale, step, sequence": ("scale", "step_ms", "seq_ms"),
}
"""What may be fitted: nothing; how the rows were served; that and a correction of the times."""
FOLDS, LEAST_CONFIGURATIONS = 4, 4
STEPS = 2
"""Of Gauss and Newton's, toward the correction."""
_NUDGE = {"step_ms": 0.5, "seq_ms": 0.01}
_LARGEST_MOVE = {"scale": 0.5, "step_ms": 5.0, "seq_ms": 0.2}


@dataclass(frozen=True)
class Found:
    """How a group was served, and what its fitting half says of that."""

    serving: Serving
    freedom: str
    """What was fitted, of FREEDOMS."""
    tpot: float = np.nan
    ttft: float = np.nan
    """Median absolute errors in cross-validation; nan where there are too few configurations for it."""

    @property
    def corrects(self) -> bool:
        """Whether it changes the operators' times."""
        return bool(FREEDOMS[self.freedom])


def found(group: tuple[str, ...], rows: list[Row]) -> Found:
    """What its fitting rows say of a group. With fewer than LEAST_CONFIGURATIONS of them nothing is fitted."""
    _, _, backend, precision = group
    menu = {"places_lost": (0,), **MENUS[backend], "kv": KV[precision], **COMMON}
    configurations = shuffled(row.configuration for row in rows)
    if len(configurations) < LEAST_CONFIGURATIONS:
        return Found(_fitted(rows, menu, None), "nothing")
    fold = {name: number % FOLDS for number, name in enumerate(configurations)}
    errors = {freedom: np.full((len(rows), 2), np.nan) for freedom in FREEDOMS}
    for number in range(FOLDS):
        out = np.array([fold[row.configuration] == number for row in rows])
        seen, left = ([row for row, one in zip(rows, out, strict=True) if one == side] for side in (False, True))
        for freedom, free in FREEDOMS.items():
            errors[freedom][out] = _log_errors(left, _fitted(seen, menu, free))
    best = min(FREEDOMS, key=lambda freedom: _loss(errors[freedom]))
    ttft, tpot = np.median(np.abs(np.expm1(np.nan_to_num(errors[best], nan=np.inf))), axis=0)
    return Found(_fitted(rows, menu, FREEDOMS[best]), best, float(tpot), float(ttft))


def _fitted(rows: list[Row], menu: dict[str, tuple], free: tuple[str, ...] | None) -> Serving:
    """The serving that fits the rows best, as far as it is free."""
    serving = Serving(**{key: values[0] for key, values in menu.items()})
    if free is None:
        return serving
    serving = _chosen(rows, serving, menu, scaled=bool(free))
    return _corrected(rows, serving, free) if free else serving


def _chosen(rows: list[Row], serving: Serving, menu: dict[str, tuple], scaled: bool) -> Serving:
    """The best of a menu, point by point, until no point of it is better with the others as they are."""
    while True:
        before = serving
        for key, values in menu.items():
            choices = [serving, *(replace(serving, **{key: value}) for value in values)]
            serving = min(choices, key=lambda one: _loss(_log_errors(rows, one), scaled))
        if serving == before:
            return serving


def _log_errors(rows: list[Row], serving: Serving) -> np.ndarray:
    """(rows, 2): log of predicted over measured TTFT and TPOT, nan where a row cannot run."""
    return np.log(predictions(rows, serving)[0]) - np.log([[row.ttft_ms, row.tpot_ms] for row in rows])


def _loss(error: np.ndarray, scaled: bool = False) -> float:
    """Median absolute log errors of TTFT and TPOT, in units of what we want; rows that cannot run count as e times.

    scaled: as if all times had the factor that a correction would find.
    """
    if scaled and np.isfinite(error).any():
        error = error - np.nanmedian(error[:, 1])
    size = np.nan_to_num(np.abs(error), nan=1.0)
    return float(np.median(size[:, 0]) / TARGETS["ttft"] + np.median(size[:, 1]) / TARGETS["tpot"])


def _corrected(rows: list[Row], serving: Serving, free: tuple[str, ...]) -> Serving:
    """The serving with the correction that brings the errors down: Gauss-Newton on weighted errors.

    Weights of 1 / (1 + |error|) let a row that is far off pull no more than any other.
    """
    unit = np.array([TARGETS["ttft"], TARGETS["tpot"]])
    now, tried = serving, []
    for _ in range(STEPS):
        error = _log_errors(rows, now)
        tried.append((_loss(error), len(tried), now))
        # All times but the short think time grow by the factor, so that the slope of their logarithms is 1.
        slopes = [np.ones_like(error)]
        slopes += [(_log_errors(rows, _moved(now, {key: _NUDGE[key]})) - error) / _NUDGE[key] for key in free[1:]]
        matrix, error = np.column_stack([(slope / unit).ravel() for slope in slopes]), (error / unit).ravel()
        good = np.isfinite(error) & np.isfinite(matrix).all(axis=1)
        weight = 1 / (1 + np.abs(error[good]))
        moves = np.linalg.lstsq(matrix[good] * weight[:, None], -error[good] * weight, rcond=None)[0]
        now = _moved(now, dict(zip(free, moves.tolist(), strict=True)))
    tried.append((_loss(_log_errors(rows, now)), len(tried), now))
    return min(tried)[2]


def _moved(serving: Serving, moves: dict[str, float]) -> Serving:
    """The serving with its correction moved, the scale by a factor; no sequence takes less than no time."""
    moves = {key: float(np.clip(value, -_LARGEST_MOVE[key], _LARGEST_MOVE[key])) for key, value in moves.items()}
    return replace(
        serving,
        scale=serving.scale * float(np.exp(moves.get("scale", 0.0))),
        step_ms=serving.step_ms + moves.get("step_ms", 0.0),
        seq_ms=max(serving.seq_ms + moves.get("seq_ms", 0.0), 0.0),
    )
