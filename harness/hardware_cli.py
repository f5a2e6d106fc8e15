"""`openqueues hardware`: iteration-time laws fitted to measured steps."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import hardware_measure, hardware_validate
from openqueues.law_file import check_out, write_law
from openqueues.models.errors import InputError

if TYPE_CHECKING:
    from openqueues.models.llm import Steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `openqueues hardware` to its parser."""
    kinds = parser.add_subparsers(metavar="ACTION", dest="action", required=True, parser_class=type(parser))
    kind = kinds.add_parser("fit", help="a law fitted to measured times of steps", allow_abbrev=False)
    kind.add_argument(
        "--steps",
        metavar="FILE.csv",
        help="your own steps: prefill_tokens, prefill_squares, decoding, resident_tokens, time_ms",
    )
    kind.add_argument("--name", metavar="NAME", help="with --steps: the law's name (default: the file's)")
    add = kind.add_argument
    add("--model", metavar="M", help="instead of --steps, from the measured operators of the extra `hardware`")
    add("--gpu", metavar="G", default="h100", help="with --model: a100, h100 (default) or h200")
    add("--backend", metavar="B", default="vllm", help="with --model: vllm (default), trtllm or sglang")
    add("--tp", metavar="N", default="1", help="with --model: GPUs that share each layer (default: 1)")
    add("--precision", metavar="P", default="bf16", help="with --model: bf16 (default), fp8 or fp8-block weights")
    add("--kv", metavar="P", default="bf16", choices=("bf16", "fp8"), help="with --model: KV cache (default: bf16)")
    kind.add_argument("--out", metavar="FILE.toml", help="write the law to this file (default: print it)")
    kind = kinds.add_parser("validate", help="the engine against measured TTFT and TPOT", allow_abbrev=False)
    hardware_validate.add_arguments(kind)
    kind = kinds.add_parser("measure", help="a law of your own device, from steps timed on it", allow_abbrev=False)
    hardware_measure.add_arguments(kind)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line asks."""
    acts = {"fit": _fit, "validate": hardware_validate.run, "measure": hardware_measure.run}
    return acts[chosen.action](chosen)


def _fit(chosen: argparse.Namespace) -> int:
    from openqueues.models import llm

    check_out(chosen.out)
    if (chosen.steps is None) == (chosen.model is None):
        raise InputError("a law is fitted to steps: give either --steps FILE.csv or --model M.")
    if chosen.model is not None:
        return _fit_operators(chosen)
    steps = steps_of_file(chosen.steps)
    name = chosen.name or Path(chosen.steps).stem
    write_law(llm.fit_law(steps, name=name, source=f"Fitted to the steps of {Path(chosen.steps).name}"), chosen.out)
    return 0


def _fit_operators(chosen: argparse.Namespace) -> int:
    """Fit a law to the operators' times alone."""
    from openqueues import silicon
    from openqueues.operators import Setting

    if not chosen.tp.isdigit():
        raise InputError(f"--tp is '{chosen.tp}': give a whole number of GPUs.")
    setting = Setting(chosen.model, chosen.gpu, chosen.backend, int(chosen.tp), chosen.precision, chosen.kv)
    write_law(silicon.operator_fit(setting), chosen.out)
    return 0


def steps_of_file(path: str) -> Steps:
    """The measured steps of a CSV file with a header. InputError where it cannot be read."""
    from openqueues.models import llm

    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"cannot read the steps '{path}': {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"the steps '{path}' are not readable as CSV.") from None
    if not rows:
        raise InputError(f"the steps '{path}' have no rows.")
    return llm.read_steps({name: [row[name] for row in rows] for name in rows[0]})
