"""Worst cases found by `openqueues attack`: an entry's attacks.toml, which holds the worst instance for each search.

A queue is given by its laws and load, requests that share a KV cache by an instance text. Everything shown of them is
made from the file; `replay` computes a ratio again from its instance.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import msgspec
from openqueues import records, registry, results
from openqueues.entry import Entry

Limit = bool | int | float | str | list[float]
# What each limit of a search means, in the order in which they are shown.
WORDS = {
    "within": "a/b = {0:g}",
    "between": "b = {0:g}, a = {1:g}",
    "sigma": "deviation of log error ≤ {0:g}",
    "variance": "variance of error ≤ {0:g}",
    "span": "sizes ≤ {0:g} times apart",
    "load": "load ≤ {0:g}",
    "requests": "{0} requests",
    "memory": "memory {0}",
    "last_arrival": "arrivals up to slot {0}",
    "ends": "interval ends ≤ {0:g} times apart",
    "one_prompt": "one prompt for all",
    "fill": "peaks ≤ {0:g} of the memory",
}


class Attack(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The worst instance that a search has found, with what it takes to see it again."""

    policy: str
    against: str
    """A policy, or `optimum`: the optimum in hindsight."""
    limits: dict[str, Limit]
    """The options of `openqueues attack` that bound the instances, by name."""
    ratio: float
    """Of mean response times or total latencies, by analysis or exactly."""
    error: float = 0.0
    """Of the analysis."""
    load: float | None = None
    sizes: str | None = None
    predictions: str | None = None
    instance: str | None = None
    simulated: float | None = None
    halfwidth: float | None = None
    """Of the 95% interval of the simulated ratio."""
    jobs: int | None = None
    """Simulated in each of ten replications."""
    bounds: dict[str, float] = {}
    """Proven upper bounds on the ratio within these limits, by name, from the entry's `upper_bounds`."""

    @property
    def spread(self) -> float | None:
        """a/b, where the errors are bounded by factors."""
        if "between" in self.limits:
            low, high = self.limits["between"]
            return high / low
        return self.limits.get("within")

    @property
    def words(self) -> str:
        """The limits in words."""
        kept = [key for key in WORDS if key in self.limits]
        values = {key: one if isinstance(one := self.limits[key], list) else [one] for key in kept}
        words = {key: WORDS[key].format(*values[key]) for key in kept}
        if self.limits.get("last_arrival") == 0:
            words["last_arrival"] = "all at slot 0"
        return ", ".join(words.values())

    @property
    def again(self) -> str:
        """The command that shows this instance again."""
        if self.instance is not None:
            return f"openqueues attack {self.policy} --instance '{self.instance}'"
        return (
            f"openqueues mg1 --sizes '{self.sizes}' --predictions '{self.predictions}' --load {self.load:g}"
            f" --policy {self.policy} --policy {self.against}"
        )

    @property
    def search(self) -> str:
        """The command that searches within the same limits."""
        parts = ["openqueues attack", self.policy]
        if self.against not in ("srpt", "optimum"):
            parts += ["--against", self.against]
        for key, value in self.limits.items():
            parts.append("--" + key.replace("_", "-"))
            if value is not True:
                parts += [f"{one:g}" for one in (value if isinstance(value, list) else [value])]
        return " ".join(parts)


def read(entry: Entry) -> list[Attack]:
    """The worst instances of an entry, in the order of the file; InputError for a file that is not what we wrote."""
    return records.read_tables(_file(entry), "attacks", Attack)


def record(entry: Entry, found: Attack) -> bool:
    """Write an attack in place of the one with the same policies and limits, if it is worse; whether it did.

    An instance that is as bad takes the place, too, where more jobs confirm it.
    """
    known = read(entry)
    found.bounds = _bounds(registry.problem(entry), found)
    for place, one in enumerate(known):
        if (one.policy, one.against, one.limits) == (found.policy, found.against, found.limits):
            if (one.ratio, one.jobs or 0) >= (found.ratio, found.jobs or 0):
                return False
            known[place] = found
            break
    else:
        known.append(found)
    text = "# The worst instances found, written by `openqueues attack POLICY ... --record ENTRY`.\n"
    text += "".join(f"\n[[attacks]]\n{_table(one)}" for one in known)
    results.replace(_file(entry), lambda target: Path(target).write_text(text, encoding="utf-8"))
    return True


def replay(entry: Entry, attack: Attack) -> float:
    """The ratio of an attack, computed again from its instance."""
    if attack.instance is not None:
        from openqueues.models.llm import worst

        return worst.compare(worst.Requests.of(attack.instance), registry.policy_argument(entry, attack.policy)).ratio
    from openqueues.models.analysis import worst

    return worst.ratio(attack.policy, attack.against, attack.sizes, attack.predictions, attack.load)[0]


def stale(entry: Entry, problem: ModuleType) -> list[str]:
    """A sentence for each attack whose ratio or bounds do not come out of its instance and limits again."""
    said = []
    for one in read(entry):
        where = f"{entry.slug}/attacks.toml: {one.policy} against {one.against} ({one.words})"
        ratio, bounds = replay(entry, one), _bounds(problem, one)
        if not math.isclose(ratio, one.ratio, rel_tol=1e-6):
            said.append(f"{where} says ratio = {one.ratio:.7g}, but its instance has {ratio:.7g}: search again.")
        if bounds.keys() != one.bounds.keys() or any(not math.isclose(bounds[k], v) for k, v in one.bounds.items()):
            said.append(f"{where} says bounds = {one.bounds}, but upper_bounds returns {bounds}: search again.")
        if any(ratio > bound * (1 + 1e-9) for bound in bounds.values()):
            said.append(f"{where} has the ratio {ratio:.7g}, above a proven bound of {bounds}: one of them is wrong.")
    return said


def _bounds(problem: ModuleType, attack: Attack) -> dict[str, float]:
    function = getattr(problem, "upper_bounds", None)
    return function(attack.policy, attack.against, attack.limits) if function else {}


def _file(entry: Entry) -> Path:
    return entry.folder / "attacks.toml"


def _table(attack: Attack) -> str:
    return "".join(f"{key} = {records.toml_value(value)}\n" for key, value in msgspec.to_builtins(attack).items())
