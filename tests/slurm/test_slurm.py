"""The workflow on Slurm: the bytes of a local run, whatever fails, dies or is cancelled on the way.

Run by `pytest -m slurm -n 0 tests/slurm`, some minutes, after `apt-get install slurm-wlm munge` and `uv sync --extra
slurm`. The smoke tier of every tenth entry goes through Slurm; with OPENQUEUES_SLURM=all in the environment, all of it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import one_machine
import pytest
import small_entries
from openqueues import registry
from test_workflow import ROOT, SNAKEMAKE, files

PLUGIN = "snakemake_executor_plugin_slurm"
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(one_machine.missing()), reason=f"not installed: {one_machine.missing()}"),
    pytest.mark.skipif(importlib.util.find_spec(PLUGIN) is None, reason=f"not installed: {PLUGIN}"),
]

# A policy that takes a minute where FAST names no file; one whose job is ended, as Slurm ends it, where it has too
# little memory; one that dies whenever it runs.
MOODS = """
import os, signal, subprocess, time

ordinary = simulate


def simulate(point, policy, seed, jobs):
    if policy.endswith("slow.py") and not os.path.exists(os.environ["FAST"]):
        time.sleep(60)
    if policy.endswith("large.py") and "SLURM_JOB_ID" in os.environ:
        job = os.environ["SLURM_JOB_ID"]
        asked = subprocess.run(["squeue", "--noheader", "--format=%m", "--job", job], capture_output=True, text=True)
        if int(asked.stdout.strip().strip("M")) < 2000:
            subprocess.run(["scancel", job])
            time.sleep(60)
    if policy.endswith("deadly.py"):
        os.kill(os.getpid(), signal.SIGKILL)
    return ordinary(point, policy, seed, jobs)
"""


@pytest.fixture(scope="module")
def cluster():
    with one_machine.cluster() as environment:
        yield environment | {"NO_COLOR": "1"}


def entries(folder: Path, *policies: str) -> Path:
    """The made-up entries, without broken policies, and these policies beside."""
    small_entries.write(folder, broken=False)
    entry = folder / "made-up-question"
    with (entry / "problem.py").open("a") as file:
        file.write(MOODS)
    for name in policies:
        (entry / "policies" / f"{name}.py").write_text(small_entries.BROKEN)
    return folder


def command(results: Path, *options: str) -> list[str]:
    return [SNAKEMAKE, *options, "--config", "tier=smoke", f"results={results}"]


def run(results: Path, environment: dict[str, str], *options: str, timeout: int = 3600):
    return subprocess.run(
        command(results, *options), cwd=ROOT, env=environment, text=True, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def on_slurm(results: Path, environment: dict[str, str], *options: str):
    return run(results, environment, "--profile", "profiles/slurm", *QUICK, *options)


def on_this_machine(results: Path, environment: dict[str, str]) -> dict[str, bytes]:
    """Every file of a local run: what Slurm must give."""
    done = run(results, environment, "--cores", str(os.cpu_count()))
    assert done.returncode == 0, done.stdout[-3000:]
    return files(results)


def differing(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def queue(environment: dict[str, str], *options: str) -> list[str]:
    asked = subprocess.run(["squeue", "--noheader", *options], env=environment, capture_output=True, text=True)
    return asked.stdout.split("\n")[:-1]


def wait_for(what, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.3)


def test_the_smoke_tier_gives_the_same_bytes(cluster, tmp_path):
    chosen = registry.slugs()[:: 1 if os.environ.get("OPENQUEUES_SLURM") == "all" else 10]
    problems = tmp_path / "problems"
    for slug in chosen:
        shutil.copytree(registry.problems_folder() / slug, problems / slug)
    shutil.copy(registry.problems_folder() / "costs.csv", problems)
    environment = cluster | {"OPENQUEUES_PROBLEMS": str(problems)}
    done = on_slurm(tmp_path / "slurm", environment)
    assert done.returncode == 0, done.stdout[-3000:]
    submitted = queue(cluster, "--states=all", "--format=%i")
    assert 1 <= len(submitted) <= 6, submitted  # at most one job that is not full for each size
    expected = on_this_machine(tmp_path / "local", environment)
    assert len(expected) > 40
    assert differing(files(tmp_path / "slurm"), expected) == []


def test_a_cell_that_dies_is_marked_as_failed_and_a_job_short_of_memory_gets_more(cluster, tmp_path):
    pandas = pytest.importorskip("pandas")
    problems, results = entries(tmp_path / "problems", "deadly", "large"), tmp_path / "slurm"
    before = set(queue(cluster, "--states=all", "--format=%i"))
    done = on_slurm(results, cluster | {"OPENQUEUES_PROBLEMS": str(problems)})
    assert done.returncode == 0, done.stdout[-3000:]
    asked = [line.split() for line in queue(cluster, "--states=all", "--format=%i %T %m", "--sort=i")]
    states = [(state, int(memory.strip("M"))) for job, state, memory in asked if job not in before]
    (first, least), (second, more) = states
    # Snakemake may notice that it is being ended, and fail, before Slurm has ended it.
    assert first in ("CANCELLED", "FAILED") and second == "COMPLETED"
    assert more == 2 * least < 4000
    status = {
        policy: set(pandas.read_parquet(results / f"smoke/made-up-question/loads/{policy}.parquet")["status"])
        for policy in ("deadly", "large", "fcfs", "srpt", "sprpt")
    }
    assert status == dict.fromkeys(status, {"ok"}) | {"deadly": {"failed"}}


def test_a_cancelled_job_is_run_again_and_an_interrupted_workflow_goes_on(cluster, tmp_path):
    problems, fast = entries(tmp_path / "problems", "slow"), tmp_path / "fast"
    environment = cluster | {"OPENQUEUES_PROBLEMS": str(problems), "FAST": str(fast)}
    results, ours = tmp_path / "slurm", ["--states=RUNNING", "--format=%i"]
    slurm = ["--profile", "profiles/slurm", *QUICK]

    def start() -> subprocess.Popen:
        before = set(queue(cluster, "--states=all", "--format=%i"))
        started = subprocess.Popen(
            command(results, *slurm), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        # Whichever cell is first: those that take minutes may come before any other.
        wait_for(lambda: any(results.rglob("*.parquet")) and queue(cluster, *ours))
        assert not before & set(queue(cluster, *ours))
        return started

    interrupted = start()
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=300)
    assert interrupted.returncode != 0
    wait_for(lambda: not queue(cluster, "--states=PENDING,RUNNING,COMPLETING"), 120)

    cancelled = start()
    fast.touch()
    for job in queue(cluster, *ours):
        subprocess.run(["scancel", job], env=cluster, check=True)
    said, _ = cancelled.communicate(timeout=1800)
    assert cancelled.returncode == 0, said[-3000:]
    assert differing(files(results), on_this_machine(tmp_path / "local", environment)) == []
