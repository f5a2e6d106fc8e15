"""The workflow: what it would run, what it loads to know that, what a failing policy or a kill do to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_entries
from openqueues import plan, registry, runner

ROOT = Path(__file__).parents[1]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


@pytest.fixture
def problems(tmp_path):
    folder = tmp_path / "problems"
    small_entries.write(folder)
    return folder


def settings(problems: Path, results: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a run of the workflow on made-up entries, with results aside."""
    command = [SNAKEMAKE, "--cores", "2", "--config", "tier=smoke", f"results={results}"]
    return command, os.environ | {"OPENQUEUES_PROBLEMS": str(problems), "NO_COLOR": "1"}


def snakemake(problems: Path, results: Path, *options: str) -> subprocess.CompletedProcess:
    command, environment = settings(problems, results)
    return subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by name, but for the provenance of cells, which holds the time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not (path.suffix == ".json" and path.with_suffix(".parquet").exists()):
            found[name] = path.read_bytes()
    return found


def test_dry_run_lists_all_cells(problems, tmp_path):
    done = snakemake(problems, tmp_path / "results", "-n", "--quiet", "host")
    assert done.returncode == 0, done.stdout
    said = done.stdout
    for experiment, policies in {
        "made-up-question/loads": ("fcfs", "srpt", "sprpt", "broken", "garbled"),
        "made-up-question/kinds": ("fcfs", "srpt", "sprpt", "broken", "garbled"),
        "made-up-tables/loads": ("fcfs", "srpt", "sprpt"),
    }.items():
        for policy in policies:
            assert f"output: {tmp_path}/results/smoke/{experiment}/{policy}.parquet" in said
    assert f"output: {tmp_path}/results/smoke/book/index.html" in said


def test_planning_loads_no_numerical_library_and_no_entry(problems):
    for file in problems.glob("*/problem.py"):
        file.write_text("raise SystemExit('an entry was imported')\n")
    code = (
        "import sys; from openqueues import plan, registry; cells = plan.cells('smoke'); registry.slugs(); "
        "print(len(cells), *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"OPENQUEUES_PROBLEMS": str(problems)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    number, *loaded = done.stdout.split()
    assert number == "13"
    assert not {"numba", "numpy", "pandas", "scipy", "pyarrow", "matplotlib"} & set(loaded)


def test_parsing_loads_no_compiler_and_no_entry(problems, tmp_path):
    for file in problems.glob("*/problem.py"):
        file.write_text("raise SystemExit('an entry was imported')\n")
    command, environment = settings(problems, tmp_path / "results")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "snakemake", *command[1:], "-n", "--quiet", "all"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "openqueues" in loaded
    assert not {"numba", "scipy", "matplotlib"} & loaded


def to_make(problems: Path, folder: Path) -> list[str]:
    """The cells that the workflow would make."""
    done = snakemake(problems, folder, "-n", "--quiet", "host")
    assert done.returncode == 0, done.stdout
    return sorted(re.findall(rf"output: {folder}/smoke/(\S+)\.parquet", done.stdout))


def test_files_of_which_snakemake_has_no_notes_are_made_again_if_their_sources_changed(tmp_path, monkeypatch):
    """They came from another machine, or `openqueues run` made them."""
    problems, folder = tmp_path / "problems", tmp_path / "results"
    small_entries.write(problems, broken=False)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(problems))
    for entry in registry.entries():
        for cell in plan.cells_of(entry, "smoke", folder):
            runner.run_cell(entry, entry.experiment(cell.experiment), cell.policy, "smoke", folder)
    assert to_make(problems, folder) == []
    source = problems / "made-up-question" / "problem.py"
    before = source.read_text()
    source.write_text(before + "\n\nANOTHER = 1\n")
    all_of_it = [f"made-up-question/{of}/{policy}" for of in ("kinds", "loads") for policy in ("fcfs", "sprpt", "srpt")]
    assert to_make(problems, folder) == all_of_it
    source.write_text(before)
    assert to_make(problems, folder) == []


