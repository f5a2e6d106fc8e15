"""A file that is claimed holds a policy and nothing else, and counts as what it sees makes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from openqueues import claim, plain, registry, seeing
from openqueues.models import policies
from openqueues.models.errors import InputError
from openqueues.models.policies import INFORMATION

HEAD = '"""A policy."""\n\nimport math\n\nimport numpy as np\n\nSEES = ("predicted", "age")\nSHAPE = "falling"\n'
RANK = "\n\ndef rank(predicted, age):\n    return {}\n"

CHEATS = {  # what a cheating author would write, and what of it is refused
    "frames": (RANK.format("np.lib._utils_impl.sys._getframe(1).f_locals['sizes'][0]"), "_getframe|f_locals|_utils"),
    "ctypes": (RANK.format("np.ctypeslib.ctypes.string_at(id(age), 8)"), "'string_at'|'ctypes"),
    "address": (RANK.format("(predicted + age).ctypes.data"), "'data'|'ctypes'"),
    "beyond the end": (RANK.format("np.zeros(1)[1000 + int(age)]"), "arrays are for policies that plan"),
    "any memory": (RANK.format("np.lib.stride_tricks.as_strided(age)"), "as_strided"),
    "what was there": (RANK.format("np.empty(8).sum()"), "'empty'"),
    "a file read": (RANK.format("np.loadtxt('/proc/self/maps').sum()"), "'loadtxt'"),
    "a file written": (RANK.format("np.savetxt('x', age)"), "'savetxt'"),
    "as it is loaded": ("\n\ndef rank(predicted, age) -> np.savetxt('x', ()):\n    return age\n", "annotations"),
    "by an argument": ("\n\ndef rank(predicted: np.savetxt('x', ()), age):\n    return age\n", "annotations"),
    "by a default": ("\n\ndef rank(predicted, age, *, x=np.loadtxt('x')):\n    return age\n", "defaults"),
    "by a decorator": ("\n\n@np.vectorize\ndef rank(predicted, age):\n    return age\n", "without decorators"),
    "another module's": ("np.inf = 1.0\n" + RANK.format("age"), "may hold constants"),
    "randomness": (RANK.format("np.random.random()"), "may not draw numbers of its own"),
    "the seed": (RANK.format("hash('x')"), "'hash'|'x'"),
    "the place in memory": (RANK.format("id(age)"), "'id'"),
    "a clock": (RANK.format("float(np.datetime64('now'))"), "'datetime64'|'now'"),
    "the answer": (RANK.format("print('{}')"), "'print'|take"),
    "the kernel's": (RANK.format("heap[0, 0]"), "'heap'"),
    "attributes": (RANK.format("rank.told"), "'told'"),
    "kept by attribute": ("\n\ndef rank(predicted, age):\n    rank.kept = age\n    return age\n", "'kept'"),
    "kept by a list": ("KEPT = [0.0]\n" + RANK.format("KEPT[0]"), "may hold constants"),
    "kept by a table": ("PARAMETERS = {'x': 1}\n" + RANK.format("PARAMETERS['x']"), "'PARAMETERS'"),
    "kept by a global": ("\n\ndef rank(predicted, age):\n    global x\n    x = age\n    return x\n", "Global"),
    "texts": (RANK.format("'{0.real}'.format(age)"), "'format'"),
    "classes": (RANK.format("age.__class__(0)"), "'__class__'"),
    "a function inside": (RANK.format("(lambda: age)()"), "Lambda"),
    "a loop inside": (RANK.format("sum([x for x in range(9)])"), "ListComp"),
    "a walrus": (RANK.format("(x := age)"), "NamedExpr"),
    "exceptions": (
        "\n\ndef rank(predicted, age):\n    try:\n        return age\n    except Exception:\n        return 0.0\n",
        "Try",
    ),
    "an import inside": ("\n\ndef rank(predicted, age):\n    import math\n    return age\n", "Import"),
}
HIDES = (
    "def min(a, b):\n    return a\n",
    "float = 3\n",
    "from numpy import abs\n",
    "def _rank(age):\n    return age\n",
)


@pytest.mark.parametrize("cheat", CHEATS)
def test_what_reaches_beyond_a_decision_is_refused_with_its_line(cheat, tmp_path):
    text, says = CHEATS[cheat]
    file = tmp_path / "cheat.py"
    file.write_text(HEAD + text)
    with pytest.raises(InputError, match=rf"^cheat.py, line \d+: .*({says})"):
        plain.plain(file, "falling")


@pytest.mark.parametrize("text", HIDES)
def test_no_policy_gives_a_name_of_python_another_meaning_for_the_kernel_it_is_compiled_with(text, tmp_path):
    file = tmp_path / "hides.py"
    file.write_text(HEAD + text + RANK.format("age"))
    with pytest.raises(InputError, match="meaning of its own: choose another name"):
        policies.policy(str(file))


def test_what_is_imported_is_on_the_list(tmp_path):
    file = tmp_path / "imports.py"
    for line, fine in (
        ("from math import sqrt", True),
        ("from numpy import minimum", True),
        ("from openqueues.models.llm.planning import go_on", True),
        ("from openqueues.models.llm.planning import njit", False),
        ("import openqueues.models.llm.planning as p", False),
        ("import numpy.ctypeslib as c", False),
        ("from numpy.ctypeslib import ctypes", False),
        ("from numpy.random import uniform", False),
        ("from numpy import random", False),
        ("from math import *", False),
    ):
        file.write_text(
            f'"""X."""\n\n{line}\n\nSEES = ("age",)\nSHAPE = "falling"\n\n\ndef rank(age):\n    return age\n'
        )
        if fine:
            plain.plain(file, "falling")
        else:
            with pytest.raises(InputError, match=r"line 3: a policy may (import|not draw)"):
                plain.plain(file, "falling")


def test_a_file_that_plans_may_compute_with_arrays(tmp_path):
    shown = Path(__file__).parents[1] / "book/contributing.md"
    text = shown.read_text().partition("```python\n")[2].partition("```")[0]
    file = tmp_path / "few.py"
    file.write_text(text + "\n\ndef shortest(view):\n    order = np.argsort(view.todo)\n    return order[0]\n")
    file.write_text(file.read_text().replace('"""\n\nfrom', '"""\n\nimport numpy as np\nfrom', 1))
    plain.plain(file, "rounds")
    with pytest.raises(InputError, match="arrays are for policies that plan"):
        plain.plain(file, "order")


ENTRIES = [entry for entry in registry.entries() if entry.headline is not None]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
def test_the_entrys_own_files_keep_the_rules_and_claim_no_less_than_they_see(entry):
    for name in entry.own_policies:
        file = entry.folder / "policies" / f"{name}.py"
        plain.plain(file, registry.policy(entry, name).shape)
        if name != entry.policies.floor:
            at_least = INFORMATION.index(seeing.least(entry, name)[0])
            assert at_least <= INFORMATION.index(registry.information(entry, name)), name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
def test_the_records_that_are_shipped_are_of_the_policies_as_they_are(entry):
    assert claim.stale(entry) == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
def test_to_leave_information_out_does_not_bring_a_policy_into_the_blind_class(entry, tmp_path):
    """Each policy of the entry that is told something, without saying so: it counts as what it was."""
    for name in entry.own_policies:
        told = registry.policy(entry, name)
        if told.information == "blind":
            continue
        file = tmp_path / f"{name}-copy.py"
        lines = told.path.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if not line.startswith("INFORMATION")))
        assert seeing.least(entry, str(file))[0] != "blind", name


def test_what_decides_for_whom_predictions_are_bought_is_not_blind(tmp_path):
    file = tmp_path / "buys.py"
    file.write_text('"""Always buy."""\n\nSEES = ()\nSHAPE = "decision"\n\n\ndef decide():\n    return 3.0\n')
    bought = [entry for entry in ENTRIES if entry.policies.deciding]
    assert {"predict-by-load", "prediction-costs", "drifting-predictor"} <= {entry.slug for entry in bought}
    for entry in bought:
        assert registry.information(entry, str(file)) == "blind"
        with pytest.raises(InputError, match="counts as 'blind', but .* makes it 'predictions': write INFORMATION"):
            claim._information(entry, str(file), file)


@pytest.mark.parametrize("slug, column", [("agent-graphs", "value1"), ("api-routing", "value3")])
def test_what_requests_bring_along_counts_as_what_the_entry_makes_of_it(slug, column, tmp_path):
    file = tmp_path / "brought.py"
    function, shape = ("score", "router") if slug == "api-routing" else ("rank", "order")
    text = f'"""X."""\n\nSEES = ("{column}",)\nSHAPE = "{shape}"\n\n\ndef {function}({column}):\n    return {column}\n'
    file.write_text(text)
    with pytest.raises(InputError, match="counts as 'blind', but"):
        claim._information(registry.entry(slug), str(file), file)


def test_a_column_of_a_decision_that_nobody_speaks_of_counts_as_the_truth(tmp_path):
    entry = registry.entry("multi-stage-networks")
    text = '"""X."""\n\nSEES = ("{0}",)\nSHAPE = "decision"\n\n\ndef decide({0}):\n    return {0}\n'
    for column, wanted in (
        ("work", "oracle"),
        ("size", "oracle"),
        ("remaining_work", "predictions"),
        ("stage", "blind"),
    ):
        file = tmp_path / f"{column}.py"
        file.write_text(text.format(column))
        assert seeing.least(entry, str(file))[0] == wanted
