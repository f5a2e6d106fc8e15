"""The same cell gives the same bytes, whole or not at all, and is made again only when its sources change."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
import tiny
from openqueues import plan, registry, results, runner
from openqueues.models.errors import InputError


@pytest.fixture
def problems(tmp_path, monkeypatch):
    folder = tmp_path / "problems"
    tiny.write(folder, policies=("mine",))
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(folder))
    return folder


def make(folder: Path, policies=("fcfs", "sprpt", "mine"), **options) -> dict[str, str]:
    """Run policies of the tiny entry; returns the digest of every Parquet file by name."""
    entry = registry.entry("tiny")
    for policy in policies:
        runner.run_cell(entry, entry.experiment("loads"), policy, "smoke", folder, **options)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.parquet")}


def test_same_bytes_whatever_the_cores_the_order_and_the_past(problems, tmp_path):
    one = make(tmp_path / "a", cores=1)
    assert set(one) == {"fcfs.parquet", "sprpt.parquet", "mine.parquet"}
    assert make(tmp_path / "b", policies=("mine", "sprpt", "fcfs"), cores=4) == one
    assert make(tmp_path / "a", force=True, cores=3) == one
    assert len(set(one.values())) == 3


def test_a_finished_cell_is_kept_until_its_sources_change(problems, tmp_path):
    entry, folder = registry.entry("tiny"), tmp_path / "results"
    experiment = entry.experiment("loads")

    def state() -> str:
        plan.forget()
        entry = registry.entry("tiny")
        return runner.run_cell(entry, entry.experiment("loads"), "mine", "smoke", folder).state

    assert state() == "made"
    assert state() == "kept"
    cell = plan.cell(entry, experiment, "mine", "smoke", folder)
    Path(cell.path).unlink()
    assert state() == "made"
    policy = problems / "tiny" / "policies" / "mine.py"
    policy.write_text(policy.read_text() + "\n# another\n")
    assert state() == "made"
    assert state() == "kept"
    toml = problems / "tiny" / "problem.toml"
    toml.write_text(toml.read_text().replace("A statement.", "Another statement."))
    assert state() == "kept"
    toml.write_text(toml.read_text().replace("jobs = 1000", "jobs = 1001"))
    assert state() == "made"


def test_a_policy_or_a_helper_changes_the_hashes_that_depend_on_it_and_no_other(problems):
    def hashes() -> dict[str, str]:
        plan.forget()
        return {cell.policy: cell.hash for cell in plan.cells("smoke")}

    before = hashes()
    assert set(before) == {"fcfs", "srpt", "sprpt", "mine"}
    policy = problems / "tiny" / "policies" / "mine.py"
    policy.write_text(policy.read_text() + "# another\n")
    after = hashes()
    assert {name for name in before if after[name] != before[name]} == {"mine"}
    model = problems / "tiny" / "problem.py"
    (problems / "tiny" / "helper.py").write_text("A = 1\n")
    assert hashes() == after
    model.write_text(model.read_text() + "\nfrom . import helper\n")
    with_helper = hashes()
    assert all(with_helper[name] != after[name] for name in after)
    (problems / "tiny" / "helper.py").write_text("A = 2\n")
    assert all(value != with_helper[name] for name, value in hashes().items())


def test_hashes_reach_the_kernels_that_a_real_model_uses(problems):
    entry = problems / "tiny"
    (entry / "problem.py").write_text("from openqueues.models.mg1 import exact, simulate\n")
    found = set(plan.sources(registry.entry("tiny"), "sprpt"))
    assert {"mg1.py", "queues/falling.py", "queues/heap.py", "streams.py", "policy/sprpt.py"} <= found
    assert not {name for name in found if name.startswith("policies/") and "srpt" in name}


def test_rows_follow_the_schema(problems, tmp_path):
    make(tmp_path, policies=("sprpt",))
    path = tmp_path / "smoke" / "tiny" / "loads" / "sprpt.parquet"
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == list(results.COLUMNS)
    assert not table.schema.metadata
    frame = results.load(tmp_path)
    simulated, analysed = (frame[frame["source"] == name] for name in ("simulation", "analysis"))
    assert len(simulated) == 2 * 3 * 3 and len(analysed) == 2
    assert set(frame["status"]) == {"ok"} and set(frame["problem"]) == {"tiny"}
    assert set(frame["parameters"]) == {
        '{"load":0.5,"sizes":"exponential"}',
        '{"load":0.8,"sizes":"exponential"}',
    }
    assert set(analysed["replication"]) == {-1}
    assert sorted(simulated["replication"].unique()) == [0, 1, 2]
    assert analysed["value"].tolist() == pytest.approx([1.6, 3.4])
    assert simulated["error"].isna().all() and (analysed["error"] == 1e-9).all()
    provenance = json.loads(path.with_suffix(".json").read_text())
    entry = registry.entry("tiny")
    assert provenance["hash"] == plan.cell(entry, entry.experiment("loads"), "sprpt", "smoke").hash
    assert {"cpu", "wall_seconds", "versions", "sources", "failures"} <= set(provenance)


def test_seeds_are_shared_by_policies_and_by_nothing_else(problems, tmp_path):
    make(tmp_path)
    frame = results.load(tmp_path)
    frame = frame[(frame["metric"] == "mean_response") & (frame["source"] == "simulation")]
    assert (frame.groupby(["point", "replication"])["seed"].nunique() == 1).all()
    assert frame["seed"].nunique() == 2 * 3


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("raises", "ZeroDivisionError: division by zero (problem.py, line"),
        ("nan", "returned nan for mean_response"),
        ("text", "returned str for the metric 'mean_response' instead of a number"),
    ],
)
def test_a_failing_policy_gives_failed_rows_or_nothing(problems, tmp_path, policy, says):
    (problems / "tiny" / "policies" / f"{policy}.py").write_text(tiny.POLICY)
    entry = registry.entry("tiny")
    experiment = entry.experiment("loads")
    outcome = runner.run_cell(entry, experiment, policy, "smoke", tmp_path / "none", keep_going=False)
    assert outcome.state == "failed" and len(outcome.messages) <= 2 and says in outcome.messages[0]
    assert not (tmp_path / "none").exists()
    outcome = runner.run_cell(entry, experiment, policy, "smoke", tmp_path / "rows")
    assert outcome.state == "failed"
    frame = results.load(tmp_path / "rows")
    assert set(frame["status"]) == {"failed"} and frame["value"].isna().all() and len(frame) == 2 * 3
    failures = json.loads(Path(outcome.cell.provenance).read_text())["failures"]
    assert says in failures[0]


def test_unstable_replications_are_marked(problems, tmp_path):
    (problems / "tiny" / "policies" / "drifts.py").write_text(tiny.POLICY)
    make(tmp_path, policies=("drifts",))
    frame = results.load(tmp_path)
    assert set(frame["status"]) == {"unstable"} and frame["value"].notna().all()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file.parquet"
    results.replace(path, lambda target: Path(target).write_text("old"))

    def fail(target: str) -> None:
        Path(target).write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        results.replace(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.parquet"]


def test_load_refuses_what_is_no_result(tmp_path):
    with pytest.raises(InputError, match="holds no results"):
        results.load(tmp_path)
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(InputError, match="not readable as Parquet"):
        results.load(tmp_path)


def test_own_files_may_be_imported_and_results_do_not_depend_on_where_the_entry_lies(problems, tmp_path, monkeypatch):
    first = make(tmp_path / "a", policies=("mine",))
    moved = tmp_path / "elsewhere"
    shutil.copytree(problems, moved)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(moved))
    assert make(tmp_path / "b", policies=("mine",)) == first
    hashes = [json.loads(path.read_text())["hash"] for path in tmp_path.glob("[ab]/**/mine.json")]
    assert len(hashes) == 2 and len(set(hashes)) == 1


def test_imports_read_off_the_text_are_those_that_python_parses():
    for file in registry.package_folder("openqueues.models").rglob("*.py"):
        parsed = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                parsed.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parsed.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        found = plan._imports(file, "openqueues.models")
        assert found == {name for name in parsed if name.startswith("openqueues")}, file
