"""Routers of a cluster of language models: one short file each, the built-in ones in this folder and a contributor's.

    SEES        the columns that the router may look at, see below
    PARAMETERS  further arguments of score, numbers with their defaults (at most four), given as name:parameter=value.
                Every router also takes `choices`: if it is d > 0, only d instances drawn at random are scored
    INFORMATION the class of its information, where it does not follow from SEES
    score(...)  of an instance for the request that arrives; the lowest wins, and of several equal ones the instance
                that was sent a request longest ago, then the one of the lowest number; its arguments are columns of
                SEES and parameters. Instances that are down, about to change their role, of the wrong role or model, or
                in whose KV cache the request can never fit are not scored. If every score is infinite the request is
                refused.

Columns, all floats. Of the request:

    input_tokens   of the prompt
    predicted      the prediction of its output tokens
    kind           0 interactive, 1 batch
    phase          0: its prompt is to be computed; 1: it decodes next, on KV computed elsewhere
    generated      output tokens made (more than 0 in phase 1, and when its instance went down)
    deadline       s, infinity without one
    now            s
    value0 ... value3   numbers that whoever asks for the run gives, 0 unless given

Of the instance, at the end of the iteration that it is in:

    index, role, model   its number; 0 mixed, 1 prefill, 2 decode; the number of its model
    requests       that were sent there and have not left it by now, this one not among them
    waiting        requests that do not run
    waiting_tokens tokens of prompts (and of answers, where the KV was dropped) still to compute
    held_tokens    in its KV cache
    free_tokens, kv_tokens   in free blocks; in all blocks
    predicted_left estimated tokens still to make of all requests there, each at least 0
    prefill_ms     time to compute the prompt of the request, alone, all of it
    decode_ms      time of a step in which it decodes together with all that decode
    busy_ms        until the iteration ends
    routed, since_routed   requests ever sent there; s since the last one, infinity before the first
    cached         prompt tokens of the request in its prefix cache
    price          US dollars an hour
    batch, max_batch   requests that run; most that may
    mean_requests  the mean of `requests` over the instances that are scored or could be, were they drawn
    instances      in the cluster
    draw           uniform on [0, 1), for this request and instance
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import SHAPES, Policy, is_path, split_path
from openqueues.models.policies import policy as read_policy
from openqueues.models.spec import check_keys, parse_spec

COLUMNS = (
    "input_tokens",
    "predicted",
    "kind",
    "phase",
    "generated",
    "deadline",
    "now",
    "value0",
    "value1",
    "value2",
    "value3",
    "index",
    "role",
    "model",
    "requests",
    "waiting",
    "waiting_tokens",
    "held_tokens",
    "free_tokens",
    "kv_tokens",
    "predicted_left",
    "prefill_ms",
    "decode_ms",
    "busy_ms",
    "routed",
    "since_routed",
    "cached",
    "price",
    "batch",
    "max_batch",
    "mean_requests",
    "instances",
    "draw",
)
"""In the order of the kernel, cluster_route_kernel.py."""
# Columns that change from one step of an instance to the next; those that are found only for routers that see them.
MOVING = frozenset({"held_tokens", "free_tokens", "predicted_left", "decode_ms", "busy_ms"})
SOUGHT = ("predicted_left", "prefill_ms", "decode_ms", "cached", "draw")
MOST_PARAMETERS = 4
_FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """The names of the built-in routers."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__"))


def router(spec: str) -> Policy:
    """Read the router that `spec` names, for example `jsq`, `jsq:choices=2` or `mine.py:weight=0.5`.

    Its parameters hold `choices` and its own, with the given values. Raises InputError with one sentence.
    """
    read = read_scalar(spec, "router", _FOLDER, names(), COLUMNS, {"choices": 0})
    choices = read.parameters["choices"]
    if choices < 0 or choices != int(choices):
        raise InputError(f"router '{read.name}': choices is {choices:g}: it must be a whole number of at least 0.")
    return read


def read_scalar(spec, shape: str, folder: Path, known: Sequence[str], columns: Sequence[str], more: dict) -> Policy:
    """The policy of a shape with one function of columns and at most four parameters, beside those of `more`.

    folder holds the built-in ones, whose names are `known`.
    """
    if is_path(spec):
        path, rest = split_path(spec)
        _, given = parse_spec(Path(path).stem + rest, shape)
        read = read_policy(path)
    else:
        name, given = parse_spec(spec, shape)
        if name not in known:
            raise unknown(shape, name, known)
        read = read_policy(str(folder / f"{name}.py"))
    if read.shape != shape:
        raise InputError(f"'{read.name}' is no {shape}: one has a function {SHAPES[shape][0]}(...), and no SHAPE.")
    for column in read.sees:
        if column not in columns:
            raise unknown(f"column in SEES of {shape} '{read.name}'", column, columns)
    parameters = {**more, **read.parameters}
    check_keys(given, parameters, f"{shape} '{read.name}'")
    parameters |= given
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{shape} '{read.name}': {key} is '{value}', but it must be a number.")
    if len(parameters) > MOST_PARAMETERS + len(more):
        raise InputError(
            f"{shape} '{read.name}' has {len(parameters) - len(more)} parameters: there may be {MOST_PARAMETERS}."
        )
    return replace(read, spec=spec, parameters=parameters)
