"""A Slurm cluster of one machine, for tests: munged, slurmctld and slurmd on 127.0.0.1, in a folder of their own.

Ports, keys, sockets, logs and state are the cluster's own, so it can stand beside another one. `python
tests/slurm/one_machine.py COMMAND ...` runs a command with it.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol")
ADMIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

# What a machine without a database, without control groups and without a second node can do.
CONFIGURATION = """
ClusterName=openqueues
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
MinJobAge=300
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mb} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """The programs of Slurm and munge that are not installed, by name; empty when all are there."""
    return ", ".join(name for name in DAEMONS + COMMANDS if shutil.which(name, path=ADMIN) is None)


@contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Environment in which Slurm's commands speak to a cluster of this machine, which ends with the block.

    Only the processes that were started here are ended, by their ids. Raises RuntimeError, with the daemons' last
    words, when the node is not ready after a minute.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        configuration = folder / "slurm.conf"
        configuration.write_text(_configuration(folder))
        path = os.pathsep.join((str(_srun(folder, configuration)), ADMIN))
        environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": path}
        munge = [f"--{name}={folder}/munge.{name}" for name in ("socket", "pid-file", "seed-file", "log-file")]
        for command in (
            ["munged", "--foreground", "--force", f"--key-file={key}", *munge],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D"],
        ):
            stack.enter_context(_daemon(command, environment, folder))
        _wait_for_the_node(environment, folder)
        stack.callback(_end_jobs, environment)
        yield environment


def _configuration(folder: Path) -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        controller=_free_port(),
        node=_free_port(),
        user=getpass.getuser(),
        cores=os.cpu_count(),
        memory_mb=int(0.9 * pages * size / 2**20),
    )


def _srun(folder: Path, configuration: Path) -> Path:
    """Folder with an `srun` that knows the configuration: Snakemake takes SLURM_CONF from the one it starts."""
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "srun"
    program.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun", path=ADMIN)} "$@"\n')
    program.chmod(0o755)
    return programs


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, preexec_fn=_end_with_parent
        )
    try:
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            process.send_signal(sign)
            try:
                process.wait(20)
                break
            except subprocess.TimeoutExpired:
                continue


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the process that started this one is gone, killed without a word perhaps."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _wait_for_the_node(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + 60
    state = ""
    while time.monotonic() < deadline:
        asked = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True)
        state = asked.stdout.strip()
        if state == "idle":
            return
        time.sleep(0.2)
    logs = [f"{name}: {(folder / f'{name}.log').read_text(errors='replace')[-1500:]}" for name in DAEMONS]
    raise RuntimeError("\n".join([f"The node is not ready (state: {state or asked.stderr.strip()}).", *logs]))


def _end_jobs(environment: dict[str, str]) -> None:
    """Cancel what is left, and wait until it has ended: a job outlives the slurmd that has started it."""
    subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, capture_output=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = subprocess.run(["squeue", "-h"], env=environment, capture_output=True, text=True).stdout
        if not left.strip():
            return
        time.sleep(0.2)


if __name__ == "__main__":
    with cluster() as inside:
        sys.exit(subprocess.run(sys.argv[1:], env=inside).returncode)