def test_a_file_that_was_replaced_after_snakemake_made_it_is_made_again(tmp_path, monkeypatch):
    problems, folder = tmp_path / "problems", tmp_path / "results"
    small_entries.write(problems, broken=False)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(problems))
    name = "made-up-question/loads/srpt"
    assert snakemake(problems, folder, "--until", "cell").returncode == 0
    assert to_make(problems, folder) == []
    provenance = folder / "smoke" / f"{name}.json"
    provenance.write_text(provenance.read_text().replace('"hash": "', '"hash": "0'))
    assert to_make(problems, folder) == [name]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("tier=smok", "unknown tier 'smok': did you mean 'smoke'?"),
        ("teir=smoke", "unknown setting 'teir': did you mean 'tier'?"),
        ("tier=7", "unknown tier '7'"),
        ("results=", "the setting 'results' is wrong"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(setting, sentence):
    done = subprocess.run([SNAKEMAKE, "-n", "--config", setting], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_policy_that_raises_stops_nothing_and_the_checkout_stays_clean(problems, tmp_path):
    pandas = pytest.importorskip("pandas")
    clean = ["git", "status", "--porcelain"]
    before = subprocess.run(clean, cwd=ROOT, capture_output=True, text=True).stdout
    results = tmp_path / "results"
    done = snakemake(problems, results)
    assert done.returncode == 0, done.stdout[-3000:]
    index = results / "smoke" / "book" / "index.html"
    assert index.is_file()
    assert done.stdout.strip().splitlines()[-1] == f"The book: {index}"
    rows = pandas.read_parquet(results / "smoke" / "made-up-question" / "loads" / "broken.parquet")
    assert set(rows["status"]) == {"failed"}
    page = (results / "smoke" / "book_source" / "entries" / "made-up-question" / "index.md").read_text()
    assert "[failed]{.failed}" in page
    assert "| garbled `garbled` | malformed: " in page
    after = subprocess.run(clean, cwd=ROOT, capture_output=True, text=True).stdout
    assert after == before
    again = snakemake(problems, results)
    assert again.returncode == 0
    assert not any(line.startswith(("cell ", "pages ", "book ")) for line in again.stdout.splitlines())
    assert again.stdout.strip().splitlines()[-1] == f"The book: {index}"

    # A policy that is added runs alone, in each experiment of its entry.
    added = problems / "made-up-question" / "policies" / "added.py"
    added.write_text(small_entries.BROKEN.replace("Raises when it is run.", "A policy."))
    third = snakemake(problems, results, "-n", "--quiet", "host")
    said = third.stdout
    assert "added.parquet" in said
    assert "fcfs.parquet\n" not in said
    counted = [line.split() for line in said.splitlines() if line.startswith("cell ")]
    assert counted and counted[0][1] == "2"


@pytest.mark.slow
def test_killed_at_several_points_it_goes_on_to_the_same_bytes(problems, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert snakemake(problems, whole).returncode == 0
    expected = files(whole)
    assert any(name.endswith("book/index.html") for name in expected)
    command, environment = settings(problems, killed)
    kills = 0
    # Kill while Snakemake starts, whenever the folder has grown by some files, and inside pages and book.
    for number in (0, 1, 4, 9, 15, 22, 24, 40, 60):
        run = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while run.poll() is None and time.monotonic() < deadline:
            if sum(1 for path in killed.rglob("*") if path.is_file()) >= number:
                time.sleep(0.4)
                break
            time.sleep(0.02)
        kills += run.poll() is None
        with_group(run.pid, signal.SIGKILL)
        run.wait(30)
    assert kills >= 6
    last = snakemake(problems, killed)
    assert last.returncode == 0, last.stdout[-3000:]
    found = files(killed)
    assert found.keys() == expected.keys()
    assert [name for name in expected if expected[name] != found[name]] == []


def with_group(pid: int, sign: int) -> None:
    """Send a signal to the process group that `pid` leads, if it is still there."""
    try:
        os.killpg(pid, sign)
    except ProcessLookupError:
        pass
