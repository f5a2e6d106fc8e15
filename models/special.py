"""scipy's special functions, without the rest of scipy.special.

`import scipy.special` prepares wrappers for other array libraries, which takes 0.2 to 0.5 s: more than all else
that the analysis of a queue loads. The compiled functions alone take 0.01 s, and are the same objects.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

_PACKAGE = "scipy.special"


def _compiled() -> ModuleType:
    if _PACKAGE in sys.modules:
        return sys.modules[_PACKAGE]
    # A module cannot be imported without its package; for as long as this one loads, an empty package stands in.
    stand_in = ModuleType(_PACKAGE)
    stand_in.__path__ = importlib.util.find_spec(_PACKAGE).submodule_search_locations
    sys.modules[_PACKAGE] = stand_in
    try:
        functions = importlib.import_module(f"{_PACKAGE}._ufuncs")
    except ImportError:
        functions = None
    finally:
        del sys.modules[_PACKAGE]
    return functions or importlib.import_module(_PACKAGE)


_functions = _compiled()
gammainc, gammaincc, gammaincinv, ndtr, ndtri = (
    getattr(_functions, name) for name in ("gammainc", "gammaincc", "gammaincinv", "ndtr", "ndtri")
)
