"""A full disk, a kill, damage, another run in the same folder: one clear message, and nothing is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import small_entries
import tiny
from openqueues import registry, results, runner
from openqueues.models.errors import InputError
from test_keeping import cut, flip
from test_workflow import ROOT, files, settings, snakemake, with_group

BWRAP = shutil.which("bwrap")
walled = pytest.mark.skipif(
    not BWRAP or subprocess.run([BWRAP, "--dev-bind", "/", "/", "true"], capture_output=True).returncode != 0,
    reason="needs bubblewrap, for a small disk of its own",
)
RUN = "openqueues run tiny --tier smoke --policy fcfs --results"


@pytest.fixture
def problems(tmp_path, monkeypatch):
    folder = tmp_path / "problems"
    tiny.write(folder)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(folder))
    return folder


@pytest.fixture
def table(problems, tmp_path) -> Path:
    """The result of one cell of the tiny entry."""
    make(tmp_path / "results")
    return next((tmp_path / "results").rglob("fcfs.parquet"))


def make(folder: Path) -> str:
    entry = registry.entry("tiny")
    return runner.run_cell(entry, entry.experiment("loads"), "fcfs", "smoke", folder).state


def beside(walls: list[str], script: str) -> subprocess.CompletedProcess:
    """Run a shell script behind walls, with `openqueues` on the path."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [BWRAP, "--dev-bind", "/", "/", *walls, "sh", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("damage", [cut, flip], ids=["cut", "flipped"])
def test_a_damaged_result_is_named_never_read_and_made_again(table, tmp_path, damage):
    whole = table.read_bytes()
    table.write_bytes(damage(whole))
    with pytest.raises(InputError, match=f"{table} is damaged.* run its entry again"):
        results.load(tmp_path / "results")
    assert make(tmp_path / "results") == "made"
    assert table.read_bytes() == whole
    assert make(tmp_path / "results") == "kept"


def test_a_damaged_provenance_makes_the_cell_again(table, tmp_path):
    whole = table.read_bytes()
    table.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        results.load(tmp_path / "results")
    assert make(tmp_path / "results") == "made"
    assert table.read_bytes() == whole


