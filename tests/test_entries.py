"""Every entry that the registry finds keeps its contract. Nothing here knows an entry by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from openqueues import plan, registry, runner
from openqueues.check import check
from openqueues.entry import TIERS, Entry
from openqueues.models.queues import compiled

SLUGS = registry.slugs()


@pytest.fixture(scope="module", params=SLUGS)
def entry(request) -> Entry:
    return registry.entry(request.param)


@pytest.fixture(scope="session")
def openings() -> set[Path]:
    """Source files that this process opens from now on; Python's own reading of modules is by compiled files."""
    found: set[Path] = set()
    sys.addaudithook(
        lambda event, given: (
            found.add(Path(given[0]))
            if event == "open" and isinstance(given[0], str | Path) and str(given[0]).endswith(".py")
            else None
        )
    )
    return found


@pytest.fixture
def opened(openings) -> set[Path]:
    # What an earlier test has compiled is not read again.
    compiled._load.cache_clear()
    compiled.serve_fcfs.cache_clear()
    return openings


def test_there_are_entries():
    assert SLUGS
    assert {answer for entry in registry.entries() for answer in entry.answers}


def test_the_questions_are_the_papers():
    questions = registry.questions()
    assert len(questions) == 43
    sections = ["2.1", "2.2", "2.3", "2.4", "2.5", "4.1", "4.2", "4.3", "5.1", "5.2", "5.3", "6"]
    assert list(dict.fromkeys(question.section for question in questions.values())) == sections
    for id, question in questions.items():
        assert id == question.id and id.partition("-")[0] == question.section
        assert question.gist.strip() and question.show.strip()


def test_the_contract_is_kept(entry):
    assert check(entry.slug) == [], "what to write stands in each complaint"


def test_readers_are_told_enough(entry):
    assert entry.summary.strip().endswith("."), "summary is one sentence with a full stop"
    assert "\n" not in entry.summary.strip(), "summary is one sentence on one line"
    for text in ("known", "improve"):
        assert getattr(entry, text).strip(), f"write {text} in problem.toml"
    assert entry.status is not None, "write [status] with state, date and note"
    assert entry.references, "cite at least one source in [[references]], with the reason it is cited"


def test_all_tiers_run_all_policies_and_grow(entry):
    for experiment in entry.experiments:
        jobs = [tier.jobs * tier.replications for tier in map(experiment.tier, TIERS)]
        assert jobs == sorted(jobs), f"the tiers of experiment '{experiment.name}' must not shrink: {jobs}"
        assert all(experiment.points(tier) for tier in TIERS)


def test_cells_have_distinct_files_and_stable_hashes(entry):
    for tier in TIERS:
        cells = plan.cells_of(entry, tier)
        assert cells and len({cell.path for cell in cells}) == len(cells)
        assert cells == plan.cells_of(registry.entry(entry.slug), tier)


def test_what_a_replication_reads_is_what_its_cell_depends_on(entry, opened):
    problem = registry.problem(entry)
    for experiment in entry.experiments:
        point = experiment.points("smoke")[0]
        for policy in entry.policies_of(experiment):
            opened.clear()
            argument = registry.policy_argument(entry, policy)
            runner.simulate(entry, problem, point, argument, seed=1, jobs=200)
            models = registry.package_folder("openqueues.models")
            read = {file.relative_to(models).as_posix() for file in opened if file.is_relative_to(models)}
            known = plan.sources(entry, policy)
            missing = {name for name in read if name not in known and f"policy/{Path(name).name}" not in known}
            assert not missing, f"{policy} in {experiment.name}: a change to {missing} would go unnoticed"


def test_a_policy_that_knows_all_is_only_a_reference_point(entry):
    if entry.policies.floor is None:
        pytest.skip("the entry has no floor")
    assert registry.information(entry, entry.policies.floor) == "blind", "the floor is what blind service gives"
