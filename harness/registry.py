"""Finds entries, questions and policy files on disk, without importing any of them.

Entries live in the folder of openqueues.problems, or in the folder that OPENQUEUES_PROBLEMS names.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import msgspec
from openqueues.entry import Entry
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
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
            raise InputError(f"no entry answers question {name} yet: `openqueues new problem NAME` starts one.")
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


def builtin_policies(entry: Entry) -> tuple[str, ...]:
    """Names of the built-in policies of the entry's model."""
    return policies.names(entry.model)


def policy(entry: Entry, name: str) -> policies.Policy:
    """A policy as its file describes it; nothing of it is executed. InputError when it is malformed.

    `name` is one of the entry's own files, a built-in specification, or the path of a file.
    """
    return policies.policy(name, entry.folder / "policies", entry.model)


def policy_file(entry: Entry, name: str) -> Path:
    """The file that defines a policy, a malformed one too."""
    try:
        return policy(entry, name).path.resolve()
    except InputError:
        return policies.path_of(name, entry.folder / "policies", entry.model).resolve()


def policy_argument(entry: Entry, name: str) -> str:
    """What `simulate` is handed for a policy: a file of the entry by its path, else the specification."""
    if policies.is_path(name):
        return name
    stem, colon, parameters = name.strip().partition(":")
    return f"{policy_file(entry, name)}{colon}{parameters}" if stem in entry.own_policies else name


def information(entry: Entry, name: str) -> str:
    """Class of what a policy sees: blind, one bit, predictions, distributions or oracle."""
    return policy(entry, name).information


def sees(file: Path) -> tuple[str, ...]:
    """What a policy file says it looks at; InputError when it does not say."""
    return policies.policy(str(file)).sees


def problem(entry: Entry) -> ModuleType:
    """Import the entry's problem.py under a name of its own; InputError when it cannot be imported.

    The module is a package whose folder is the entry's, so `from . import helper` reaches its own files.
    """
    file = entry.folder / "problem.py"
    where = f"{entry.slug}/problem.py"
    if not file.is_file():
        raise InputError(f"{where} is missing: write it, with a function simulate(point, policy, seed, jobs).")
    name = "openqueues_entry_" + entry.slug.replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(entry.folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        wrong = f"{entry.slug}/{Path(error.filename or file).name}"
        raise InputError(f"{wrong} is not valid Python at line {error.lineno}: {error.msg}.") from error
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{where} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(getattr(module, "simulate", None)):
        raise InputError(f"{where} has no function simulate: write simulate(point, policy, seed, jobs).")
    return module


def _read(folder: Path) -> Entry:
    entry = read(folder)
    for answer in entry.answers:
        if answer not in questions():
            raise InputError(f"{entry.slug}/problem.toml: {unknown('question', answer, questions())}")
    return entry
