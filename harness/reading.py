"""Reads and validates an entry's `problem.toml`.

Every error is one sentence that names the file, the place in it, and what would be right.
"""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
from openqueues.entry import (
    QUESTION,
    SLUG,
    TIERS,
    Entry,
    Expected,
    Experiment,
    Grid,
    Schema,
    Value,
    file_name,
    points_of,
)
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.spec import parse_spec
from openqueues.printed import ALL, FORMS, printed


def read(folder: Path) -> Entry:
    """Read and validate the entry in `folder`. Raises InputError: one sentence with file, place and remedy."""
    file = folder / "problem.toml"
    where = f"{folder.name}/problem.toml"
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text: save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {str(error).rstrip('.')}.") from error
    _refuse_unknown(raw, Schema, where, "")
    try:
        schema = msgspec.convert(raw, Schema)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {_readable(str(error), raw)}") from error
    own = sorted(path.stem for path in (folder / "policies").glob("*.py") if not path.stem.startswith("_"))
    fields = {name: getattr(schema, name) for name in schema.__struct_fields__}
    entry = Entry(slug=folder.name, folder=folder, own_policies=own, **fields)
    try:
        _validate(entry, policies.names(entry.model))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return entry


def _refuse_unknown(raw: Any, kind: Any, where: str, place: str) -> None:
    """Walk the raw tables beside the structs and refuse the first unknown key, with the nearest known one."""
    for argument in get_args(kind):
        if isinstance(argument, type) and issubclass(argument, msgspec.Struct) and get_origin(kind) is not list:
            kind = argument  # Struct | None
    if get_origin(kind) is list and isinstance(raw, list):
        for item in raw:
            name = f" '{item['name']}'" if isinstance(item, dict) and "name" in item else ""
            _refuse_unknown(item, get_args(kind)[0], where, place + name)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(raw, dict):
        types = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key, value in raw.items():
            if key not in types:
                inside = f", in {place.strip()}" if place else ""
                raise InputError(f"{where}{inside}: {unknown('key', key, types)}")
            _refuse_unknown(value, types[key], where, f"{place} {key}")


def _readable(message: str, raw: Any) -> str:
    """msgspec's `Expected `int`, got `str` - at `$.a[0].b`` as a sentence with names instead of numbers."""
    text, _, path = message.partition(" - at ")
    names, here = [], raw
    for key, number in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
        try:
            here = here[key] if key else here[int(number)]
        except (KeyError, IndexError, TypeError):
            here = None
        if key:
            names.append(key)
        else:
            names.append(
                f"'{here['name']}'" if isinstance(here, dict) and "name" in here else f"number {int(number) + 1}"
            )
    missing = re.fullmatch(r"Object missing required field `(.+)`", text)
    if missing:
        inside = f"in {' '.join(names)}, " if names else ""
        return f"{inside}the key '{missing[1]}' is missing: add it."
    text = text.replace("`", "'")
    text = re.sub(r"Invalid enum value '(.*?)'", r"'\1' is not allowed here", text)
    return f"at {' '.join(names) or 'the top'}: {text[0].lower() + text[1:]}."


