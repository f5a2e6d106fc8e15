"""What there is to run: the cells of a tier, each with a hash of exactly the sources that it depends on.

Sources are found by reading import statements, never by importing: planning loads no numerical library and
no entry.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from openqueues import costs, registry
from openqueues.entry import Entry, Experiment, file_name
from openqueues.models import policies
from openqueues.models.errors import InputError

MODELS = "openqueues.models"
LIBRARIES = ("numpy", "numba", "scipy")


class Cell(msgspec.Struct, frozen=True):
    """A problem x experiment x policy: one file of results. `hash` changes when its result may change.

    `cost` is what it is expected to take.
    """

    problem: str
    experiment: str
    policy: str
    path: str
    hash: str
    cost: costs.Cost

    @property
    def provenance(self) -> str:
        """Path of the JSON that says how the file was made."""
        return self.path.removesuffix(".parquet") + ".json"

    @property
    def is_stale(self) -> bool:
        """Whether the file is there, but made from other sources, or nothing readable says from which."""
        return os.path.exists(self.path) and self.noted.get("hash") != self.hash

    @property
    def noted(self) -> dict:
        """What the provenance says; empty where there is none that can be read."""
        try:
            noted = json.loads(Path(self.provenance).read_bytes())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}


def cells(tier: str = "standard", results: str | Path = "results") -> list[Cell]:
    """Every cell of every entry in this tier, in the registry's order."""
    return [cell for entry in registry.entries() for cell in cells_of(entry, tier, results)]


def cells_of(entry: Entry, tier: str = "standard", results: str | Path = "results") -> list[Cell]:
    """The cells of one entry: its experiments in their order, and the policies of each in theirs."""
    return [
        cell(entry, experiment, policy, tier, results)
        for experiment in entry.experiments
        for policy in entry.policies_of(experiment)
    ]


def cell(entry: Entry, experiment: Experiment, policy: str, tier: str, results: str | Path = "results") -> Cell:
    """The cell of one policy in one experiment; the policy may also be a path to a file."""
    name = label(entry, policy)
    path = Path(results) / tier / entry.slug / experiment.name / f"{file_name(name)}.parquet"
    digest, cost = _hash(entry, experiment, policy, tier), costs.of(entry, experiment, name, tier)
    return Cell(entry.slug, experiment.name, name, path.as_posix(), digest, cost)


def date(cells: Iterable[Cell], since: str | Path) -> None:
    """Date the files of stale cells before that of a new file `since`, and those of all others after it."""
    Path(since).parent.mkdir(exist_ok=True)
    made = Path(f"{since}.{os.getpid()}")
    made.write_text(str(time.time_ns()))  # Snakemake takes a file of the same content for the same file
    os.utime(made, (2, 2))
    made.replace(since)  # another workflow may be reading it
    for cell in cells:
        with contextlib.suppress(OSError):  # there is none, or it may only be read: which is said where it is written
            if cell.is_stale:
                os.utime(cell.path, (1, 1))
            elif os.stat(cell.path).st_mtime < 2:
                os.utime(cell.path)


def label(entry: Entry, policy: str) -> str:
    """The name of a policy in results: its specification, or the stem of a file given by its path."""
    if not policies.is_path(policy):
        return policy
    path, parameters = policies.split_path(policy)
    file = Path(path).resolve()
    taken = {*registry.builtin_policies(entry), *entry.own_policies}
    if file.stem in taken and file.parent != (entry.folder / "policies").resolve():
        raise InputError(f"{policy} has the name of another policy, '{file.stem}': give the file another name.")
    return file.stem + parameters


def _hash(entry: Entry, experiment: Experiment, policy: str, tier: str) -> str:
    size = experiment.tier(tier)
    points = experiment.points(tier)
    what = {
        "problem": entry.slug,
        "version": entry.version,
        "experiment": experiment.name,
        "policy": label(entry, policy),
        "metrics": [metric.name for metric in entry.metrics],
        "points": [[point.index, point.parameters] for point in points],
        "jobs": size.jobs,
        "replications": size.replications,
        "libraries": libraries(),
        "sources": sources(entry, policy),
        "files": _named_files(entry, points),
    }
    return hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=16).hexdigest()


def sources(entry: Entry, policy: str) -> dict[str, str]:
    """Hash of every source file that a cell depends on, by a name free of where the files lie."""
    chosen = registry.policy_file(entry, policy)
    return {f"policy/{chosen.name}": _digest(chosen), **_model_sources(entry.folder)}


def forget() -> None:
    """Read all sources again: for a process that goes on while files change."""
    for cached in (_model_sources, _closure, _module_file, _data, _named_modules, _imports, _text, _digest):
        cached.cache_clear()


