"""The one error that a user can cause: its message is shown as it is, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave is wrong; the message says what, where, and what would be right."""


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among `known`; suggests the nearest one, else lists them all."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}."
    return InputError(f"unknown {what} '{name}': {hint}")
