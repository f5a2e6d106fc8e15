"""`openqueues hardware`: iteration-time laws fitted to measured steps."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import hardware_measure
from openqueues.models.errors import InputError
from openqueues.results import replace

if TYPE_CHECKING:
    from openqueues.models.llm import Fit, Steps


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
    kind.add_argument("--out", metavar="FILE.toml", help="write the law to this file (default: print it)")
    kind = kinds.add_parser("measure", help="a law of your own device, from steps timed on it", allow_abbrev=False)
    hardware_measure.add_arguments(kind)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line asks."""
    return hardware_measure.run(chosen) if chosen.action == "measure" else _fit(chosen)


def _fit(chosen: argparse.Namespace) -> int:
    from openqueues.models import llm

    if chosen.steps is None:
        raise InputError("there are no steps to fit a law to: give --steps FILE.csv.")
    steps = steps_of_file(chosen.steps)
    name = chosen.name or Path(chosen.steps).stem
    write_law(llm.fit_law(steps, name=name, source=f"Fitted to the steps of {Path(chosen.steps).name}"), chosen.out)
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


def write_law(fit: Fit, out: str | None) -> None:
    """Write a fitted law as TOML that `openqueues llm --hardware` reads, or print it, and say how well it fits."""
    from openqueues.models import llm

    text = f"# {fit.summary[0].upper()}{fit.summary[1:]} of the measured time.\n{llm.law_text(fit.law)}"
    if out is None:
        print(text, end="")
        return
    check_out(out)
    replace(Path(out), lambda target: Path(target).write_text(text, encoding="utf-8"))
    print(f"{out}: {fit.summary} of the measured time", file=sys.stderr)
    print(f"openqueues llm --hardware {out} ...", file=sys.stderr)


def check_out(out: str | None) -> None:
    """Raise InputError where --out is no name of a TOML file."""
    if out is not None and not out.endswith(".toml"):
        raise InputError(f"--out is '{out}': give a file that ends in .toml.")
