"""A fitted law as a file that `openqueues llm --hardware` reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues.models.errors import InputError
from openqueues.results import replace

if TYPE_CHECKING:
    from openqueues.models.llm import Fit


def write_law(fit: Fit, out: str | None) -> None:
    """Write a fitted law as TOML that `openqueues llm --hardware` reads, or print it, and say how well it fits."""
    from openqueues.models import llm

    text = f"# {fit.summary[0].upper()}{fit.summary[1:]} of the measured time.\n{llm.law_text(fit.law)}"
    if out is None:
        print(text, end="")
        return
    replace(Path(out), lambda target: Path(target).write_text(text, encoding="utf-8"))
    print(f"{out}: {fit.summary} of the measured time", file=sys.stderr)
    print(f"openqueues llm --hardware {out} ...", file=sys.stderr)


def check_out(out: str | None) -> None:
    """Raise InputError where --out is no name of a TOML file."""
    if out is not None and not out.endswith(".toml"):
        raise InputError(f"--out is '{out}': give a file that ends in .toml.")
