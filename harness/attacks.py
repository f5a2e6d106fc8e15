"""Worst cases found by `openqueues attack`: an entry's attacks.toml, which holds the worst instance for each search.

A queue is given by its laws and load, requests that share a KV cache by an instance text. Everything shown of them is
made from the file; `replay` computes a ratio again from its instance, `search` looks for the instance again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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

LEVEL = 5e-4
"""Ratios that differ by at most this share are level."""


class Attack(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A search, the worst instance that it has found, and what it takes to see both again."""

    policy: str
    against: str
    """A policy, or `optimum`: the optimum in hindsight."""
    limits: dict[str, Limit]
    """The options of `openqueues attack` that bound the instances, by name."""
    budget: int
    """Instances looked at, in each family of sizes."""
    seed: int
    families: dict[str, float] = {}
    """The families of sizes that were searched, and the largest ratio found in each."""
    ratio: float = 0.0
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
        return words(self.limits)

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
        """The command that finds this instance."""
        parts = ["openqueues attack", self.policy]
        if self.against not in ("srpt", "optimum"):
            parts += ["--against", self.against]
        for key, value in self.limits.items():
            parts.append("--" + key.replace("_", "-"))
            if value is not True:
                parts += [f"{one:g}" for one in (value if isinstance(value, list) else [value])]
        if self.families:
            parts += ["--family", *self.families]
        return " ".join([*parts, "--budget", str(self.budget), "--seed", str(self.seed)])


def words(limits: dict[str, Limit]) -> str:
    """Limits in words."""
    values = {key: one if isinstance(one := limits[key], list) else [one] for key in WORDS if key in limits}
    said = {key: WORDS[key].format(*value) for key, value in values.items()}
    if limits.get("last_arrival") == 0:
        said["last_arrival"] = "all at slot 0"
    return ", ".join(said.values())


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


def _silent(what: str, budget: int) -> None:
    return None


def search(wanted: Attack, argument: str, meter: Callable = _silent) -> Attack:
    """An attack with its search made (again): the worst instance for its policies, limits, families, budget and seed.

    argument: what models take for the policy (its name, or the path of its file). meter(what, budget) returns what is
    called with the number of instances looked at and the largest ratio so far, or None. Not simulated.
    """
    seed = wanted.seed
    if wanted.against == "optimum":
        from openqueues.models.llm import worst as slots

        limits = slots.Limits(**wanted.limits)
        requests, compared = slots.attack_slots(
            argument, limits, budget=wanted.budget, seed=seed, report=meter("requests", wanted.budget)
        )
        return msgspec.structs.replace(wanted, ratio=compared.ratio, instance=requests.spec)
    from openqueues.models.analysis import worst

    limits = dict(wanted.limits)
    kind = next(kind for kind in worst.KINDS if kind in limits)
    bound = limits.pop(kind)
    errors = worst.Errors(kind, tuple(bound) if isinstance(bound, list) else (bound,))
    options = {{"load": "most_load"}.get(name, name): value for name, value in limits.items()}
    found = []
    for family in wanted.families:
        budget = worst.looks(family, wanted.budget)
        options |= {"against": wanted.against, "budget": budget, "seed": seed, "report": meter(family, budget)}
        found.append(worst.attack(argument, family, errors, **options))
    # Of families that come as near to the largest ratio as makes no difference, the one with the fewest parameters:
    # others end at its instances, with further sizes so rare that they only stand in the way of a simulation.
    most = max(one.ratio for one in found)
    near = [one for one in found if one.ratio >= (1 - LEVEL) * most]
    first = min(near, key=lambda one: worst.FAMILIES[one.family][0])
    kept = {key: getattr(first, key) for key in ("ratio", "error", "load", "sizes", "predictions")}
    return msgspec.structs.replace(wanted, families={one.family: one.ratio for one in found}, **kept)


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
