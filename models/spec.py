"""Specifications in text: `name` or `name:key=value,key=value`, as typed on a command line or in TOML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openqueues.models.errors import InputError, unknown


def parse_spec(text: str, what: str) -> tuple[str, dict[str, Any]]:
    """Split `weibull:shape=0.5` into ("weibull", {"shape": 0.5}).

    Values that read as numbers become floats, `true` and `false` booleans, anything else stays text.
    `what` names the thing in errors, for example "size law". Raises InputError on malformed text.
    """
    name, colon, rest = text.strip().partition(":")
    name = name.strip()
    if not name or (colon and not rest.strip()):
        raise InputError(f"{what} '{text}' is malformed: write name or name:key=value,key=value.")
    values: dict[str, Any] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise InputError(f"{what} '{text}' is malformed at '{part}': write key=value.")
        if key in values:
            raise InputError(f"{what} '{text}' gives '{key}' twice: give it once.")
        values[key] = _value(value)
    return name, values


def check_keys(values: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    """Raise InputError for a key of `values` that is not in `known`; `where` names the law or policy."""
    for key in values:
        if key not in known:
            if not known:
                raise InputError(f"{where} takes no parameters, but '{key}' was given: leave it out.")
            raise unknown(f"parameter of {where}", key, known)


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text
