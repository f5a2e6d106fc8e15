"""`openqueues hardware validate`: the engine in the closed loops of measured rows, and the laws that come out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import operators, results, silicon, silicon_fit, silicon_results
from openqueues.models.errors import InputError
from openqueues.operators import Setting
from openqueues.silicon import Row
from openqueues.silicon_fit import Found

if TYPE_CHECKING:
    from openqueues.models.llm import Hardware

# What the catalogue also has, though nothing was measured end to end: the least tp with room for a KV cache.
_UNMEASURED = {
    ("llama-3.1-8b", "a100"): (1, "bf16"),
    ("llama-3.1-8b", "h100"): (1, "fp8"),
    ("llama-3.1-8b", "h200"): (1, "fp8"),
    ("qwen3-32b", "a100"): (2, "bf16"),
    ("qwen3-32b", "h100"): (1, "fp8"),
    ("qwen3-32b", "h200"): (1, "fp8"),
    ("llama-3.1-70b", "a100"): (4, "bf16"),
    ("llama-3.1-70b", "h100"): (2, "fp8"),
    ("llama-3.1-70b", "h200"): (1, "fp8"),
}
_HEAD = """\
# Iteration-time laws of current GPUs and backends, in ms; the keys are those of the class Hardware. Made by
# `openqueues hardware validate --laws FILE`: step times of a dense model are composed of measured operator times, and
# the law is fitted to them; what half of the end-to-end measurements say is then corrected (a scale, a constant of each
# step and of each sequence), and the other half says how far off the law is. Names: model, GPU, GPUs, weights, backend.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues hardware validate`."""
    for name, known in (("model", operators.MODELS), ("gpu", operators.GPUS), ("backend", operators.BACKENDS)):
        parser.add_argument(f"--{name}", choices=list(known), help=f"only this {name} (default: all)")
    parser.add_argument("--out", metavar="FILE.csv", help="write a row per measurement to this file")
    parser.add_argument("--laws", metavar="FILE.toml", help="write the laws of all models to this catalogue")


def run(chosen: argparse.Namespace) -> int:
    """Print the errors of each group; 1 where no measurement fits what was asked for."""
    for option, suffix in (("out", ".csv"), ("laws", ".toml")):
        name = getattr(chosen, option)
        if name is not None and not name.endswith(suffix):
            raise InputError(f"--{option} is '{name}': give a file that ends in {suffix}.")
    asked = [chosen.model, chosen.gpu, chosen.backend]
    if chosen.laws is not None and any(asked):
        raise InputError("--laws is a catalogue of all models: leave --model, --gpu and --backend out.")
    rows = [
        row
        for row in silicon.measured_rows()
        if all(want in (None, value) for want, value in zip(asked, row.group, strict=False))
    ]
    if not rows:
        raise InputError("the package holds no end-to-end measurement of that model on that GPU under that backend.")
    predicted, found = validated(rows, say)
    if chosen.out is not None:
        silicon_results.write(predicted, Path(chosen.out))
    if chosen.laws is not None:
        text = catalogue(rows, predicted, found)
        results.replace(Path(chosen.laws), lambda target: Path(target).write_text(text, encoding="utf-8"))
    from openqueues.listing import columns

    print(columns(silicon_results.table(predicted), right=range(4, 13)))
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def validated(rows: list[Row], say: Callable[[str], None]) -> tuple[list[dict], dict[tuple, Found]]:
    """(a result a row, what was found for each group from its fitting half alone)."""
    half = silicon.fitting_half(rows)
    predicted, found = [], {}
    for group in sorted({row.group for row in rows}):
        mine = [row for row in rows if row.group == group]
        one = silicon_fit.found(group, [row for row in mine if row.configuration in half])
        say(f"{' '.join(group)}: {len(mine)} rows; fitted: {one.freedom}; {one.serving.words}")
        found[group] = one
        times, reasons = silicon.predictions(mine, one.serving)
        for row, (ttft, tpot), reason in zip(mine, times, reasons, strict=True):
            part = "fitting" if row.configuration in half else "held-out"
            predicted.append(_result(row, one, part, ttft, tpot, reason))
    return predicted, found


def _result(row: Row, found: Found, half: str, ttft: float, tpot: float, reason: str) -> dict:
    s, serving = row.setting, found.serving
    return {
        "id": row.id,
        **dict(zip(silicon_results.GROUP, row.group, strict=True)),
        "version": row.version,
        "tp": s.tp,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "clients": row.clients,
        "half": half,
        "ttft_ms": row.ttft_ms,
        "tpot_ms": row.tpot_ms,
        "predicted_ttft_ms": float(ttft),
        "predicted_tpot_ms": float(tpot),
        "failed": reason,
        **{key: getattr(serving, key) for key in silicon_results.SERVING if key != "think_ms"},
        "think_ms": 1000 * serving.think_s,
        "fitted": found.freedom,
        "cross_tpot": found.tpot,
        "cross_ttft": found.ttft,
        "package": operators.package_version(),
    }


def catalogue(rows: list[Row], predicted: list[dict], found: dict[tuple, Found]) -> str:
    """The laws of all settings that were measured end to end, and of one of each model, GPU and backend, as TOML."""
    from openqueues.models import llm

    errors = {one.name: one for one in silicon_results.summaries(predicted)}
    settings = {row.setting for row in rows}
    for (model, gpu), (tp, precision) in _UNMEASURED.items():
        settings |= {Setting(model, gpu, backend, tp, precision) for backend in operators.BACKENDS}
    parts = [_HEAD]
    for setting in sorted(settings, key=lambda one: one.name):
        group = setting.model, setting.gpu, setting.backend, setting.precision
        try:
            law = law_of(setting, found.get(group), errors.get(group))
        except InputError:
            continue
        parts.append(llm.law_text(law, section=True))
    return "\n".join(parts)


def law_of(setting: Setting, found: Found | None, error: silicon_results.Summary | None) -> Hardware:
    """The law of a setting, with the correction that the fitting half of its group chose and the errors on the other
    half."""
    if found is None or error is None:
        law = silicon.operator_law(setting)
        return replace(law, source=f"{law.source}; no end-to-end measurement to compare it with")
    law, one = silicon.law_of(setting, found.serving), found.serving
    change = "not corrected"
    if found.corrects:
        change = f"times x {one.scale:.3f} {one.step_ms:+.2f} ms a step {1000 * one.seq_ms:+.1f} us a sequence"
        change += f" by {error.fitting} end-to-end measurements"
    how = f"median errors on {error.held_out} others: TPOT {100 * error.tpot:.1f}%, TTFT {100 * error.ttft:.1f}%"
    return replace(law, source=f"{law.source}; {change}; {how}")