@walled
def test_a_full_disk_is_named_nothing_half_written_stays_and_the_same_command_goes_on(table, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        head -c 200000 /dev/zero > {disk}/ballast 2> /dev/null
        {RUN} {disk}; echo "exit code $?"; find {disk} -type f
        rm {disk}/ballast
        {RUN} {disk} > /dev/null; echo "exit code $?"; find {disk} -name '*.part'
        cp -r {disk} {tmp_path}/after"""
    done = beside(["--size", "65536", "--tmpfs", str(disk)], script)
    assert "fcfs.parquet cannot be written: No space left on device: make room and run the same" in done.stderr
    assert done.stdout.splitlines() == ["exit code 2", f"{disk}/ballast", "exit code 0"]
    assert next((tmp_path / "after").rglob("fcfs.parquet")).read_bytes() == table.read_bytes()
    assert "Traceback" not in done.stderr


@walled
def test_a_folder_that_can_only_be_read_is_named_before_anything_is_run(problems, tmp_path):
    folder = tmp_path / "fixed"
    folder.mkdir()
    done = beside(["--ro-bind", str(folder), str(folder)], f"{RUN} {folder}; echo exit code $?")
    assert done.stdout.splitlines() == ["exit code 2"]
    assert done.stderr == f"openqueues: {folder} cannot be written: name a folder you may write to.\n"


@walled
@pytest.mark.parametrize("taken", [100_000, 45_000], ids=["full", "room for the source only"])
def test_kernels_are_compiled_anew_where_the_disk_of_their_cache_is_full(tmp_path, taken):
    cache = tmp_path / "cache"
    cache.mkdir()
    script = f"""
        head -c {taken} /dev/zero > {cache}/ballast 2> /dev/null
        export OPENQUEUES_CACHE={cache} TMPDIR={tmp_path}
        openqueues mg1 --load 0.5 --policy fcfs --simulate 1000; echo "exit code $?"
        ls {cache}"""
    done = beside(["--size", "65536", "--tmpfs", str(cache)], script)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert "exit code 0" in lines
    assert any(line.endswith(".py") for line in lines) == (taken < 65536)


def test_who_writes_the_same_file_at_once_writes_it_whole(tmp_path):
    path = tmp_path / "file"

    def write(letter: str) -> None:
        def slowly(target: str) -> None:
            with open(target, "w") as file:
                for _ in range(20):
                    file.write(letter * 1000)
                    file.flush()
                    time.sleep(0.0005)

        results.replace(path, slowly)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcdefgh"))
    assert path.read_text() in {letter * 20_000 for letter in "abcdefgh"}
    assert os.listdir(tmp_path) == ["file"]


def test_two_workflows_in_one_folder_the_second_says_so_and_ends(tmp_path):
    small_entries.write(tmp_path / "problems")
    held = results.hold(tmp_path / "results" / "smoke")
    try:
        second = snakemake(tmp_path / "problems", tmp_path / "results")
        assert second.returncode != 0
        assert f"another workflow is making {tmp_path}/results/smoke: wait until it ends" in second.stdout
        assert "Traceback" not in second.stdout
        assert [path.name for path in (tmp_path / "results").rglob("*") if path.is_file()] == [".lock"]
    finally:
        os.close(held)


@pytest.mark.slow
def test_two_hundred_kills_at_random_moments_end_in_the_same_bytes(tmp_path):
    """A kill takes all of the workflow, Snakemake alone, or one process it started; at times results vanish, too."""
    problems = tmp_path / "problems"
    small_entries.write(problems, broken=False)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    assert snakemake(problems, whole).returncode == 0
    span = time.monotonic() - started
    expected = files(whole)
    draw = random.Random(1)
    command, environment = settings(problems, killed)
    kills = 0
    while kills < 200:
        run = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        moment = time.monotonic() + draw.uniform(0, 1.2 * span)
        while run.poll() is None and time.monotonic() < moment:
            time.sleep(0.01)
        if run.poll() is None:
            kills += 1
            victim = draw.choice(["all", "all", "snakemake", "child"])
            children = started_by(run.pid)
            if victim == "child" and children:
                kill(draw.choice(children))
                moment = time.monotonic() + draw.uniform(0, span)
                while run.poll() is None and time.monotonic() < moment:
                    time.sleep(0.01)
            elif victim == "snakemake":
                kill(run.pid)
                time.sleep(draw.uniform(0, 0.5))  # what it started may go on for a while, or beside the next run
        elif draw.random() < 0.9:  # it came to its end: take something away, so that there is work to be killed in
            made = sorted(path for path in killed.rglob("*") if path.is_file())
            for path in draw.sample(made, min(len(made), 12)):
                path.unlink(missing_ok=True)
            for name in ("book", "book_source"):
                shutil.rmtree(killed / "smoke" / name, ignore_errors=True)
        with_group(run.pid, signal.SIGKILL)
        run.wait(60)
    last = snakemake(problems, killed)
    assert last.returncode == 0, last.stdout[-3000:]
    found = files(killed)
    assert found.keys() == expected.keys()
    assert [name for name in expected if expected[name] != found[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("hours", [30, -30], ids=["ahead", "behind"])
def test_a_clock_that_was_wrong_makes_nothing_wrong(tmp_path, hours):
    """Files from the future, or from before what they were made of: the same bytes come out again."""
    problems, folder = tmp_path / "problems", tmp_path / "results"
    small_entries.write(problems, broken=False)
    assert snakemake(problems, folder).returncode == 0
    expected = files(folder)
    draw = random.Random(1)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and draw.random() < 0.5:
            then = time.time() + 3600 * hours
            os.utime(path, (then, then))
    again = snakemake(problems, folder)
    assert again.returncode == 0, again.stdout[-3000:]
    assert files(folder) == expected
    third = snakemake(problems, folder)
    assert third.returncode == 0
    assert files(folder) == expected


def started_by(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
