"""The functions of a policy's file, compiled to what the engine's kernel can be handed.

The kernel is compiled once for all policies, which takes some ten seconds, and kept; a policy takes a fraction of
one. Each function becomes one of all its columns and four numbers, the values of the policy's parameters.
"""

from __future__ import annotations

from functools import lru_cache

from openqueues.models.errors import InputError
from openqueues.models.llm import policies
from openqueues.models.policies import Policy

MOST_PARAMETERS = 4
# `score` is what the kernel hands over as `predicted`; numba compiles calls of up to 30 arguments.
_COLUMNS = tuple(one for one in policies.COLUMNS if one != "score")
MOST_OF_PROGRAM = 4
_SLOTS = tuple(f"slot{place}" for place in range(MOST_OF_PROGRAM))
_NUMBERS = tuple(f"theta{place}" for place in range(MOST_PARAMETERS))
_ALWAYS = "def admit():\n    return True\n"
_DISCARD = "def handle():\n    return 1\n"
_NEVER = "def control():\n    return 0.5\n"


def rank_of(policy: Policy):
    """The policy's rank of (*_COLUMNS, *RANK_STATE, *slots, *numbers); the slots are its columns of programs, in order.

    Raises InputError for one that numba cannot compile.
    """
    columns = (*_COLUMNS, *policies.RANK_STATE, *_SLOTS)
    own = dict(zip(of_program(policy), _SLOTS, strict=False))
    arguments = tuple(own.get(one, one) for one in policy.arguments)
    return _compiled(policy.source, policy.name, "rank", arguments, tuple(policy.parameters), columns)


def of_program(policy: Policy) -> tuple[str, ...]:
    """The columns of programs that the policy's rank takes. Raises InputError for more than there is room for."""
    own = tuple(one for one in policy.arguments if one in policies.PROGRAM_COLUMNS)
    if len(own) > MOST_OF_PROGRAM:
        raise InputError(
            f"policy '{policy.name}': rank takes {len(own)} columns of programs, but {MOST_OF_PROGRAM} are the most."
        )
    return own


def admit_of(policy: Policy):
    """The policy's admit of (*_COLUMNS, *STATE, *numbers), 1 or 0; one that is always 1 if the policy has none."""
    columns = (*_COLUMNS, *policies.STATE)
    arguments = policies.arguments_of(policy, "admit")
    if arguments is None:
        return _compiled(_ALWAYS, "", "admit", (), (), columns)
    return _compiled(policy.source, policy.name, "admit", arguments, tuple(policy.parameters), columns)


def score_of(router: Policy):
    """A router's score of a pointer to its columns in the order of routers.COLUMNS, then its parameters but choices."""
    from openqueues.models.llm.routers import COLUMNS

    own = tuple(one for one in router.parameters if one != "choices")
    return _pointed(router.source, router.name, "score", router.arguments, own, COLUMNS)


def control_of(controller: Policy | None):
    """A controller's share, likewise; one that is never asked if there is none."""
    from openqueues.models.llm.controllers import COLUMNS

    if controller is None:
        return _pointed(_NEVER, "", "control", (), (), COLUMNS)
    return _pointed(
        controller.source, controller.name, "control", controller.arguments, tuple(controller.parameters), COLUMNS
    )


@lru_cache(maxsize=64)
def _pointed(source, name, function, arguments, parameters, columns):
    """A function of a pointer to more columns than numba compiles arguments."""
    from openqueues.models.queues.compiled import load

    places = {one: place for place, one in enumerate((*columns, *parameters))}
    passed = ", ".join(f"c[{places[one]}]" for one in arguments)
    lines = [
        source,
        "from numba import cfunc as _cfunc, float64 as _float64, njit as _njit",
        "from numba.types import CPointer as _CPointer",
        *(f"{other} = _njit({other}, error_model='numpy')" for other in policies.functions(source)),
        "@_cfunc(_float64(_CPointer(_float64)), cache=True, error_model='numpy')",
        "def serve(c):",
        f"    return float({function}({passed}))",
    ]
    return load("\n".join(lines) + "\n", name, function)


def handle_of(policy: Policy):
    """The policy's handle of (*HANDLE_COLUMNS, *numbers), 0, 1 or 2; one that is always 1 if the policy has none."""
    columns, arguments = policies.HANDLE_COLUMNS, policies.arguments_of(policy, "handle")
    if arguments is None:
        return _compiled(_DISCARD, "", "handle", (), (), columns)
    return _compiled(policy.source, policy.name, "handle", arguments, tuple(policy.parameters), columns)


@lru_cache(maxsize=256)
def _compiled(source, name, function, arguments, parameters, columns):
    from openqueues.models.queues.compiled import load

    names = {"score": "predicted"} | dict(zip(parameters, _NUMBERS, strict=False))
    passed = [names.get(one, one) for one in arguments]
    taken = (*columns, *_NUMBERS)
    functions = policies.functions(source)
    result = "1.0 if {} else 0.0" if function == "admit" else "float({})"
    lines = [
        source,
        "from numba import cfunc as _cfunc, float64 as _float64, njit as _njit",
        *(f"{other} = _njit({other}, error_model='numpy')" for other in functions),
        f"@_cfunc(_float64(*[_float64] * {len(taken)}), cache=True, error_model='numpy')",
        f"def serve({', '.join(taken)}):",
        "    return " + result.format(f"{function}({', '.join(passed)})"),
    ]
    return load("\n".join(lines) + "\n", name, function)
