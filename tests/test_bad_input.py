"""Bad input: one clear sentence on stderr, a non-zero exit code, no traceback, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from openqueues import cli

MG1 = "mg1 --policy sprpt --load 0.8 "
RUN = "run tiny --tier smoke --results {results} "
GOOD_RANK = "\n\n\ndef rank(predicted):\n    return predicted\n"

# (command line, part of the sentence); {results}, {folder} and {files} stand for folders of the test.
COMMANDS = [
    ("", "the following arguments are required: COMMAND"),
    ("rum tiny", "unknown COMMAND 'rum': did you mean 'run'?"),
    ("run", "the following arguments are required: ENTRY"),
    ("run tiny --teir smoke", "unrecognized arguments: --teir smoke"),
    ("run tiny --tier smok", "unknown --tier 'smok': did you mean 'smoke'?"),
    ("run tini", "unknown entry 'tini': did you mean 'tiny'?"),
    ("run 2.1-b", "no entry answers question 2.1-b yet"),
    ("run 9.9-z", "unknown entry '9.9-z'"),
    ("check tini", "unknown entry 'tini': did you mean 'tiny'?"),
    (RUN + "--policy sprt", "unknown policy 'sprt': did you mean 'sprpt'?"),
    (RUN + "--policy onebit:treshold=1", "unknown parameter of policy 'onebit' 'treshold'"),
    (RUN + "--experiment load", "unknown experiment of tiny 'load': did you mean 'loads'?"),
    (RUN + "--cores 0", "--cores is 0, but must be at least 1"),
    (RUN + "--cores two", "argument --cores: invalid int value: 'two'"),
    (RUN + "--policy {files}/none.py", "none.py"),
    (RUN + "--policy {files}/sprpt.py", "has the name of another policy, 'sprpt'"),
    ("run tiny --tier smoke --results {files}/sprpt.py", "cannot be written"),
    ("new", "the following arguments are required: KIND"),
    ("new problm x", "unknown KIND 'problm': did you mean 'problem'?"),
    ("new problem My_Entry", "write 'my-entry'"),
    ("new problem book", "the book's folder among the results"),
    ("new problem tiny", "is there already: choose another name"),
    ("new problem other --question 2.1-z", "unknown question '2.1-z'"),
    ("new policy tiny sprpt", "'sprpt' is a built-in policy"),
    ("new policy tiny mine", "is there already: choose another name"),
    ("new policy tiny !!!", "is no name for a new policy"),
    ("new policy tinny other", "unknown entry 'tinny': did you mean 'tiny'?"),
    (MG1 + "--sizes weibul:shape=0.5", "did you mean 'weibull'?"),
    (MG1 + "--sizes weibull:shape=0.5,shap=1", "did you mean 'shape'?"),
    (MG1 + "--sizes weibull:shape", "is malformed at 'shape': write key=value"),
    (MG1 + "--sizes weibull:", "is malformed: write name or name:key=value"),
    (MG1 + "--sizes weibull:shape=1,shape=2", "gives 'shape' twice"),
    (MG1 + "--sizes weibull:shape=-1", "shape"),
    (MG1 + "--sizes weibull:shape=nan", "shape"),
    (MG1 + "--sizes weibull:shape=big", "shape"),
    (MG1 + "--sizes pareto:alpha=2,ratio=0.5", "ratio"),
    (MG1 + "--sizes empirical:file={files}/none.csv", "none.csv"),
    (MG1 + "--predictions exponentail", "did you mean 'exponential'?"),
    (MG1 + "--predictions lognormal:sigma=-1", "sigma"),
    (MG1 + "--predictions uniform:a=2", "a"),
    (MG1 + "--policy srtp", "unknown policy 'srtp'"),
    (MG1 + "--policy onebit:threshold=low", "threshold"),
    (MG1 + "--policy onebit:threshold=nan", "threshold"),
    (MG1 + "--policy kbit:bits=0", "bits"),
    (MG1 + "--policy sprpt:threshold=1", "takes no parameters"),
    ("mg1 --policy sprpt", "the following arguments are required: --load"),
    ("mg1 --load 0.8", "the following arguments are required: --policy"),
    ("mg1 --policy sprpt --load", "argument --load: expected at least one argument"),
    ("mg1 --policy sprpt --load 1", "load is 1: a stable single server needs a load above 0 and below 1"),
    ("mg1 --policy sprpt --load 0", "load is 0"),
    ("mg1 --policy sprpt --load 0.5 1.2", "load is 1.2"),
    ("mg1 --policy sprpt --load nan", "load is nan"),
    ("mg1 --policy sprpt --load high", "load 'high' is not a number"),
    (MG1 + "--simulate 0", "--simulate is 0: give a whole number of at least 1"),
    (MG1 + "--simulate many", "--simulate is 'many'"),
    (MG1 + "--simulate 1.5", "--simulate is 1.5"),
    (MG1 + "--simulate inf", "--simulate is 'inf'"),
    (MG1 + "--simulate 10 --replications 1", "--replications is 1"),
    (MG1 + "--simulate 10 --seed -1", "--seed is -1"),
    (MG1 + "--quantiles 0.5,1", "level is 1.0: a quantile needs a level above 0 and below 1"),
    (MG1 + "--quantiles 0", "level is 0.0: a quantile needs a level above 0 and below 1"),
    (MG1 + "--quantiles nan", "level is nan: a quantile needs a level above 0 and below 1"),
    (MG1 + "--quantiles 0.9999999", "quantiles are analysed for levels from 0.001 to 0.99999"),
    (MG1 + "--quantiles half", "--quantiles has 'half', which is not a number"),
    (MG1 + "--quantiles 0.5,", "--quantiles has '', which is not a number"),
    ("mg1 --load 0.8 --policy bounce --quantiles 0.5", "quantiles of policy 'bounce' are not analysed"),
    ("mg1 --load 0.8 --policy ps --sizes deterministic --quantiles 0.5", "'deterministic' has none"),
    ("mg1 --load 0.8 --policy {files}/mine.py", "add --simulate JOBS"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/none.py", "none.py"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/nan.py", "nan"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/later-nan.py", "rank that is not a number"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/text.py", "returned 'fast'"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/raises.py", "ZeroDivisionError"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/syntax.py", "is not valid Python at line 4"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/blind.py", "does not say what it looks at"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/peeks.py", "takes 'size'"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/colour.py", "unknown column"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/imports.py", "imports 'os'"),
    ("mg1 --load 0.8 --simulate 100 --policy {files}/empty.py", "does not say what it looks at"),
]  # fmt: skip

HEAD = '"""A policy."""\n\nSEES = ("predicted",)\nSHAPE = "falling"'
POLICY_FILES = {
    "mine": HEAD + GOOD_RANK,
    "sprpt": HEAD + GOOD_RANK,
    "nan": HEAD + '\n\n\ndef rank(predicted):\n    return float("nan")\n',
    "later-nan": HEAD + "\n\n\ndef rank(predicted):\n    return predicted if predicted > 0.5 else float('nan')\n",
    "text": HEAD + '\n\n\ndef rank(predicted):\n    return "fast"\n',
    "raises": HEAD + "\n\n\ndef rank(predicted):\n    return 1 / 0\n",
    "syntax": '"""A policy."""\n\nSEES = ("predicted",)\ndef rank(predicted:\n',
    "blind": '"""A policy."""\n\nSHAPE = "falling"' + GOOD_RANK,
    "peeks": HEAD + "\n\n\ndef rank(size):\n    return size\n",
    "colour": HEAD.replace('"predicted"', '"colour"') + GOOD_RANK,
    "imports": '"""A policy."""\n\nimport os\n\nSEES = ("predicted",)\nSHAPE = "falling"' + GOOD_RANK,
    "empty": "",
}

# (text of problem.toml, what stands there instead, part of the sentence)
EDITS = [
    ('title = "A tiny entry"', 'title = "A tiny entry', "problem.toml is not valid TOML"),
    ('title = "A tiny entry"', 'titel = "A tiny entry"', "unknown key 'titel': did you mean 'title'?"),
    ('title = "A tiny entry"\n', "", "the key 'title' is missing"),
    ('title = "A tiny entry"', "title = 7", "at title: expected 'str', got 'int'"),
    ('title = "A tiny entry"', 'title = " "', "the key 'title' is empty"),
    ('answers = ["2.1-a"]', 'answers = "2.1-a"', "at answers: expected 'array', got 'str'"),
    ('answers = ["2.1-a"]', "answers = []", "a question needs answers"),
    ('answers = ["2.1-a"]', 'answers = ["first"]', "write ids like '2.1-a'"),
    ('answers = ["2.1-a"]', 'answers = ["2.1-x"]', "unknown question '2.1-x'"),
    ('answers = ["2.1-a"]', 'answers = ["2.1-a"]\nkind = "qestion"', "'qestion' is not allowed here"),
    ('answers = ["2.1-a"]', 'answers = ["2.1-a"]\nversion = 0', "version is 0"),
    ('unit = "mean sizes" }', 'units = "mean sizes" }', "in metrics 'mean_response': unknown key 'units'"),
    ('unit = "mean sizes" }', 'unit = "s", direction = "down" }', "'down' is not allowed here"),
    ('[{ name = "mean_response", unit = "mean sizes" }]', "[]", "there is no metric"),
    ('unit = "mean sizes" }]', 'unit = "s" }, { name = "p99", unit = "s" }]', "set main = true"),
    ('floor = "fcfs"', 'floor = "fcsf"', "unknown policy 'fcsf': did you mean 'fcfs'?"),
    ('floor = "fcfs"', 'floor = "onebit:treshold=1"', "'treshold'"),
    ('floor = "fcfs"', 'flor = "fcfs"', "in policies: unknown key 'flor': did you mean 'floor'?"),
    ('point = { load = 0.5 } }\n', 'point = { load = 0.7 } }\n', "headline: {'load': 0.7} picks no point"),
    ('point = { load = 0.5 } }\n', 'point = {} }\n', "picks 2 points"),
    ('point = { load = 0.5 } }\n', 'point = { laod = 0.5 } }\n', "did you mean 'load'?"),
    ('headline = { experiment = "loads"', 'headline = { experiment = "load"', "did you mean 'loads'?"),
    ('name = "loads"', 'name = "Loads!"', "is not named by a slug"),
    ('title = "Load"', 'titel = "Load"', "in experiments 'loads': unknown key 'titel'"),
    ('title = "Load"', 'title = "Load"\nx = "laod"', "unknown axis x 'laod': did you mean 'load'?"),
    ("load = [0.5, 0.8] }", "load = [] }", "the grid of 'load' is empty"),
    ("grid = { load = [0.5, 0.8] }", "grid = {}", "has an empty grid"),
    ("load = [0.5, 0.8] }", "load = [0.5, 0.5] }", "value of load in experiment 'loads' '0.5' occurs twice"),
    ("load = [0.5, 0.8] }", "load = [0.5, nan] }", "nan is not a finite number"),
    ("load = [0.5, 0.8] }", "load = [0.5, [0.8]] }", "at experiments 'loads' grid"),
    ("load = [0.5, 0.8] }", "load = [0.5, 0.8], sizes = ['a'] }", "both in fixed and in grid"),
    ("replications = 3 }", "replications = 3, grid = { load = [0.7] } }", "load = 0.7 is not in the"),
    ("replications = 3 }", "replications = 3, grid = { load = [0.8] } }", "leaves that point out"),
    ("replications = 3 }", "replications = 1 }", "replications is 1, but must be at least 2"),
    ('unit = "mean sizes" }]', 'unit = "s", by = "analysis" }]', "is by analysis: mark one that is simulated"),
    ("jobs = 1000", "jobs = 0", "jobs is 0, but must be at least 1"),
    ("jobs = 1000", "jobs = 1e3", "smoke jobs"),
    ("smoke = {", "smok = {", "unknown key 'smok': did you mean 'smoke'?"),
    ('columns = ["fcfs", "sprpt"]', 'columns = ["fcfs", "srtpt"]', "unknown policy 'srtpt'"),
    ('columns = ["fcfs", "sprpt"]', 'columns = ["fcfs"]', "but there are 1 columns"),
    ("0.80 5.000", "0.90 5.000", "the row 0.90 is not a value of load"),
    ("0.80 5.000", "0.50 5.000", "row of expected 'Table 9' '0.50' occurs twice"),
    ("0.80 5.000", "0.80 5,000", "'5,000' in the line of 0.80 is not a printed number"),
    ("0.80 5.000", "0.80 5..3", "'5..3' in the line of 0.80 is not a printed number"),
    ("0.80 5.000", "0.80 ..5", "a largest value like ..5.1 stands in the row *"),
    ("0.80 5.000", "* 5.000", "a largest value like ..5.1 stands in the row *"),
    ("0.80 5.000 3.500", "* ..5 -\n\"\"\"\nat = { load = 0.7 }\nassumed = \"\"\"", "no point of experiment 'loads'"),
    ('made_by = "formula"', 'made_by = "formula"\nnoise = 0.1', "leave noise out"),
    ('made_by = "formula"', 'made_by = "simulation"\nnoise = { "0.50" = 0.1 }', "no value for the row 0.80"),
    ('made_by = "formula"', 'made_by = "simulation"\nnoise = 1.5', "noise must lie in [0, 1)"),
    ('rows = "load"', 'rows = "laod"', "unknown rows 'laod': did you mean 'load'?"),
    ('policy = "fcfs"', 'policy = "fcsf"', "anchor 'M/M/1': unknown policy 'fcsf'"),
    ("value = 2.0", "value = inf", "inf is not a finite number"),
    ("value = 2.0", 'value = "two"', "at anchors 'M/M/1' value: expected 'float', got 'str'"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    entry = tiny.write(tmp_path / "problems", policies=("mine",))
    assert entry.is_dir()
    (tmp_path / "files").mkdir()
    for name, text in POLICY_FILES.items():
        (tmp_path / "files" / f"{name}.py").write_text(text)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(tmp_path / "problems"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in found.items()}


def refused(folder: Path, command: str, capfd) -> str:
    """Run a command that must fail; returns its sentence. An exception that gets out fails the test."""
    before = files(folder)
    words = command.format(results=folder / "results", folder=folder, files=folder / "files").split()
    code = cli.main(words)
    said = capfd.readouterr()
    assert code not in (0, None)
    assert said.out == ""
    assert files(folder) == before
    (line,) = said.err.splitlines()
    assert line.startswith("openqueues: ") and line[-1] in ".?"
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(("command", "sentence"), COMMANDS, ids=[command or "nothing" for command, _ in COMMANDS])
def test_command(folder, capfd, command, sentence):
    assert sentence in refused(folder, command, capfd)


@pytest.mark.parametrize(("text", "instead", "sentence"), EDITS, ids=[sentence for *_, sentence in EDITS])
def test_problem_toml(folder, capfd, text, instead, sentence):
    file = folder / "problems" / "tiny" / "problem.toml"
    content = file.read_text()
    assert text in content
    file.write_text(content.replace(text, instead))
    line = refused(folder, RUN, capfd)
    assert sentence in line and "tiny/problem.toml" in line


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("problem.toml", b"title = '\xff'", "is not UTF-8 text"),
        ("problem.py", None, "problem.py is missing"),
        ("problem.py", b"def simulate(:", "problem.py is not valid Python at line 1"),
        ("problem.py", b"import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("problem.py", b"simulate = 1", "has no function simulate"),
        ("policies/sprpt.py", tiny.POLICY.encode(), "has the name of a built-in policy"),
        ("policies/Mine_2.py", tiny.POLICY.encode(), "is not named by a slug"),
    ],
)
def test_other_files_of_an_entry(folder, capfd, name, content, sentence):
    file = folder / "problems" / "tiny" / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert sentence in refused(folder, RUN + "--policy fcfs", capfd)


@pytest.mark.parametrize("policy", ["raises", "nan", "text"])
def test_a_policy_that_fails_in_a_run(folder, capfd, policy):
    (folder / "problems" / "tiny" / "policies" / f"{policy}.py").write_text(tiny.POLICY)
    line = refused(folder, RUN + f"--policy {policy}", capfd)
    assert f"tiny loads {policy} failed" in line and "nothing written" in line


def test_a_problems_folder_that_is_none(folder, capfd, monkeypatch):
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(folder / "files" / "mine.py"))
    assert "which is no folder" in refused(folder, "list", capfd)


def test_a_folder_name_that_is_no_slug(folder, capfd):
    (folder / "problems" / "tiny").rename(folder / "problems" / "Tiny_1")
    assert "is not a slug" in refused(folder, "list", capfd)


def test_a_fresh_process_behaves_the_same(folder):
    for command in ("run tini", "mg1 --policy sprpt --load 2", "new problem tiny"):
        done = tiny.openqueues(*command.split(), problems=folder / "problems")
        assert done.returncode == 2 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("openqueues: ")


def test_the_tables_are_long_enough():
    assert len(COMMANDS) + len(EDITS) >= 40
    assert len({command for command, _ in COMMANDS}) == len(COMMANDS)
