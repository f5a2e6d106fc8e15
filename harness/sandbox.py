"""Runs a command that nobody vouches for: no network, no writing but in a scratch folder, limits on time and memory.

The walls are those of bubblewrap (https://github.com/containers/bubblewrap), which needs no privileges. Where it is
missing, nothing is run unless the caller trusts the command; the limits hold in either case.

Behind them a command finds the system, Python, this package and what the caller names, all read-only. The home folder,
files of others, sockets of services, and of the environment what neither Python nor this package goes by are not there.
No process outlives the call. Memory is limited for each process, not for all of them together.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from openqueues.models.errors import InputError

GIGABYTE = 1 << 30
LARGEST_FILE = GIGABYTE


_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix")
_KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH")
_KEPT_BEGIN = ("OPENQUEUES_", "NUMBA_", "OMP_", "OPENBLAS_", "MKL_")


def run(
    command: list[str],
    *,
    given: str,
    seconds: float,
    gigabytes: float,
    trust: bool = False,
    readable: Sequence[Path] = (),
) -> str:
    """What a command writes to stdout, handed `given` on stdin.

    Inside, what stands above and the files and folders `readable` can be read, only TMPDIR and a copy of the cache of
    kernels, in a folder that is removed afterwards, can be written. A command that is trusted has the limits, but no
    walls and the cache itself. Raises InputError when there are no walls and no trust, and when the command fails or
    passes a limit.
    """
    with tempfile.TemporaryDirectory(prefix="openqueues-") as scratch:
        walls, environment = [], dict(os.environ)
        if not trust:
            walls = _walls(scratch, [*_own(), *readable])
            environment = {k: v for k, v in environment.items() if k in _KEPT or k.startswith(_KEPT_BEGIN)}
            environment |= {"HOME": scratch} | _cache(scratch)
        with subprocess.Popen(
            [*walls, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"TMPDIR": scratch},
            start_new_session=True,
            preexec_fn=lambda: _limit(seconds, gigabytes),
        ) as process:
            try:
                out, said = process.communicate(given, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise InputError(f"it ran longer than {seconds:g} s: make it faster or give --seconds.") from None
            finally:
                _end(process)
    if process.returncode:
        last = (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise InputError(f"it ended with an error under the limits of {seconds:g} s and {gigabytes:g} GB: {last}")
    return out


def _end(process: subprocess.Popen) -> None:
    """End a process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _own() -> list[Path]:
    """Where Python and this package stand, with what it was installed with."""
    import openqueues
    from openqueues.registry import package_folder, problems_folder

    places = [sys.prefix, sys.base_prefix, Path(sys.executable).resolve().parents[1], *sysconfig.get_paths().values()]
    places += [*openqueues.__path__, package_folder("openqueues.models"), package_folder("openqueues.problems")]
    data = os.environ.get("OPENQUEUES_DATA")
    return [Path(place) for place in [*places, problems_folder(), *([data] if data else [])]]


def _cache(scratch: str) -> dict[str, str]:
    """The environment with a cache of its own that begins as the caller's, so that no kernel is compiled again."""
    from openqueues.models.queues import cache_folder

    own = {"OPENQUEUES_CACHE": f"{scratch}/cache", "NUMBA_CACHE_DIR": f"{scratch}/numba"}
    try:
        shutil.copytree(cache_folder(), own["OPENQUEUES_CACHE"], ignore=shutil.ignore_patterns("*.tmp"))
    except shutil.Error:  # what others removed meanwhile is compiled again
        pass
    return own


def _walls(scratch: str, readable: Sequence[Path]) -> list[str]:
    """The command that puts another behind walls; InputError where there is none that works."""
    found = shutil.which("bwrap")
    if not found:
        raise InputError(
            "bubblewrap, which keeps an unknown policy from the network and from files, is not installed: "
            "install it (Debian: apt install bubblewrap), or give --trust if you know the file."
        )
    places = dict.fromkeys(str(place) for one in readable for place in (one.absolute(), one.resolve()))
    walls = [found, "--dev", "/dev", "--proc", "/proc"]
    for place in (*_SYSTEM, *places):
        walls += ["--ro-bind-try", place, place]
    walls += [
        "--bind",
        scratch,
        scratch,
        "--chdir",
        scratch,
        "--remount-ro",
        "/",
        "--cap-drop",
        "ALL",
        "--unshare-user-try",
    ]
    walls += ["--unshare-net", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--die-with-parent", "--new-session"]
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
