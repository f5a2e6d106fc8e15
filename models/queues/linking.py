"""Kernels compile several times faster when their parts are optimised once, together.

Numba gives each compiled function a library of its own: it links all that the function calls into it, optimises that,
and makes machine code. What is called by functions that are called by others is so optimised again and again; for a
kernel of two hundred parts this is most of the time (a cluster of LLM servers: 44 s in place of 159 s). But a part,
which owns no memory and has no wrapper for callers from Python or C (PART in models/llm/timing.py), is only ever
linked into others: `optimise_once` leaves it as it is, and the library that it ends in is optimised as a whole.

It replaces three methods of numba's code generator, and does nothing where a version of numba lacks them.
"""

from __future__ import annotations

from collections.abc import Iterable

_WRAPPERS = ("_ZN7cpython", "cfunc.")


_parts: set[str] = set()


def optimise_once(parts: Iterable[str]) -> None:
    """Optimise and make machine code of the functions of these names only with those that call them."""
    from numba.core import codegen

    _parts.update(parts)

    library, generator = (getattr(codegen, name, None) for name in ("JITCodeLibrary", "JITCPUCodegen"))
    names = ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals")
    names += ("_verify_declare_only_symbols",)
    if not (all(hasattr(library, name) for name in names) and hasattr(generator, "set_env")):
        return
    if hasattr(library, "_is_part"):
        return
    optimise, finish, set_env = library._optimize_final_module, library._finalize_final_module, generator.set_env

    def is_part(self) -> bool:
        functions = self._final_module.functions
        wrapped = any(one.name.startswith(_WRAPPERS) for one in functions if not one.is_declaration)
        return self.name in _parts and not wrapped

    def optimise_final(self):
        if not self._is_part():
            optimise(self)

    def finish_final(self):
        if not self._is_part():
            finish(self)
            return
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def set_known_env(self, env_name, env):
        if self._engine.get_global_value_address(env_name):  # 0: no machine code was made of it
            set_env(self, env_name, env)

    library._is_part = is_part
    library._optimize_final_module, library._finalize_final_module = optimise_final, finish_final
    generator.set_env = set_known_env
