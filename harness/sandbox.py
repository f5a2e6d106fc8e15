"""Runs a command that nobody vouches for: no network, no writing but in a scratch folder, limits on time and memory.

The walls are those of bubblewrap (https://github.com/containers/bubblewrap), which needs no privileges. Where it is
missing, nothing is run unless the caller trusts the command; the limits hold in either case.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile

from openqueues.models.errors import InputError

GIGABYTE = 1 << 30
LARGEST_FILE = GIGABYTE


def run(command: list[str], *, given: str, seconds: float, gigabytes: float, trust: bool = False) -> str:
    """What a command writes to stdout, handed `given` on stdin.

    Inside, everything can be read, only TMPDIR and a copy of the cache of kernels, in a folder that is removed
    afterwards, can be written. A command that is trusted has the limits, but no walls and the cache itself. Raises
    InputError when there are no walls and no trust, and when the command fails or passes a limit.
    """
    with tempfile.TemporaryDirectory(prefix="openqueues-") as scratch:
        walls = [] if trust else _walls(scratch)
        inside = {"TMPDIR": scratch} | ({} if trust else _cache(scratch))
        try:
            done = subprocess.run(
                [*walls, *command],
                input=given,
                capture_output=True,
                text=True,
                timeout=seconds,
                env=os.environ | inside,
                preexec_fn=lambda: _limit(seconds, gigabytes),
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"it ran longer than {seconds:g} s: make it faster or give --seconds.") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise InputError(f"it ended with an error under the limits of {seconds:g} s and {gigabytes:g} GB: {last}")
    return done.stdout


def _cache(scratch: str) -> dict[str, str]:
    """The environment with a cache of its own that begins as the caller's, so that no kernel is compiled again."""
    from openqueues.models.queues import cache_folder

    own = {"OPENQUEUES_CACHE": f"{scratch}/cache", "NUMBA_CACHE_DIR": f"{scratch}/numba"}
    try:
        shutil.copytree(cache_folder(), own["OPENQUEUES_CACHE"], ignore=shutil.ignore_patterns("*.tmp"))
    except shutil.Error:  # what others removed meanwhile is compiled again
        pass
    return own


def _walls(scratch: str) -> list[str]:
    """The command that puts another behind walls; InputError where there is none that works."""
    found = shutil.which("bwrap")
    if not found:
        raise InputError(
            "bubblewrap, which keeps an unknown policy from the network and from files, is not installed: "
            "install it (Debian: apt install bubblewrap), or give --trust if you know the file."
        )
    walls = [found, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", scratch, scratch]
    walls += ["--unshare-net", "--unshare-ipc", "--unshare-pid", "--die-with-parent", "--new-session"]
    tried = subprocess.run([*walls, "true"], capture_output=True, text=True)
    if tried.returncode:
        why = tried.stderr.strip().splitlines()[-1:] or [f"exit code {tried.returncode}"]
        raise InputError(f"bubblewrap does not work here ({why[0]}): give --trust if you know the file.")
    return walls


def _limit(seconds: float, gigabytes: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * GIGABYTE),) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
