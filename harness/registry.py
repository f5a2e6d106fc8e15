"""Finds entries, questions and policy files on disk, without importing any of them.

Entries live in the folder of openqueues.problems, or in the folder that OPENQUEUES_PROBLEMS names.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import msgspec
from openqueues.entry import Entry
from openqueues.models.errors import InputError, unknown
from openqueues.models.spec import parse_spec
from openqueues.reading import read


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the paper's open questions: what is asked, and what a run must be able to show."""

    id: str
    section: str
    gist: str
    show: str


def package_folder(package: str) -> Path:
    """Folder of a package of ours, found without running its `__init__`."""
    spec = importlib.util.find_spec(package)
    return Path(next(iter(spec.submodule_search_locations)))


def problems_folder() -> Path:
    """The folder that holds the entries; InputError when OPENQUEUES_PROBLEMS names none."""
    named = os.environ.get("OPENQUEUES_PROBLEMS")
    if not named:
        return package_folder("openqueues.problems")
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(
            f"OPENQUEUES_PROBLEMS names '{named}', which is no folder: name the one that holds the entries."
        )
    return folder


def slugs() -> list[str]:
    """Names of all entries: the sub-folders that hold a problem.toml."""
    return sorted(file.parent.name for file in problems_folder().glob("*/problem.toml"))


def entries() -> list[Entry]:
    """All entries, validated, in the order of their questions and then of their names."""
    found = [_read(problems_folder() / slug) for slug in slugs()]
    return sorted(found, key=lambda entry: (entry.kind == "question", entry.answers, entry.slug))


def entry(name: str) -> Entry:
    """The entry with this slug, or the one that answers this question; InputError when there is none."""
    known = slugs()
    if name in known:
        return _read(problems_folder() / name)
    if name in questions():
        answering = [entry for entry in entries() if name in entry.answers]
        if not answering:
            raise InputError(
                f"no entry answers question {name} yet: `openqueues new problem NAME` starts one."
            )
        if len(answering) > 1:
            raise InputError(
                f"question {name} has several entries: name one of {', '.join(e.slug for e in answering)}."
            )
        return answering[0]
    if not known:
        raise InputError(f"unknown entry '{name}': the folder {problems_folder()} holds no entry.")
    raise unknown("entry", name, [*known, *(answer for e in entries() for answer in e.answers)])


@functools.cache
def questions() -> dict[str, Question]:
    """The paper's questions by id, in the paper's order."""
    file = package_folder("openqueues.problems") / "questions.toml"
    rows = tomllib.loads(file.read_text(encoding="utf-8"))["questions"]
    return {row["id"]: msgspec.convert(row, Question) for row in rows}


@functools.cache
def builtin_policies() -> dict[str, Path]:
    """Built-in policies by name: the files of openqueues.models.policies that define SEES."""
    folder = package_folder("openqueues.models") / "policies"
    found = {}
    for file in sorted(folder.glob("*.py")):
        if not file.stem.startswith("_") and "\nSEES" in file.read_text(encoding="utf-8"):
            found[file.stem.replace("_", "-")] = file
    return found


def policy_file(entry: Entry, policy: str) -> Path:
    """The file that defines a policy: one of the entry's own, a built-in one, or the path itself."""
    if is_path(policy):
        return Path(policy).resolve()
    name, _ = parse_spec(policy, "policy")
    if name in entry.own_policies:
        return entry.folder / "policies" / f"{name}.py"
    if name in builtin_policies():
        return builtin_policies()[name]
    raise unknown("policy", name, [*entry.own_policies, *builtin_policies()])


def policy_argument(entry: Entry, policy: str) -> str:
    """What `simulate` is handed for a policy: a path for a file of the entry, else the specification."""
    if is_path(policy):
        return str(Path(policy).resolve())
    name, colon, parameters = policy.partition(":")
    if name.strip() in entry.own_policies:
        return str(policy_file(entry, policy)) + colon + parameters
    return policy


def is_path(policy: str) -> bool:
    """Whether a policy is given as a Python file rather than by name."""
    return policy.partition(":")[0].endswith(".py")


def sees(file: Path) -> tuple[str, ...]:
    """What a policy file says it looks at, read from its text; InputError when it does not say."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "SEES" for t in node.targets
            ):
                return tuple(ast.literal_eval(node.value))
    except OSError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror}.") from error
    except (SyntaxError, ValueError, TypeError) as error:
        raise InputError(f"{file.name}: {error}: write SEES as a plain tuple of names.") from error
    raise InputError(f'{file.name} does not say what it sees: add a line like SEES = ("predicted", "age").')


def problem(entry: Entry) -> ModuleType:
    """Import the entry's problem.py under a name of its own; InputError when it cannot be imported.

    The module is a package whose folder is the entry's, so `from . import helper` reaches its own files.
    """
    file = entry.folder / "problem.py"
    where = f"{entry.slug}/problem.py"
    if not file.is_file():
        raise InputError(
            f"{where} is missing: write it, with a function simulate(point, policy, seed, jobs)."
        )
    name = "openqueues_entry_" + entry.slug.replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(entry.folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = getattr(error, "lineno", None)
        at = f", line {line}" if line else ""
        raise InputError(f"{where}{at} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(getattr(module, "simulate", None)):
        raise InputError(f"{where} has no function simulate: write simulate(point, policy, seed, jobs).")
    return module


def _read(folder: Path) -> Entry:
    entry = read(folder, list(builtin_policies()))
    for answer in entry.answers:
        if answer not in questions():
            raise InputError(f"{entry.slug}/problem.toml: {unknown('question', answer, questions())}")
    return entry
