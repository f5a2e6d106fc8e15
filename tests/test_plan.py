"""What a tier costs before it is run, and how its cells are put together in the jobs of a cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny
import yaml
from openqueues import costs, plan, plan_cli, registry, timing
from openqueues.models.errors import InputError

ROOT = Path(__file__).parents[1]
RATES = costs.Rates(seconds=2.0, point_seconds=0.5, megabytes=40.0)


@pytest.fixture
def problems(tmp_path, monkeypatch):
    folder = tmp_path / "problems"
    tiny.write(folder, policies=("mine",))
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(folder))
    yield folder
    costs.forget()


def cells(tier="smoke") -> dict[str, plan.Cell]:
    return {cell.policy: cell for cell in plan.cells(tier)}


def test_a_cell_takes_its_jobs_times_a_rate_and_time_at_each_point(problems):
    (entry,) = registry.entries()
    (experiment,) = entry.experiments
    key = (entry.slug, experiment.name, "mine")
    costs.write({key: RATES}, problems / "costs.csv")
    assert costs.read(problems / "costs.csv") == {key: RATES}
    for tier in ("smoke", "standard", "paper"):
        size, points = experiment.tier(tier), len(experiment.points(tier))
        cost = costs.of(entry, experiment, "mine", tier)
        millions = size.jobs / 1e6
        expected = points * (0.5 + 2.0 * millions * size.replications) + costs.CELL_SECONDS
        assert cost.seconds == pytest.approx(expected)
        assert cost.memory_mb == pytest.approx(costs.BASE_MB + 1.5 * 40 * millions, abs=1)


def test_a_cell_without_rates_costs_what_its_entry_s_dearest_does(problems):
    own, other = ("tiny", "loads", "mine"), ("tiny", "loads", "fcfs")
    costs.write({own: RATES, other: costs.Rates(1.0, 0.7, 10.0)}, problems / "costs.csv")
    found = {policy: cell.cost for policy, cell in cells().items()}
    dearest = costs.Rates(seconds=2.0, point_seconds=0.7, megabytes=40.0)
    costs.write({own: RATES, other: dearest}, problems / "costs.csv")
    costs.forget()
    assert found["srpt"] == found["sprpt"] == cells()["fcfs"].cost
    assert len({found["mine"], found["fcfs"], found["srpt"]}) == 3


def test_a_table_that_cannot_be_read_is_named_with_its_line(problems):
    (problems / "costs.csv").write_text("problem,experiment,policy,seconds,point_seconds,megabytes\na,b,c,1,x,2\n")
    with pytest.raises(InputError, match=r"costs\.csv, line 2: not a row of costs"):
        plan.cells("smoke")


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1, 7, 99, 101, 400, 401, 1e5])
def test_a_full_job_of_a_cluster_starts_in_under_a_tenth_of_its_work(seconds):
    cost = costs.Cost(seconds, 500)
    work = cost.share * cost.seconds
    assert work <= max(costs.WORK_SECONDS, seconds)
    assert costs.JOB_SECONDS < work / 10 or cost.share == costs.MOST_CELLS
    # A cell that takes half of what was estimated still keeps to that.
    assert costs.JOB_SECONDS <= costs.WORK_SECONDS / 8 / 10


def test_a_cluster_is_asked_for_thrice_the_time_and_two_minutes():
    assert [costs.Cost(seconds, 500).minutes for seconds in (1, 20, 21, 600)] == [3, 3, 4, 32]


@pytest.mark.parametrize("tier", ["smoke", "standard", "paper"])
def test_the_jobs_of_a_tier_start_in_under_a_tenth_of_its_work(tier):
    assert plan_cli.summary(registry.entries(), tier)["overhead"] < 0.1


def test_the_profile_puts_as_many_cells_together_as_the_groups_say():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    components = dict(one.split("=") for one in profile["group-components"])
    shares = {costs.Cost(2.0**exponent, 500).share for exponent in range(-9, 12)} - {1}
    assert components == {f"cells-{share}": str(share) for share in sorted(shares)}
    assert 'f"cells-{' in (ROOT / "workflow/rules/cells.smk").read_text()


def test_rates_are_measured_cell_by_cell_and_a_policy_that_fails_has_none(problems):
    with (problems / "tiny" / "problem.py").open("a") as file:
        file.write("\n\nordinary = simulate\n\n\ndef simulate(point, policy, seed, jobs):\n")
        file.write("    return 1 / 0 if policy == 'srpt' else ordinary(point, policy, seed, jobs)\n")
    (entry,) = registry.entries()
    measured = {key[2]: rates for key, rates in timing.measure(entry)}
    assert measured.keys() == set(cells())
    assert measured["srpt"] is None
    assert measured["fcfs"].seconds > 0 and measured["fcfs"].point_seconds >= 0 and measured["fcfs"].megabytes >= 0


def test_the_command_says_what_a_tier_costs(problems):
    said = tiny.openqueues("plan", "--tier", "paper", "--price", "0.05", problems=problems)
    assert said.returncode == 0, said.stderr
    assert re.search(r"paper: 4 cells, about [\d.e-]+ core hours, [\d.]+ at that price", said.stdout)
    one = json.loads(tiny.openqueues("plan", "--tier", "paper", "--price", "50", "--json", problems=problems).stdout)
    hours = sum(cell.cost.seconds for cell in cells("paper").values()) / 3600
    assert one["total"]["core_hours"] == pytest.approx(hours) and [row["core_hours"] for row in one["entries"]] == [
        one["total"]["core_hours"]
    ]
    assert one["total"]["price"] == pytest.approx(50 * hours, abs=0.005) and one["total"]["price"] > 1
    wrong = tiny.openqueues("plan", "--price", "-1", problems=problems)
    assert (wrong.returncode, wrong.stderr) == (
        2, "openqueues: --price is -1.0, but must be a number that is not negative.\n",
    )  # fmt: skip


def test_snakemake_can_name_every_cell_to_a_job_of_a_cluster():
    """It puts wildcards after one another with commas between them, without quotes."""
    names = [cell.path for cell in plan.cells("smoke")]
    assert any("+" in name for name in names)
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9./=+_-]+", name)] == []
