"""Reading and checking the parameters of a law: a complaint names law, parameter and what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from openqueues.models.errors import InputError, unknown
from openqueues.models.spec import check_keys, parse_spec


class Parameters:
    """The parameters of one specification, taken one by one; `done` refuses the ones nobody took.

    `where` names the law in errors, for example "size law 'weibull'".
    """

    def __init__(self, where: str, values: dict[str, Any]):
        self.where = where
        self._left = dict(values)
        self._known: dict[str, None] = {}

    def has(self, name: str) -> bool:
        self._known[name] = None
        return name in self._left

    def number(self, name: str, default: float | None = None, *, right: str, valid: Callable[[float], bool]) -> float:
        """A finite number for which `valid` holds; `right` says in words which numbers those are."""
        if not self.has(name):
            if default is None:
                raise self._missing(name, f"NUMBER, {right}")
            return float(default)
        value = self._left.pop(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not valid(value):
            raise InputError(f"{self.where} has {name}={_shown(value)}, but {name} must be {right}.")
        return float(value)

    def positive(self, name: str, default: float | None = None) -> float:
        return self.number(name, default, right="a finite number above 0", valid=lambda value: value > 0)

    def positives(self, name: str) -> tuple[float, ...]:
        """Numbers joined by bars, as in 1|5|30."""
        right = "finite numbers above 0 joined by bars, as in 1|5|30"
        text = self.text(name, right=right)
        try:
            numbers = tuple(float(part) for part in text.split("|"))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < number < math.inf for number in numbers):
            raise InputError(f"{self.where} has {name}={text}, but {name} must be {right}.")
        return numbers

    def share(self, name: str) -> float:
        return self.number(name, right="a probability from 0 to 1", valid=lambda value: 0 <= value <= 1)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        right = f"a whole number from {low} to {high}"
        return int(self.number(name, default, right=right, valid=lambda v: low <= v <= high and v == int(v)))

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        if not self.has(name):
            return default
        value = self._left.pop(name)
        if value not in choices:
            right = _either(choices)
            raise InputError(f"{self.where} has {name}={_shown(value)}, but {name} must be {right}.")
        return value

    def text(self, name: str, default: str | None = None, *, right: str = "a text") -> str:
        if not self.has(name):
            if default is None:
                raise self._missing(name, right)
            return default
        return _shown(self._left.pop(name))

    def rest(self, *, but: tuple[str, ...]) -> dict[str, Any]:
        """Everything not taken yet and not named in `but`: the parameters of a law within this law."""
        taken = {name: value for name, value in self._left.items() if name not in but}
        for name in taken:
            del self._left[name]
        return taken

    def _missing(self, name: str, right: str) -> InputError:
        """What to say of a parameter that must be there: first of all that it was misspelt, if it was."""
        for near in get_close_matches(name, self._left, n=1):
            return unknown(f"parameter of {self.where}", near, [name])
        return InputError(f"{self.where} needs the parameter '{name}': give {name}={right}.")

    def done(self) -> None:
        check_keys(self._left, self._known, self.where)


def read(text: object, what: str) -> tuple[str, dict[str, Any]]:
    """`parse_spec` that also refuses what is not text."""
    if not isinstance(text, str):
        raise InputError(f"{what} must be a text such as 'name:key=value', not {text!r}.")
    return parse_spec(text, what)


def spec(name: str, **values: float | str | None) -> str:
    """The canonical text of a law: parameters in the given order, numbers in their shortest exact form.

    A parameter that is None is left out.
    """
    shown = ",".join(f"{key}={_shown(value)}" for key, value in values.items() if value is not None)
    return f"{name}:{shown}" if shown else name


def unless(value: float, default: float) -> float | None:
    """None for the default value of a parameter, so that the canonical text leaves it out."""
    return None if value == default else value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _either(choices: tuple[str, ...]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]


def law_of(registry: Mapping[str, Any], what: str, name: str, values: dict[str, Any]) -> Any:
    """The law that the registry's class `name` reads from the values; InputError, naming `what` it is, for bad ones."""
    if name not in registry:
        raise unknown(what, name, registry)
    given = Parameters(f"{what} '{name}'", values)
    law = registry[name].read(given)
    given.done()
    return law
