"""What a policy that nobody vouches for is told at the least: the class of information that it is compared in.

A rank's columns are known to the model. Those of a decision, and the values that requests bring along, mean what the
entry makes of them. There a column counts as the least of what those policies that look at it count as which
problem.toml names or which hold a record, or as what [policies] columns of problem.toml says; one that nobody speaks of
counts as the truth. So it does not help a policy to leave INFORMATION out, or to understate it.
"""

from __future__ import annotations

from dataclasses import replace

from openqueues import records, registry
from openqueues.entry import Entry
from openqueues.models.errors import InputError
from openqueues.models.policies import INFORMATION, Policy

_BLIND = frozenset("age arrival draw model now queue random requests running".split())
_BROUGHT = frozenset(f"value{number}" for number in range(4))


def least(entry: Entry, name: str) -> tuple[str, str]:
    """(class, what makes it that, for the end of a sentence) of a policy of the entry, or of a file by its path."""
    chosen = registry.policy(entry, name)
    found = [(chosen.shown, "what it sees")]
    if chosen.shape == "decision":
        found = [(entry.policies.deciding or "blind", f"any decision in {entry.slug}, which buys or uses predictions,")]
    if isinstance(chosen.parameters.get("table"), str):
        found.append(("distributions", "a table made for the law at hand"))
    others, said = _reviewed(entry), entry.policies.columns
    open_to_entry = _open(chosen) | said.keys() & set(chosen.sees)
    found += [(said.get(what) or _tells(others, chosen, what), f"'{what}'") for what in sorted(open_to_entry)]
    return max(found, key=lambda one: INFORMATION.index(one[0]))


def _open(policy: Policy) -> set[str]:
    """What a policy looks at whose meaning is the entry's: columns, and of a decision its words, as name=word."""
    if policy.shape != "decision":
        return _BROUGHT & set(policy.sees)
    words = {f"{key}={value}" for key, value in policy.parameters.items() if isinstance(value, str)}
    return words | set(policy.sees) - _BLIND


def _reviewed(entry: Entry) -> list[Policy]:
    """The policies that problem.toml names, and those that hold a record, but for those that cannot be read."""
    named = [entry.policies.floor, entry.policies.ceiling, *entry.policies.references]
    named += [policy for experiment in entry.experiments for policy in experiment.policies]
    found = []
    for name in dict.fromkeys([*named, *(record.policy for record in records.read(entry))]):
        try:
            found.append(registry.policy(entry, name or ""))
        except InputError:
            continue
    return found


def _tells(others: list[Policy], policy: Policy, what: str) -> str:
    classes = [other.information for other in others if what in _open(other)]
    alone = replace(policy, sees=(what,)).shown  # blind where the model does not know the column either
    return min(classes, key=INFORMATION.index, default="oracle" if alone == "blind" else alone)
