"""Commands forked by a process that has loaded the libraries: the same as commands that start by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_entries

OPENQUEUES = str(Path(sys.executable).with_name("openqueues"))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Environment in which commands are handed over, and the process that runs them."""
    folder = tmp_path_factory.mktemp("warm")
    small_entries.write(folder / "problems")
    slow = "\nimport os, time\n\ntime.sleep(float(os.environ.get('SECONDS', 0)))\n"
    with (folder / "problems" / "made-up-question" / "problem.py").open("a") as file:
        file.write(slow)
    path = folder / "socket"
    process = subprocess.Popen([sys.executable, "-m", "openqueues.warm", str(path)])
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    alone = os.environ | {"OPENQUEUES_PROBLEMS": str(folder / "problems")}
    yield alone, alone | {"OPENQUEUES_WARM": str(path)}, process
    process.kill()
    process.wait()


def run(environment, folder, *arguments):
    command = [OPENQUEUES, "run", "made-up-question", "--tier", "smoke", "--cores", "1", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def children(process) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def begun(environment, folder, process, *options) -> tuple[subprocess.Popen, int]:
    """A client whose command would take a minute, and the process that runs it."""
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc to see the children in")
    command = [OPENQUEUES, "run", "made-up-question", "--policy", "srpt", "--results", str(folder), *options]
    client = subprocess.Popen(command, env=environment | {"SECONDS": "60"}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not children(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    (child,) = children(process)
    return client, child


def test_a_command_handed_over_writes_the_same_bytes_says_the_same_and_ends_with_the_same_code(warm, tmp_path):
    alone, handed, _ = warm
    for name, environment in (("alone", alone), ("handed", handed)):
        done = run(environment, tmp_path, "--policy", "srpt", "--results", name)
        assert (done.returncode, done.stdout) == (0, "")
        assert "[1/2] made-up-question" in done.stderr
    files = sorted((tmp_path / "alone").rglob("*.parquet"))
    assert len(files) == 2
    for file in files:
        assert file.read_bytes() == (tmp_path / "handed" / file.relative_to(tmp_path / "alone")).read_bytes()
    wrong = [run(environment, tmp_path, "--policy", "srtp") for environment in (alone, handed)]
    assert [done.returncode for done in wrong] == [2, 2]
    assert wrong[0].stderr == wrong[1].stderr != ""
    failed = [run(environment, tmp_path, "--policy", "broken", "--force") for environment in (alone, handed)]
    assert [done.returncode for done in failed] == [1, 1]


def test_a_command_reads_our_sources_when_it_starts_and_not_before(warm):
    code = (
        "import sys; from openqueues import warm; warm._load(); "
        "print([name for name in sys.modules if name.partition('.')[0] == 'openqueues'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['openqueues', 'openqueues.warm']"


def test_a_command_that_ends_by_itself_or_is_killed_is_not_run_again(warm, tmp_path):
    _, handed, process = warm
    told = subprocess.run([OPENQUEUES, "run", "--help"], env=handed, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0 and told.stdout.count("usage:") == 1
    client, child = begun(handed, tmp_path, process)
    os.kill(child, signal.SIGKILL)
    assert client.wait(30) == 1
    assert "was killed" in client.stderr.read()


def test_cells_of_a_process_that_was_killed_are_marked_as_failed_where_the_rest_goes_on(warm, tmp_path):
    pandas = pytest.importorskip("pandas")
    _, handed, process = warm
    client, child = begun(handed, tmp_path, process, "--tier", "smoke", "--keep-going")
    os.kill(child, signal.SIGKILL)
    assert client.wait(30) == 0
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet"))
    assert made == [f"smoke/made-up-question/{experiment}/srpt.parquet" for experiment in ("kinds", "loads")]
    for path in made:
        assert set(pandas.read_parquet(tmp_path / path)["status"]) == {"failed"}
    assert "its process was killed: it may have needed more memory than there was" in client.stderr.read()


def test_a_command_runs_by_itself_where_nobody_listens(warm, tmp_path):
    alone, _, _ = warm
    nobody = alone | {"OPENQUEUES_WARM": str(tmp_path / "nobody")}
    assert run(nobody, tmp_path, "--policy", "srpt", "--results", "here").returncode == 0
    assert len(list((tmp_path / "here").rglob("*.parquet"))) == 2


def test_where_no_socket_can_be_made_it_ends_without_a_word(tmp_path):
    path = tmp_path / ("long" * 40)
    done = subprocess.run([sys.executable, "-m", "openqueues.warm", str(path)], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_command_ends_with_the_one_who_asked_for_it(warm, tmp_path):
    _, handed, process = warm
    client, child = begun(handed, tmp_path, process)
    client.kill()
    client.wait()
    deadline = time.monotonic() + 20
    while child in children(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert child not in children(process)


def test_it_ends_with_the_process_that_started_it(tmp_path):
    path = tmp_path / "socket"
    code = (
        "import subprocess, sys, time, pathlib; "
        f"p = subprocess.Popen([sys.executable, '-m', 'openqueues.warm', {str(path)!r}]); print(p.pid, flush=True); "
        f"[time.sleep(0.1) for _ in range(300) if not pathlib.Path({str(path)!r}).exists()]"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(int(done.stdout), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it is still there")
