"""The command line as a user meets it, in fresh processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
import tiny
from openqueues import registry
from openqueues.check import blindness


@pytest.fixture
def problems(tmp_path):
    tiny.write(tmp_path / "problems", policies=("mine",))
    return tmp_path / "problems"


def done(*arguments, problems=None) -> str:
    """Standard output of a command that must succeed."""
    run = tiny.openqueues(*arguments, problems=problems)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_help_names_every_command():
    said = done("--help")
    for command in ("list", "check", "run", "new", "mg1", "book"):
        assert f"    {command} " in said
        assert "usage: " in done(command, "--help")


# --- list


def test_list(problems):
    lines = done("list", problems=problems).splitlines()
    assert lines[1].split()[:2] == ["2.1-a", "tiny"] and lines[1].endswith("A tiny entry")
    assert lines[-1].endswith("1 of 43 questions answered.")
    (entry,) = json.loads(done("list", "--json", problems=problems))
    assert entry["slug"] == "tiny" and entry["answers"] == ["2.1-a"]
    assert entry["tiers"]["smoke"] == {"cells": 4, "jobs": 4 * 2 * 1000 * 3}
    assert entry["policies"] == ["fcfs", "srpt", "sprpt", "mine"]


def test_list_questions(problems):
    rows = json.loads(done("list", "--questions", "--json", problems=problems))
    assert len(rows) == 43 and [row["id"] for row in rows if row["entries"]] == ["2.1-a"]
    assert rows[0]["entries"] == ["tiny"]
    text = done("list", "--questions", problems=problems)
    assert "2.1-a  tiny" in text and text.endswith("1 of 43 questions have an entry.\n")


def test_list_of_nothing(tmp_path):
    assert "openqueues new problem NAME" in done("list", problems=tmp_path)
    assert json.loads(done("list", "--json", problems=tmp_path)) == []


# --- run


def test_run_shows_progress_and_keeps_what_is_finished(problems, tmp_path):
    command = ["run", "2.1-a", "--tier", "smoke", "--results", tmp_path / "results"]
    first = tiny.openqueues(*command, problems=problems)
    assert first.returncode == 0 and first.stdout == ""
    lines = first.stderr.splitlines()
    assert [line.rpartition(":")[0] for line in lines[:4]] == [
        f"[{number}/4] tiny loads {policy}" for number, policy in enumerate(("fcfs", "srpt", "sprpt", "mine"), 1)
    ]
    assert all(line.endswith(" s") for line in lines[:4]) and lines[4].startswith("4 cells in ")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.*")}
    assert len(made) == 8
    second = tiny.openqueues(*command, problems=problems)
    assert second.stderr.count("is up to date") == 4
    assert {path: path.stat().st_mtime_ns for path in made} == made
    third = tiny.openqueues(*command, "--force", problems=problems)
    assert "up to date" not in third.stderr
    assert all(path.stat().st_mtime_ns > when for path, when in made.items())


def test_run_chooses_policies_and_experiments(problems, tmp_path):
    command = ["run", "tiny", "--tier", "smoke", "--experiment", "loads", "--results", tmp_path / "results"]
    done(*command, "--policy", "sprpt", "--policy", "mine", problems=problems)
    found = sorted(path.stem for path in (tmp_path / "results").rglob("*.parquet"))
    assert found == ["mine", "sprpt"]


def test_run_takes_a_policy_from_anywhere(problems, tmp_path):
    file = tmp_path / "new-idea.py"
    file.write_text(tiny.POLICY)
    done(
        "run",
        "tiny",
        "--tier",
        "smoke",
        "--policy",
        file,
        "--results",
        tmp_path / "results",
        problems=problems,
    )
    (made,) = (tmp_path / "results").rglob("*.parquet")
    assert made.name == "new-idea.parquet"
    assert set(pyarrow.parquet.read_table(made)["policy"].to_pylist()) == {"new-idea"}


def test_keep_going_writes_failed_rows_and_exits_with_0(problems, tmp_path):
    (problems / "tiny" / "policies" / "raises.py").write_text(tiny.POLICY)
    command = ["run", "tiny", "--tier", "smoke", "--results", tmp_path / "results"]
    kept = tiny.openqueues(*command, "--keep-going", problems=problems)
    assert kept.returncode == 0
    said = [line for line in kept.stderr.splitlines() if line.startswith("openqueues: ")]
    assert len(said) == 1 and "raises failed: ZeroDivisionError" in said[0]
    made = sorted(path.stem for path in (tmp_path / "results").rglob("*.parquet"))
    assert made == ["fcfs", "mine", "raises", "sprpt", "srpt"]
    again = tiny.openqueues(*command, problems=problems)
    assert again.returncode == 1 and again.stderr.count("is up to date") == 4


# --- new and check


def test_a_new_entry_runs_and_passes_its_check(tmp_path):
    problems = tmp_path / "problems"
    problems.mkdir()
    said = done("new", "problem", "my-question", "--question", "2.1-c", problems=problems)
    files = [Path(line.strip()) for line in said.splitlines() if line.strip().endswith((".toml", ".py"))]
    assert len(files) == 3 and all(file.is_file() for file in files)
    assert sum(len(file.read_text().splitlines()) for file in files) < 40
    assert done("check", "my-question", problems=problems) == "my-question: ok\n"
    said = done("new", "policy", "my-question", "second", problems=problems)
    policy = problems / "my-question" / "policies" / "second.py"
    assert str(policy) in said and len(policy.read_text().splitlines()) < 10
    assert done("check", problems=problems) == "my-question: ok\n"
    command = ["run", "2.1-c", "--tier", "smoke", "--results", tmp_path / "results"]
    done(*command, "--policy", "second", problems=problems)
    table = pyarrow.parquet.read_table(next((tmp_path / "results").rglob("second.parquet"))).to_pylist()
    assert {row["status"] for row in table} == {"ok"} and {row["source"] for row in table} == {"simulation"}


RANK = tiny.POLICY.partition("\n\n")[2]
BROKEN = [
    ("problem.toml", "value = 2.0", "value = 2.1", "exact gives 2 +- 1e-09 instead of 2.1"),
    ("problem.toml", "value = 2.0", "value = 2.1", "simulate gives 2"),
    ("problem.py", "draw = random.Random(seed)", "draw = random", "another mean_response for the same seed"),
    ("problem.py", '"mean_response": value, "compl', '"mean": value, "compl', "does not return the metric"),
    ("problem.py", "(mean(point, policy), 1e-9)}", "(float('inf'), 1e-9)}", "return a finite value"),
    ("problem.py", "(mean(point, policy), 1e-9)}", "(1.0, -1.0)}", "an error of at least 0"),
    ("problem.py", "def exact", "def bound(point):\n    return {'p99': 1.0}\n\n\ndef exact", "not in"),
    ("policies/mine.py", '"""First come, first served."""', "", "has no docstring"),
    ("policies/mine.py", '("arrival",)', '("arrival", "size")', "has 'size' in SEES and does not use it"),
    ("policies/mine.py", "return arrival", "return", "it must return a number"),
    ("policies/mine.py", RANK, RANK.replace("arrival", "age"), "rank rises while a job is served: write SHAPE"),
    ("policies/mine.py", "rank(arrival)", "rank(size)", "neither in SEES nor in PARAMETERS"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "instead", "sentence"), BROKEN, ids=[broken[3] for broken in BROKEN])
def test_check_says_what_is_wrong(problems, name, text, instead, sentence):
    file = problems / "tiny" / name
    content = file.read_text()
    assert text in content
    file.write_text(content.replace(text, instead))
    said = tiny.openqueues("check", "tiny", problems=problems)
    assert said.returncode == 1 and "Traceback" not in said.stderr
    assert sentence in said.stderr, said.stderr
    assert said.stdout.startswith("tiny: ") and "ok" not in said.stdout


def test_check_says_once_what_all_policies_share(problems):
    file = problems / "tiny" / "problem.py"
    wrong = '    from openqueues.models.errors import InputError\n    raise InputError("did you mean this?")\n'
    text = file.read_text()
    for begin in ('    if policy.endswith("raises.py"):', "    return None if policy"):
        assert begin in text
        text = text.replace(begin, wrong + begin)
    file.write_text(text)
    said = tiny.openqueues("check", "tiny", problems=problems)
    assert said.stderr.splitlines() == [
        "openqueues: tiny, experiment 'loads': did you mean this?",
        "openqueues: tiny, anchor 'M/M/1': exact failed: did you mean this?",
    ]
    assert said.stdout == "tiny: 2 complaints\n"
    file.write_text(text.replace("    raise InputError(", "    if policy == 'srpt': raise InputError("))
    said = tiny.openqueues("check", "tiny", problems=problems)
    assert said.stderr == "openqueues: tiny, experiment 'loads', policy 'srpt': did you mean this?\n"
    assert said.stdout == "tiny: 1 complaint\n"


def test_check_accepts_what_is_right(problems):
    assert done("check", "tiny", problems=problems) == "tiny: ok\n"


@pytest.mark.parametrize(
    ("policy", "column"),
    [("srpt", "size"), ("sjf", "size"), ("psjf", "size"), ("onebit-true", "size")]
    + [("onebit-true:preemptive=false", "size"), ("sprpt", "predicted"), ("spjf", "predicted")]
    + [("bounce", "predicted"), ("kbit:bits=2", "predicted")],
)
def test_blindness_is_tested(problems, monkeypatch, policy, column):
    """A policy that is handed more than it declares is found out by what it does; an honest one passes."""
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(problems))
    entry = registry.entry("tiny")
    honest = registry.policy(entry, policy)
    assert blindness(entry, policy) == []
    monkeypatch.setattr(registry, "policy", lambda entry, name: replace(honest, sees=("age", "arrival")))
    assert any(f"does not have '{column}' in SEES, but depends on it" in said for said in blindness(entry, policy))


@pytest.mark.parametrize("policy", ["fcfs", "lcfs", "ps", "las", "mine"])
def test_blind_policies_pass_the_test_of_blindness(problems, monkeypatch, policy):
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(problems))
    assert blindness(registry.entry("tiny"), policy) == []


# --- mg1


def test_mg1_json_has_closed_forms():
    rows = json.loads(done("mg1", "--load", 0.5, 0.8, "--policy", "fcfs", "--policy", "ps", "--json"))
    assert [(row["policy"], row["load"]) for row in rows] == [
        ("fcfs", 0.5),
        ("fcfs", 0.8),
        ("ps", 0.5),
        ("ps", 0.8),
    ]
    for row in rows:
        assert set(row) == {"policy", "load", "mean_response", "error"}
        assert row["mean_response"] == pytest.approx(1 / (1 - row["load"]), rel=1e-11)
        assert 0 <= row["error"] < 1e-9


def test_mg1_simulation_meets_analysis_on_common_jobs():
    command = [
        "mg1",
        "--sizes",
        "weibull:shape=0.5",
        "--predictions",
        "exponential",
        "--load",
        0.5,
        "--policy",
        "sprpt",
    ]
    command += [
        "--policy",
        "onebit:threshold=optimal",
        "--simulate",
        "2e5",
        "--replications",
        8,
        "--seed",
        3,
        "--json",
    ]
    rows = json.loads(done(*command))
    for row in rows:
        assert set(row) == {
            "policy",
            "load",
            "mean_response",
            "error",
            "simulated_mean",
            "simulated_halfwidth",
        }
        # Student's 99.9% quantile over its 95% quantile with 7 degrees of freedom: 2.3.
        assert abs(row["simulated_mean"] - row["mean_response"]) < 2.3 * row["simulated_halfwidth"]
        assert 0 < row["simulated_halfwidth"] < 0.03 * row["mean_response"]
    assert done(*command) == done(*command)
    assert rows != json.loads(done(*[4 if word == 3 else word for word in command]))


def test_mg1_quantiles_by_themselves_with_spaces_or_with_commas():
    command = ["mg1", "--load", 0.5, "--policy", "fcfs", "--json", "--quantiles"]
    more = ((), (0.999, 0.5), ("0.5,0.999",))
    plain, spaces, commas = (json.loads(done(*command, *given))[0]["quantiles"] for given in more)
    assert list(plain) == ["p50", "p90", "p99", "p999"]
    assert spaces == commas and list(commas) == ["p50", "p999"]
    assert plain["p50"]["value"] == pytest.approx(2 * math.log(2), rel=1e-3)


def test_mg1_quantiles_by_analysis_and_by_simulation():
    command = ["mg1", "--load", 0.5, "--policy", "fcfs", "--policy", "bounce", "--quantiles", "0.99,0.5,0.25"]
    command += ["--simulate", 20000]
    fcfs, bounce = json.loads(done(*command, "--json"))
    assert list(fcfs["quantiles"]) == ["p25", "p50", "p99"]
    for level, name in ((0.25, "p25"), (0.5, "p50"), (0.99, "p99")):
        quantile = fcfs["quantiles"][name]
        assert set(quantile) == {"value", "error", "simulated", "halfwidth"}
        assert quantile["value"] == pytest.approx(-2 * math.log(1 - level), rel=1e-4)
        assert bounce["quantiles"][name]["value"] is None
    assert fcfs["quantiles"]["p25"]["simulated"] is None
    assert fcfs["quantiles"]["p50"]["simulated"] == pytest.approx(2 * math.log(2), rel=0.1)
    assert 0 < bounce["quantiles"]["p99"]["halfwidth"] < bounce["quantiles"]["p99"]["simulated"]
    header, line, _ = done(*command).splitlines()
    assert header.split().count("simulated") == 4 and "p99" in header
    assert float(line.split()[-4]) == pytest.approx(2 * math.log(100), rel=1e-3)


def test_mg1_takes_a_policy_file(tmp_path):
    file = tmp_path / "first.py"
    file.write_text(tiny.POLICY)
    command = ["mg1", "--load", 0.5, "--policy", file, "--policy", "fcfs", "--simulate", 20000, "--json"]
    mine, builtin = json.loads(done(*command))
    assert mine["policy"] == str(file) and mine["mean_response"] is None and mine["error"] is None
    assert mine["simulated_mean"] == pytest.approx(builtin["simulated_mean"], rel=1e-9)


def test_mg1_table():
    header, line = done("mg1", "--load", 0.8, "--policy", "sprpt").splitlines()
    assert header.split("  ")[0] == "policy" and "mean response" in header and "error" in header
    policy, load, mean, error = line.split()
    assert (policy, load) == ("sprpt", "0.8")
    assert float(mean) == pytest.approx(3.13752398914, rel=1e-9) and float(error) < 1e-8
    wide = done("mg1", "--load", 0.8, "--policy", "sprpt", "--simulate", 1000).splitlines()[1].split()
    assert not math.isnan(float(wide[4])) and float(wide[5]) > 0


def test_table_1_in_one_call():
    """56 numbers in two seconds on a quiet machine; processor time leaves out what others run meanwhile."""
    import resource

    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    policies = [
        word for name in ("fcfs", "sjf", "spjf", "psjf", "pspjf", "srpt", "sprpt") for word in ("--policy", name)
    ]
    rows = json.loads(done("mg1", "--load", 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, *policies, "--json"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert len(rows) == 56 and all(row["error"] < 1e-6 * row["mean_response"] for row in rows)
    assert min(spent, time.perf_counter() - started) < 2


def test_the_number_of_threads_of_blas_is_ours_and_not_the_machines():
    code = "import os; from openqueues.cli import main; main(['list']); print(os.environ['OPENBLAS_NUM_THREADS'])"
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "1"
