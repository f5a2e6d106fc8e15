"""What the cluster's kernel is told of programs: tables of their stages, see programs_kernel.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import policies, ranking
from openqueues.models.llm.programs import Programs, alone
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy

_WHOLE, _NUMBERS = 7, 9


def tables(programs: Programs | None) -> tuple[np.ndarray, ...]:
    """The fields of Stages; tables without rows if there are no programs."""
    if programs is None:
        none = np.zeros(0, np.int64)
        return np.zeros((0, _WHOLE), np.int64), np.zeros((0, _NUMBERS)), np.zeros((0, 3)), none, none, none, none, none
    n, requests = len(programs), programs.requests
    start, followers = programs.followers
    waits = np.diff(programs.after_start)
    whole = np.stack(
        [
            programs.program,
            (programs.continues >= 0) & (programs.new_tokens == 0),
            programs.need,
            np.diff(start),
            programs.continued_by,
            programs.new_tokens + requests.output_tokens,
            programs.need < waits,
        ],
        axis=1,
    ).astype(np.int64)
    guess = requests.predicted_output_tokens
    numbers = np.zeros((n, _NUMBERS))
    numbers[:, 0] = np.nan if guess is None else programs.path(guess, own=False)
    numbers[:, 1] = requests.arrival_s
    calls = np.flatnonzero(programs.continued_by >= 0)
    by = programs.continued_by[calls]
    numbers[calls, 2] = programs.delay_s[by]
    if programs.predicted_delay_s is not None:
        numbers[calls, 3] = programs.predicted_delay_s[by]
    numbers[:, 4 : 4 + programs.values.shape[1]] = programs.values
    numbers[:, 8] = programs.delay_s * 1000.0
    progress = np.zeros((programs.count, 3))
    progress[:, 2] = np.nan if guess is None else np.bincount(programs.program, guess)
    return whole, numbers, progress, programs.after_start, programs.after, start, followers, np.zeros(1, np.int64)


def of_requests(requests: Requests, order: Policy) -> tuple[np.ndarray, ...]:
    """The engine's stage, stage_real, progress and slots for requests that are programs of their own."""
    own = alone(requests) if ranking.of_program(order) else None
    return (*tables(own)[:3], np.ascontiguousarray(slots([order])[0, 1:]))


def check_handled(why: int, order: Policy) -> None:
    """Raise InputError for what a policy's handle did wrong: the kernel's code of failure, others mean nothing here."""
    if why == -3:
        raise InputError(
            f"policy '{order.name}' swaps a context, but the hardware has not both kv_bytes_per_token and "
            "swap_bytes_per_s: give them, or let handle return 0 or 1."
        )
    if why == -4:
        raise InputError(
            f"policy '{order.name}': handle must return 0 (preserve), 1 (discard) or 2 (swap), and nothing else."
        )


def arrive(programs: Programs, real: np.ndarray) -> np.ndarray:
    """The stages that wait for none, in order of arrival; puts that into the column ARRIVED of the kernel's table."""
    first = np.flatnonzero(programs.need == 0)
    real[first, 0] += programs.delay_s[first] * 1000.0
    return first[np.argsort(real[first, 0], kind="stable")]


def slots(orders: Sequence[Policy]) -> np.ndarray:
    """(policies, 5): whether a policy's columns change as stages end, and the places of its columns of programs."""
    result = np.zeros((len(orders), 1 + ranking.MOST_OF_PROGRAM), np.int64)
    for row, order in zip(result, orders, strict=True):
        columns = ranking.of_program(order)
        row[0] = bool(policies.SHIFTING & set(columns))
        row[1 : 1 + len(columns)] = [1 + policies.PROGRAM_COLUMNS.index(one) for one in columns]
    return result


def check(programs: Programs | None, order: Policy, mechanism: str) -> None:
    """Raise InputError for a policy that these programs do not go with; it goes with requests without programs."""
    if programs is None:
        return
    handles = policies.arguments_of(order, "handle") is not None
    if handles and mechanism not in ("vllm", "sarathi"):
        raise InputError(f"policy '{order.name}' has handle, which needs pages: use it with mechanism vllm or sarathi.")
    used = (*order.arguments, *(policies.arguments_of(order, "handle") or ()))
    if "predicted_delay" in used and programs.predicted_delay_s is None:
        raise InputError(
            f"policy '{order.name}' looks at predicted delays, but the programs have none: give predicted_delay_s."
        )
    own = [f"value{place}" for place in range(programs.values.shape[1])]
    for one in used:
        if one.startswith("value") and one not in own:
            raise InputError(f"policy '{order.name}' looks at {one}, but the stages have {len(own)} values: give it.")


def check_refused(programs: Programs, refused: np.ndarray, router: str) -> None:
    """Raise InputError for a router that refused a stage which is not skippable."""
    wrong = refused & ~programs.skippable
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(
            f"router '{router}' refuses stage {i}, which is not skippable: score an instance below infinity, or mark "
            "the stage as skippable."
        )
