"""Kernels compiled for one policy: a module of their own, named by the hash of all that it is made of.

Numba's cache does not notice that a function imported from another file has changed, and would return the
numbers of the old policy. Here the policy's text, the heap and the kernel stand in one generated file whose
name changes whenever any of them, or a version, does: what is cached under it can never be stale.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import llvmlite
import numba
import numpy

_HERE = Path(__file__).parent
_COLUMNS = ("size", "predicted", "arrival", "age")
HEAP_WIDTH = {"falling": 5, "general": 3, "sharing": 3}  # columns of a row of the heap
_LOCK = Lock()


def cache_folder() -> Path:
    """Where generated modules and their machine code are kept: OPENQUEUES_CACHE, else the user's cache."""
    given = os.environ.get("OPENQUEUES_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openqueues"
    folder = Path(given) if given else base
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.gettempdir()) / f"openqueues-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def serve_for(
    source: str, shape: str, arguments: tuple[str, ...], parameters: tuple[str, ...], newest_first: bool
) -> Callable:
    """The compiled `serve` of the kernel `shape` (falling, general or sharing) for the policy in `source`.

    `arguments` are those of the policy's rank (and of its turn, if general) in their order; what is not a
    column is read from the tuple theta at its place in `parameters`.
    """
    passed = ", ".join(
        name if name in _COLUMNS else f"theta[{parameters.index(name)}]" for name in arguments
    )
    bound = ["from numba import njit as _njit"]
    for name in {"falling": ("rank",), "general": ("rank", "turn"), "sharing": ()}[shape]:
        bound += [
            f"_{name} = _njit({name})",
            "@_njit",
            f"def {name}_of(size, predicted, arrival, age, theta):",
            f"    return float(_{name}({passed}))",
        ]
    heap = (_HERE / "heap.py").read_text().replace("WIDTH = 5", f"WIDTH = {HEAP_WIDTH[shape]}")
    if newest_first:
        heap = heap.replace("NEWEST_FIRST = False", "NEWEST_FIRST = True")
    return _load("\n\n\n".join([source, "\n".join(bound), heap, (_HERE / f"{shape}.py").read_text()]))


@cache
def serve_fcfs() -> Callable:
    """The compiled `serve` of fcfs.py."""
    files = (_HERE.parent / "exponential.py", _HERE / "tally.py", _HERE / "fcfs.py")
    return _load("\n\n\n".join(file.read_text() for file in files))


@cache
def _versions() -> str:
    return f"{sys.version} {numba.__version__} {llvmlite.__version__} {numpy.__version__}"


@cache
def _load(text: str) -> Callable:
    name = "openqueues_kernel_" + blake2b((_versions() + text).encode(), digest_size=12).hexdigest()
    with _LOCK:
        if name not in sys.modules:
            path = cache_folder() / f"{name}.py"
            if not path.exists():
                handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                os.replace(temporary, path)
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
    return sys.modules[name].serve