def _validate(entry: Entry, builtin: tuple[str, ...]) -> None:
    """What types cannot say; raises InputError without the file's name."""
    if not SLUG.fullmatch(entry.slug):
        raise InputError(f"the folder's name '{entry.slug}' is not a slug: use lower case words joined by hyphens.")
    for key in ("title", "summary", "statement"):
        if not getattr(entry, key).strip():
            raise InputError(f"the key '{key}' is empty: write it.")
    if entry.version < 1:
        raise InputError(
            f"version is {entry.version}: it starts at 1 and is raised when results stop being comparable."
        )
    for answer in entry.answers:
        if not QUESTION.fullmatch(answer):
            raise InputError(
                f"answers holds '{answer}': write ids like '2.1-a', listed by `openqueues list --questions`."
            )
    if entry.kind == "question" and not entry.answers:
        raise InputError(
            'a question needs answers: give the ids it answers, like answers = ["2.1-a"], or set kind = "reproduction".'
        )
    _validate_metrics(entry)
    _validate_policies(entry, builtin)
    if not entry.experiments:
        raise InputError("there is no experiment: add a table [[experiments]].")
    _unique("experiment", [experiment.name for experiment in entry.experiments])
    for experiment in entry.experiments:
        _validate_experiment(entry, experiment, builtin)
    if entry.headline is not None:
        _validate_headline(entry)
    elif entry.kind == "question":
        raise InputError("a question needs a headline, where policies are scored: add [headline].")
    for expected in entry.expected:
        _validate_expected(entry, expected)
    if not entry.anchors:
        raise InputError("there is no anchor: add [[anchors]] with a special case whose value is known exactly.")
    for anchor in entry.anchors:
        _known_policy(anchor.policy, entry, builtin, f"anchor '{anchor.name}'")
        _known_metric(anchor.metric, entry, f"anchor '{anchor.name}'")
        _finite(anchor.value, f"anchor '{anchor.name}'")


def _validate_metrics(entry: Entry) -> None:
    if not entry.metrics:
        raise InputError("there is no metric: add a table [[metrics]] with name and unit.")
    _unique("metric", [metric.name for metric in entry.metrics])
    if len(entry.metrics) == 1:
        entry.metrics[0].main = True
    mains = [metric.name for metric in entry.metrics if metric.main]
    if len(mains) != 1:
        raise InputError(f"{len(mains)} metrics are marked main: set main = true for exactly one.")
    if entry.main.by == "analysis":
        raise InputError(f"the main metric '{mains[0]}' is by analysis: mark one that is simulated.")


def _validate_policies(entry: Entry, builtin: tuple[str, ...]) -> None:
    for stem in entry.own_policies:
        if stem in builtin:
            raise InputError(f"policies/{stem}.py has the name of a built-in policy: give the file another name.")
        if not SLUG.fullmatch(stem):
            raise InputError(f"policies/{stem}.py is not named by a slug: use lower case words joined by hyphens.")
    for policy in entry.all_policies:
        _known_policy(policy, entry, builtin, "policies")
    if not entry.all_policies and not all(experiment.policies for experiment in entry.experiments):
        raise InputError("there is no policy: name some in [policies] or put a file into the folder policies.")


def _validate_experiment(entry: Entry, experiment: Experiment, builtin: tuple[str, ...]) -> None:
    place = f"experiment '{experiment.name}'"
    if not SLUG.fullmatch(experiment.name):
        raise InputError(f"{place} is not named by a slug: use lower case words joined by hyphens.")
    _validate_grid(experiment.grid, place)
    if not experiment.grid:
        raise InputError(f"{place} has an empty grid: give at least one parameter a list of values.")
    for key in experiment.fixed:
        if key in experiment.grid:
            raise InputError(f"{place} has '{key}' both in fixed and in grid: leave it in one of them.")
        _finite(experiment.fixed[key], f"{place}, fixed {key}")
    experiment.x = experiment.x or next(iter(experiment.grid))
    if experiment.x not in experiment.grid:
        raise InputError(f"{place}: {unknown('axis x', experiment.x, experiment.grid)}")
    for policy in experiment.policies:
        _known_policy(policy, entry, builtin, place)
    _unique(f"file name of a policy in {place}", [file_name(policy) for policy in entry.policies_of(experiment)])
    for name in TIERS:
        tier = experiment.tier(name)
        if tier.jobs < 1:
            raise InputError(f"{place}, tier {name}: jobs is {tier.jobs}, but must be at least 1.")
        if tier.replications < 2 and tier.replications != 0:
            raise InputError(
                f"{place}, tier {name}: replications is {tier.replications}, but must be at least 2, or 0 for "
                "what is by analysis only."
            )
        _validate_grid(tier.grid, f"{place}, tier {name}")
        for key, values in tier.grid.items():
            if key not in experiment.grid:
                raise InputError(f"{place}, tier {name}: {unknown('grid key', key, experiment.grid)}")
            for value in values:
                if value not in experiment.grid[key]:
                    raise InputError(f"{place}, tier {name}: {key} = {value} is not in the experiment's grid: add it.")