@functools.cache
def _model_sources(folder: Path) -> dict[str, str]:
    """Hashes of an entry's problem.py, of the entry's own files and of our modules that it can reach."""
    found: dict[str, str] = {}
    modules: set[str] = set()
    waiting, seen = [folder / "problem.py"], set()
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        found[f"entry/{file.relative_to(folder).as_posix()}"] = _digest(file)
        for name in _imports(file, "entry"):
            if name.startswith("entry."):
                stem = folder.joinpath(*name.split(".")[1:])
                waiting += [stem.with_suffix(".py"), stem / "__init__.py"]
            else:
                modules.add(name)
    reached = frozenset().union(*(_closure(name) for name in modules)) if modules else frozenset()
    for file in reached:
        found[file.relative_to(_models()).as_posix()] = _digest(file)
    data = os.environ.get("OPENQUEUES_DATA", "")
    if data and any("OPENQUEUES_DATA" in _text(file) for file in reached if file.suffix == ".py"):
        found["OPENQUEUES_DATA"] = data
    return found


def _named_files(entry: Entry, points: list) -> dict[str, str]:
    """Hash of each file that a parameter names as `file=PATH`, beside the entry or where we stand."""
    found = {}
    for point in points:
        for value in point.parameters.values():
            for name in re.findall(r"file=([^,]+)", value) if isinstance(value, str) else []:
                for file in (entry.folder / name, Path(name)):
                    if file.is_file():
                        found[name] = _digest(file)
                        break
    return found


@functools.cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that numbers depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


@functools.cache
def _models() -> Path:
    return registry.package_folder(MODELS)


@functools.cache
def _module_file(name: str) -> Path | None:
    """File of a module of openqueues.models, None for what is an attribute and not a module."""
    stem = _models().joinpath(*name.split(".")[2:])
    for file in (stem / "__init__.py", stem.with_suffix(".py")):
        if file.is_file():
            return file
    return None


@functools.cache
def _closure(module: str) -> frozenset[Path]:
    """Files of all our model modules that importing this one can load, data beside them included."""
    found: set[Path] = set()
    waiting, seen = [module], set()
    while waiting:
        name = waiting.pop()
        if name in seen or not name.startswith(MODELS):
            continue
        seen.add(name)
        file = _module_file(name)
        if file is None:
            continue
        found.add(file)
        if file.name == "__init__.py":
            found.update(_data(file.parent))
        if "__file__" in _text(file):
            found.update(_named_modules(file))
        parent = name.rpartition(".")[0]
        waiting += [parent, *_imports(file, name if file.name == "__init__.py" else parent)]
    return frozenset(found)


@functools.cache
def _data(package: Path) -> tuple[Path, ...]:
    """Data files of a package: in it or in its folders that hold no code; the root package has none."""
    if package == _models():
        return ()
    plain = [folder for folder in package.iterdir() if folder.is_dir() and not any(folder.glob("*.py"))]
    files = [file for folder in [package, *plain] for file in folder.iterdir()]
    return tuple(file for file in files if file.is_file() and file.suffix not in (".py", ".pyc", ".nbi", ".nbc", ".md"))


@functools.cache
def _named_modules(file: Path) -> tuple[Path, ...]:
    """Modules beside this one whose names stand in it as texts: the templates that a maker of kernels reads.

    Policy files are left out: a cell depends on its own policy only, and that one is counted by itself.
    """
    stems = dict.fromkeys(re.findall(r"""["'](\w+)(?:\.py)?["']""", _text(file)))
    beside = [file.with_name(f"{stem}.py") for stem in stems]
    return tuple(path for path in beside if path.is_file() and "\nSEES" not in _text(path))


# An import statement; one that merely stands in a docstring adds a file that is not needed, which does no harm.
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]+)|import[ \t]+([^\n]+))", re.M)


@functools.cache
def _imports(file: Path, package: str) -> frozenset[str]:
    """Names of our own modules that a file imports anywhere in it; `package` resolves relative imports.

    Read off the text: parsing all modules would take a third of the time that a small cell takes.
    """
    names = set()
    for base, members, modules in _IMPORT.findall(_text(file)):
        if base:
            level = len(base) - len(base.lstrip("."))
            if level:
                above = package.split(".")[: len(package.split(".")) - level + 1]
                base = ".".join([*above, *([base[level:]] if base[level:] else [])])
            names.add(base)
            names.update(f"{base}.{name}" for name in _names(members))
        else:
            names.update(_names(modules))
    return frozenset(name for name in names if name.split(".")[0] in ("entry", "openqueues"))


def _names(listed: str) -> list[str]:
    """The names in `a, b as c  # why` or `(a, b)`."""
    listed = re.sub(r"#[^\n]*", "", listed).strip(" \t\n()")
    return [part.split()[0] for part in listed.split(",") if part.strip()]


@functools.cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@functools.cache
def _digest(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
