"""Kernels compiled for one policy: a module of their own, named by the hash of all that it is made of.

Numba's cache does not notice that a function imported from another file has changed, and would return the
numbers of the old policy. Here the policy's text, the heap and the kernel stand in one generated file whose
name changes whenever any of them, or a version, does: what is cached under it can never be stale.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import llvmlite
import numba
import numpy
import openqueues.models.keeping  # noqa: F401  what it does, it does when it is loaded
from numba.np import linalg
from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import COLUMNS, SHAPES, Policy
from openqueues.models.queues.linking import optimise_once

_HERE = Path(__file__).parent
HEAP_WIDTH = {"falling": 5, "general": 3, "sharing": 3}  # columns of a row of the heap
_LOCK = Lock()


def _load_numba() -> None:
    """Load what numba compiles with, but for scipy.linalg: numba asks for it at once, which takes 0.3 s.

    It asks again where a kernel uses linear algebra.
    """
    ask, linalg.ensure_blas = linalg.ensure_blas, lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ask


_load_numba()


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
    return _spare_folder()


def _spare_folder() -> Path:
    """Where kernels are kept when nothing can be written to the cache."""
    folder = Path(tempfile.gettempdir()) / f"openqueues-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def serve_for(policy: Policy) -> Callable:
    """The compiled `serve` of the single-server kernel for a policy of the shape falling, general or sharing."""
    return kernel([policy], [_HERE / f"{policy.shape}.py"], HEAP_WIDTH[policy.shape], policy.newest_first)


def kernel(
    policies: Sequence[Policy],
    templates: Sequence[Path],
    heap_width: int = 0,
    newest_first: bool = False,
    columns: Sequence[str] = COLUMNS,
) -> Callable:
    """The compiled `serve` of a module made of the policies' files, the heap and the templates, in this order.

    Each function f of a policy's shape (rank, turn, decide) is there as f_of(*columns, theta): what is not a
    column is read from the tuple theta at its place in the policy's parameters. Of several policies, the
    functions of the k-th take theta[k]. A heap_width of 0 leaves the heap out. Raises InputError for a policy
    that sees what is not among the columns; what is returned raises it for one that numba cannot compile.
    """
    texts = []
    for place, policy in enumerate(policies):
        texts.append(policy.source)
        theta = "theta" if len(policies) == 1 else f"theta[{place}]"
        texts.append("\n".join(_bound(policy, theta, columns)))
    if heap_width:
        heap = (_HERE / "heap.py").read_text().replace("WIDTH = 5", f"WIDTH = {heap_width}")
        texts.append(heap.replace("NEWEST_FIRST = False", f"NEWEST_FIRST = {newest_first}"))
    text = "\n\n\n".join([*texts, *(template.read_text() for template in templates)])
    optimise_once(re.findall(r"^@(?:part|inlined)\ndef (\w+)", text, re.M))
    serve = _load(text)

    def run(*arguments):
        from numba.core.errors import NumbaError

        try:
            return serve(*arguments)
        except NumbaError as error:
            names = " or ".join(f"'{policy.name}'" for policy in policies)
            functions = [name for policy in policies for name in SHAPES[policy.shape][:1]]
            raise _not_compiled(names, " and ".join(functions), error) from None

    return run


def load(text: str, policy: str, function: str) -> Callable:
    """`serve` of a module of this text, compiled for a policy's function as it is loaded, and cached as kernels are.

    Raises InputError for a function that numba cannot compile.
    """
    from numba.core.errors import NumbaError

    try:
        return _load(text)
    except NumbaError as error:
        raise _not_compiled(f"'{policy}'", function, error) from None


def _not_compiled(policies: str, functions: str, error: Exception) -> InputError:
    lines = [line for line in str(error).strip().splitlines() if line and not line.startswith("During: ")]
    reason = lines[-1].strip() if lines else type(error).__name__
    return InputError(
        f"policy {policies} cannot be compiled ({reason}): keep {functions} to numbers, math and plain control flow."
    )


def _bound(policy: Policy, theta: str, columns: Sequence[str]) -> list[str]:
    parameters = tuple(policy.parameters)
    passed = []
    for name in policy.arguments:
        if name in parameters:
            passed.append(f"{theta}[{parameters.index(name)}]")
        elif name in columns:
            passed.append(name)
        else:
            raise unknown(f"column in SEES of policy '{policy.name}'", name, columns)
    # An index beyond the end of an array would read, or write, what is the model's.
    checked = "(boundscheck=True)" if "memory" in policy.sees else ""
    lines = ["from numba import njit as _njit"]
    helpers = [name for name in re.findall(r"^def (\w+)\(", policy.source, re.M) if name not in SHAPES[policy.shape]]
    lines += [f"{name} = _njit{checked}({name})" for name in helpers]
    for name in SHAPES[policy.shape]:
        lines += [
            f"_{name} = _njit{checked}({name})",
            "@_njit",
            f"def {name}_of({', '.join(columns)}, theta):",
            f"    return float(_{name}({', '.join(passed)}))",
        ]
    return lines


@cache
def serve_fcfs() -> Callable:
    """The compiled `serve` of fcfs.py."""
    files = (_HERE.parent / "exponential.py", _HERE / "tally.py", _HERE / "fcfs.py")
    return _load("\n\n\n".join(file.read_text() for file in files))


@cache
def _versions() -> str:
    return f"{sys.version} {numba.__version__} {llvmlite.__version__} {numpy.__version__}"


def _kept(name: str, text: str) -> Path:
    """A file of this text in the cache, or where its disk is full in the spare folder.

    Numba takes what it compiled of a file that is written again for outdated.
    """
    for folder in (cache_folder(), _spare_folder()):
        path = folder / f"{name}.py"
        try:
            if not path.exists() or path.read_bytes() != text.encode():
                handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
                try:
                    with os.fdopen(handle, "w") as file:
                        file.write(text)
                    os.replace(temporary, path)
                except OSError:
                    os.unlink(temporary)
                    raise
            return path
        except OSError as error:
            why = error.strerror
    raise InputError(f"{folder} cannot be written: {why}: let OPENQUEUES_CACHE name a folder with room for kernels.")


@cache
def _load(text: str) -> Callable:
    name = "openqueues_kernel_" + blake2b((_versions() + text).encode(), digest_size=12).hexdigest()
    with _LOCK:
        if name not in sys.modules:
            path = _kept(name, text)
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
    return sys.modules[name].serve
