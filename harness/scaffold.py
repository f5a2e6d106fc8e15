"""`openqueues new`: entries and policies that run and pass `openqueues check` as they are written."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from openqueues import registry
from openqueues.entry import SLUG
from openqueues.models.errors import InputError, unknown

PROBLEM_TOML = """\
title = "{title}"
summary = "One sentence that says what is asked."
statement = "The question in our own words, in Markdown with maths like $E[T]$."
answers = ["{question}"]
known = "What is known, with references."
improve = "What a policy must do to beat the present ones."
metrics = [{{ name = "mean_response", unit = "mean sizes", direction = "min" }}]
policies = {{ floor = "fcfs", ceiling = "srpt", references = ["sprpt"] }}
headline = {{ experiment = "loads", point = {{ load = 0.8 }} }}

[[experiments]]
name = "loads"
title = "Mean response time by load"
fixed = {{ sizes = "exponential", predictions = "exponential" }}
grid = {{ load = [0.5, 0.8] }}

[[anchors]]
name = "First come first served in the M/M/1 queue"
point = {{ sizes = "exponential", predictions = "exponential", load = 0.8 }}
policy = "fcfs"
metric = "mean_response"
value = 5.0
why = "The M/M/1 queue has mean response time 1/(1 - load)."
"""

PROBLEM_PY = '''\
"""The model: `simulate` and, where one is known, `exact`; this one is an M/G/1 queue with predictions."""

from openqueues.models.mg1 import exact, simulate

__all__ = ["exact", "simulate"]
'''

POLICY = '''\
"""Least predicted work left first, work done counted twice: say here what yours serves first."""

SEES = ("predicted", "age")
SHAPE = "falling"


def rank(predicted, age):
    return predicted - 2 * age
'''

LLM_POLICY = '''\
"""Least predicted tokens left first, a prompt token counted as a fifth: say here what yours serves first."""

SEES = ("estimate", "input_tokens")
SHAPE = "falling order"
PARAMETERS = {"preempt": True}


def rank(estimate, input_tokens):
    return estimate + input_tokens / 5
'''


def problem(name: str, question: str | None = None) -> list[Path]:
    """Write the entry `name`: three files, in place at once. Returns them.

    `question` is the id that it answers; without one, the first that no entry answers yet. Raises
    InputError when the name is no slug or is taken, and when the folder cannot be written.
    """
    _slug(name, "entry")
    folder = registry.problems_folder() / name
    if folder.exists():
        raise InputError(f"the folder {folder} is there already: choose another name.")
    known = registry.questions()
    if question is None:
        answered = {answer for entry in registry.entries() for answer in entry.answers}
        question = next((id for id in known if id not in answered), next(iter(known)))
    elif question not in known:
        raise unknown("question", question, known)
    title = name.replace("-", " ").capitalize()
    files = {
        "problem.toml": PROBLEM_TOML.format(title=title, question=question),
        "problem.py": PROBLEM_PY,
        "policies/mine.py": POLICY,
    }
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}."))
        temporary.chmod(0o755)
        for path, text in files.items():
            (temporary / path).parent.mkdir(exist_ok=True)
            (temporary / path).write_text(text, encoding="utf-8")
        temporary.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}.") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary)
    return [folder / path for path in files]


def policy(entry_name: str, name: str) -> Path:
    """Write the policy file `name` of an entry. Returns it. Raises InputError for a bad or taken name."""
    entry = registry.entry(entry_name)
    _slug(name.removesuffix(".py"), "policy")
    name = name.removesuffix(".py")
    if name in registry.builtin_policies(entry):
        raise InputError(f"'{name}' is a built-in policy: choose another name.")
    file = entry.folder / "policies" / f"{name}.py"
    if file.exists():
        raise InputError(f"{file} is there already: choose another name.")
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(LLM_POLICY if entry.model == "llm" else POLICY, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}.") from error
    return file


def _slug(name: str, what: str) -> None:
    if not SLUG.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f"write '{better}'." if better else "use lower case words joined by hyphens."
        raise InputError(f"'{name}' is no name for a new {what}: {hint}")
    if what == "entry" and name == "book":
        raise InputError("'book' is no name for a new entry: it is the book's folder among the results.")
