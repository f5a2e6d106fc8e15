"""What `openqueues changes` says of two folders of results: what moved, by how much, and beyond what."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tiny
from openqueues import changes, cli, registry, results, runner
from openqueues.statistics import halfwidth


@pytest.fixture
def problems(tmp_path, monkeypatch):
    folder = tmp_path / "problems"
    tiny.write(folder, policies=("mine",))
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def edit(file: Path, text: str, instead: str) -> None:
    content = file.read_text()
    assert text in content
    file.write_text(content.replace(text, instead))


def made(name: str) -> Path:
    """The smoke results of all entries as they are now, in a folder of that name."""
    for entry in registry.entries():
        for experiment in entry.experiments:
            for policy in entry.policies_of(experiment):
                runner.run_cell(entry, experiment, policy, "smoke", name, force=True)
    return Path(name) / "smoke"


def said(capsys, *options: str) -> str:
    assert cli.main(["changes", "old", "new", "--tier", "smoke", *options]) == 0
    return capsys.readouterr().out


def test_the_same_sources_move_nothing(problems, capsys):
    made("old"), made("new")
    assert changes.compare(Path("old/smoke"), Path("new/smoke")) == ([], [], [], 1)
    assert said(capsys) == "No number moved. 1 entries.\n"
    assert said(capsys, "--markdown") == "- No number moved.\n"


def test_the_last_bits_are_no_move(problems):
    made("old")
    edit(problems / "tiny/problem.py", "* (1 + draw", "* (1 + 1e-13) * (1 + draw")
    (change,) = changes.compare(Path("old/smoke"), made("new")).changes
    assert change.moved.empty and change.compared == 4 * 2 * 3 + 2 * 3  # and exact means of the three built in


def test_a_move_is_measured_on_pairs_of_replications(problems):
    """Every simulated mean is 0.1% higher: far within its interval of 1%, and far beyond that of the pairs."""
    made("old")
    edit(problems / "tiny/problem.py", "* (1 + draw", "* 1.001 * (1 + draw")
    (change,) = changes.compare(Path("old/smoke"), made("new")).changes
    moved = change.moved
    assert len(moved) == 4 * 2 and set(moved["source"]) == {"simulation"} and set(moved["metric"]) == {"mean_response"}
    assert (moved["change"] / moved["old"]).to_list() == pytest.approx([0.001] * 8)
    assert (moved["width"] < 0.1 * moved["change"]).all() and (moved["old_width"] > moved["change"]).all()
    assert not moved["apart"].any()


@pytest.mark.parametrize(("times", "apart"), [(1.5, False), (2.5, True)])
def test_intervals_are_apart_beyond_the_sum_of_their_half_widths(problems, times, apart):
    policy, point = "mine", '{"load":0.5,"sizes":"exponential"}'
    table = results.load(made("old"))
    values = table[(table["policy"] == policy) & (table["parameters"] == point) & (table["metric"] == "mean_response")]
    share = halfwidth(values["value"].to_numpy()) / values["value"].mean()
    edit(problems / "tiny/problem.py", "* (1 + draw", f"* {1 + times * share} * (1 + draw")
    (change,) = changes.compare(Path("old/smoke"), made("new")).changes
    rows = change.moved[(change.moved["policy"] == policy) & (change.moved["parameters"] == point)]
    assert rows["apart"].to_list() == [apart]


def test_intervals_that_are_apart_come_first_and_call_for_a_version(problems, capsys):
    made("old")
    edit(problems / "tiny/problem.py", '"sprpt": 0.6', '"sprpt": 0.45')
    made("new")
    lines = said(capsys).splitlines()
    assert lines[0] == "tiny: 4 of 30 values moved, 4 beyond their intervals"
    assert lines[1] == "  best so far mine: 83.3% of the gap → SPRPT: 91.7% of the gap"
    assert lines[2] == "  agrees → differs: Table 9, sprpt at 0.50, printed 1.600"
    # What is exact comes before what is simulated.
    assert re.fullmatch(
        r"  loads +sprpt +load 0.5 +mean_response +1\.6000.+ 1\.4500.+ −9\.3[78]% ± [\de.-]+%  \*", lines[4]
    )
    assert lines[-3:] == [
        "1 of 1 entries have values that moved.",
        "± 95% of the change, replications of the same seed paired; * the intervals are apart.",
        "Beyond their intervals, and the version not raised: tiny.",
    ]
    edit(problems / "tiny/problem.toml", "metrics = [", "version = 2\nmetrics = [")
    made("new")
    lines = said(capsys).splitlines()
    assert lines[0].startswith("tiny: version 1 → 2, 4 of 30 values moved")
    assert "not raised" not in lines[-1]


def test_the_lines_for_the_changelog_name_the_headline_and_the_largest_move_of_each_experiment(problems, capsys):
    edit(problems / "tiny/problem.toml", "[experiments.tiers]", MORE)
    made("old")
    edit(problems / "tiny/problem.py", 'point["load"] / (1', '1.1 * point["load"] / (1')
    made("new")
    lines = said(capsys, "--markdown").splitlines()
    assert lines[0].startswith("- **tiny**: ") and all(line.startswith("  - ") for line in lines[1:])
    rows = [re.match(r"  - `(\w+)`, (\w+), load (0\.\d), mean_response: ", line) for line in lines]
    shown = [row.groups() for row in rows if row]
    assert [place[1:] for place in shown] == [("loads", "0.5")] * 3 + [("more", "0.9"), ("loads", "0.8")]
    # The floor grows the most, at the headline as at the highest load.
    assert [place[0] for place in shown] == ["fcfs", "sprpt", "mine", "fcfs", "fcfs"]
    assert len(said(capsys, "--markdown", "--all").splitlines()) > len(lines)


MORE = """[[experiments]]
name = "more"
title = "Higher load"
fixed = { sizes = "exponential" }
grid = { load = [0.5, 0.9] }
[experiments.tiers]"""


def test_cells_points_and_runs_that_are_others_are_named(problems, capsys):
    edit(problems / "tiny/problem.py", '.endswith("raises.py")', '.endswith("never.py")')
    (problems / "tiny/policies/raises.py").write_text(tiny.POLICY)
    made("old")
    edit(problems / "tiny/problem.py", '.endswith("never.py")', '.endswith("raises.py")')
    edit(problems / "tiny/problem.toml", "replications = 3", "replications = 4")
    edit(problems / "tiny/problem.toml", "load = [0.5, 0.8]", "load = [0.5, 0.7, 0.8]")
    (problems / "tiny/policies/mine.py").rename(problems / "tiny/policies/drifts.py")
    made("new")
    lines = said(capsys).splitlines()
    assert "  loads: 3 replications of 1000 jobs → 4 replications of 1000 jobs" in lines
    assert "  loads: 1 points are new, 0 gone" in lines
    assert "  new: drifts in loads" in lines and "  gone: mine in loads" in lines
    assert "  failed: raises in loads" in lines
    assert not [line for line in lines if "stable at other points" in line]  # drifts was not there before
    # More replications move a mean; that is no difference of pairs.
    (change,) = changes.compare(Path("old/smoke"), Path("new/smoke")).changes
    moved = change.moved
    assert set(moved["policy"]) == {"fcfs", "srpt", "sprpt"}
    assert (moved["change"] == moved["new"] - moved["old"]).all() and (moved["width"] > moved["old_width"]).all()


def test_a_point_is_the_same_wherever_it_stands_in_the_grid(problems):
    made("old")
    edit(problems / "tiny/problem.toml", "load = [0.5, 0.8]", "load = [0.2, 0.5, 0.8]")
    (change,) = changes.compare(Path("old/smoke"), made("new")).changes
    assert change.moved.empty and change.verdicts == {} and change.best[0] == change.best[1] != "none"


def test_a_policy_that_is_not_stable_any_more_is_told_and_one_that_failed_before_is_not(problems, capsys):
    for name in ("drifts", "raises"):
        (problems / f"tiny/policies/{name}.py").write_text(tiny.POLICY)
    made("old")
    edit(problems / "tiny/problem.py", 'float(policy.endswith("drifts.py"))', "0.0")
    made("new")
    text = said(capsys)
    assert "  stable at other points than before: drifts in loads" in text.splitlines() and "failed" not in text


def test_a_part_of_the_results_says_nothing_of_the_rest(problems, capsys):
    """Someone who ran one policy again is not told that the others lost their place or their verdicts."""
    tiny.write(problems, "other", tiny.PROBLEM_TOML.replace("2.1-a", "2.1-b"))
    made("old"), made("new")
    edit(problems / "tiny/problem.py", '"sprpt": 0.6', '"sprpt": 0.7')
    made("new")
    for policy in ("fcfs", "srpt", "mine"):
        for file in Path("new/smoke/tiny/loads").glob(f"{policy}.*"):
            file.unlink()
    shutil.rmtree("new/smoke/other")
    text = said(capsys)
    assert "best so far" not in text and "cannot tell" not in text
    assert "agrees → differs: Table 9, sprpt" in text
    assert text.endswith("Entries that are not in the new results: other.\n")


def test_results_of_an_entry_that_is_no_more_are_compared(problems, capsys):
    made("old")
    edit(problems / "tiny/problem.py", '"sprpt": 0.6', '"sprpt": 0.7')
    made("new")
    shutil.move(problems / "tiny", "elsewhere")
    assert "4 of 30 values moved" in said(capsys)
    assert "sprpt   load 0.8, sizes exponential" in said(capsys)


def test_what_holds_no_results_is_refused(problems, capsys):
    made("old")
    assert cli.main(["changes", "old", "new", "--tier", "smoke"]) == 2
    assert capsys.readouterr().err == (
        "openqueues: new/smoke holds no results: name a folder that `snakemake` or `openqueues run` has made.\n"
    )
    made("new")
    file = next(Path("new/smoke").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    assert cli.main(["changes", "old", "new", "--tier", "smoke"]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert results.load("old/smoke") is not None