def _validate_grid(grid: Grid, place: str) -> None:
    for key, values in grid.items():
        if not values:
            raise InputError(f"{place}: the grid of '{key}' is empty: give at least one value.")
        _unique(f"value of {key} in {place}", values)
        for value in values:
            _finite(value, f"{place}, grid of {key}")


def _validate_headline(entry: Entry) -> None:
    try:
        experiment = entry.experiment(entry.headline.experiment)
        point = entry.headline_point()
    except InputError as error:
        raise InputError(f"headline: {error}") from error
    for tier in TIERS:
        if point.index not in [p.index for p in experiment.points(tier)]:
            raise InputError(f"headline: tier {tier} of experiment '{experiment.name}' leaves that point out: keep it.")
    for role in ("floor", "ceiling"):
        policy = getattr(entry.policies, role)
        if policy and policy not in entry.policies_of(experiment):
            raise InputError(f"headline: experiment '{experiment.name}' does not run the {role} '{policy}': add it.")


def _validate_expected(entry: Entry, expected: Expected) -> None:
    place = f"expected '{expected.source}'"
    try:
        experiment = entry.experiment(expected.experiment)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    _known_metric(expected.metric, entry, place)
    if expected.rows not in experiment.grid:
        raise InputError(f"{place}: {unknown('rows', expected.rows, experiment.grid)}")
    for column in expected.columns:
        if column not in entry.policies_of(experiment):
            raise InputError(f"{place}: {unknown('policy', column, entry.policies_of(experiment))}")
    if expected.made_by == "formula" and expected.noise:
        raise InputError(f'{place} is made by a formula and has noise: leave noise out or set made_by = "simulation".')
    seen = []
    for line in expected.values.strip().splitlines():
        row, *digits = line.split() or [""]
        if len(digits) != len(expected.columns):
            raise InputError(
                f"{place}: the line '{line.strip()}' has {len(digits)} numbers after the row's value, "
                f"but there are {len(expected.columns)} columns."
            )
        for text in digits:
            if text == "-":
                continue
            try:
                largest = printed(text).largest
            except InputError as error:
                raise InputError(f"{place}: '{text}' in the line of {row} is not {FORMS}: correct it.") from error
            if largest != (row == ALL):
                raise InputError(
                    f"{place}: '{text}' in the line of {row}: a largest value like ..5.1 stands in the row {ALL}, "
                    "and nothing else does."
                )
        points_of(experiment, expected, row, place)
        seen.append(row)
        noise = expected.noise
        if isinstance(noise, dict) and row not in noise:
            raise InputError(f"{place}: noise has no value for the row {row}: add it.")
    if not seen:
        raise InputError(f"{place}: values is empty: write a line per row.")
    _unique(f"row of {place}", seen)
    noises = expected.noise.values() if isinstance(expected.noise, dict) else [expected.noise]
    if not all(0 <= noise < 1 for noise in noises):
        raise InputError(f"{place}: noise must lie in [0, 1), as a share of the printed value.")


def _known_policy(policy: str, entry: Entry, builtin: tuple[str, ...], place: str) -> None:
    """Refuse unknown names, and parameters that a built-in policy does not take.

    The entry's own files are not opened: one that is malformed fails where it is run, not whatever reads
    the entry.
    """
    try:
        name, _ = parse_spec(policy, "policy")
        if name in builtin and name not in entry.own_policies:
            policies.policy(policy, model=entry.model)
        elif name not in entry.own_policies:
            raise unknown("policy", name, [*builtin, *entry.own_policies])
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _known_metric(metric: str, entry: Entry, place: str) -> None:
    if metric not in [m.name for m in entry.metrics]:
        raise InputError(f"{place}: {unknown('metric', metric, [m.name for m in entry.metrics])}")


def _finite(value: Value, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{place}: {value} is not a finite number: write one.")


def _unique(what: str, names: list[Value]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{what} '{name}' occurs twice: keep one.")
