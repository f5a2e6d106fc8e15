"""Policies of the LLM engine: one short file each, the built-in ones in this folder and a contributor's anywhere.

    SEES        the columns that the policy may look at, see below
    SHAPE       "falling order": the rank of a running request never rises as it makes tokens (it may where a
                prediction is renewed); the engine then jumps further. "order": it may rise
    PARAMETERS  further arguments of rank, numbers with their defaults, given as name:parameter=value; and the
                switches of the engine that the policy sets: mechanism (vllm), memory (recompute), preempt (False,
                True or "batch"), reserve (max), prefix_cache (False). Every policy takes these on the command line,
                whether its file sets them or not.
    INFORMATION the class of its information: blind, predictions, oracle
    rank(...)   the lowest is first: waiting requests are admitted in this order, and who has to leave is the last
                in it; its arguments are the columns of SEES and the parameters. Ties: the earlier arrival is first.

Columns, all floats:

    arrival         s
    input_tokens    of the prompt
    predicted       the first prediction of the output tokens
    score           the same number, for policies that only compare it with that of others: the longer answer has the
                    higher one. Where predictions only rank the requests (Requests.rank_only) the engine refuses
                    policies that see predicted, estimate or peak_tokens
    estimate        of the tokens still to make: predicted less generated, or the last renewed prediction less
                    the tokens generated since; may fall below 0
    generated       output tokens made
    kind            0 interactive, 1 batch
    deadline        s, infinity without one
    price
    cached          tokens of the prompt in the prefix cache; of a running request, those that it shares
    running         1 while it runs, 0 while it waits
    now, waited     s; time, and time since the arrival
    idle            s that it has waited since it arrived or was last preempted; of a running request, as of the
                    moment when it was last admitted
    turn_tokens     output tokens made since it was last admitted, 0 while it waits
    preempted       how often it has been preempted
    picks           admissions of requests so far, of this and all others
    output_tokens, left   the truth: output tokens, and those still to make

Columns of the program of a request (models/llm/programs.py); rank takes at most four. A plain request is a program of
one stage, without a call and with values of 0:

    attained         tokens of its stages that are done: answers, and prompts but for the context that they continue
    stages_done      how many of its stages are done
    remaining_work   predicted output tokens of its stages that are neither done nor cancelled, this one with all of
                     its own
    remaining_path   `estimate` of this stage and the predicted output tokens of the longest chain of stages after it
    program_arrival  s
    delay, predicted_delay   s, of the call that follows this stage, the truth and a prediction; 0 where none follows
    value0 to value3 what the programs bring along

rank may also take batch and free_tokens of the state below, as they are at the beginning of the iteration.

A policy that sees cached, now, waited, idle or picks, or whose rank takes the state, orders the waiting requests anew
at the beginning of each iteration, one whose rank takes picks also after each admission. That costs some 10 ns a
waiting request and iteration, and the engine does not jump over these iterations; both are spared while nobody could
start in any order: without preemption while the batch is full or the smallest does not fit.

A file may also have

    admit(...)  whether the first waiting request may start now. The engine asks before it looks at batch size and
                memory, in each iteration while requests wait, or, when nothing runs, at each arrival; who is behind
                a refused request waits too. Its arguments are columns, of the request and of the state, and parameters

    handle(...)  what becomes of the KV cache of a stage that has just ended when another stage continues it: 0 it is
                preserved, 1 discarded (so it is without handle), 2 swapped to the host. Its arguments are of the ended
                stage input_tokens, generated and the columns of its program, of the state those below, and parameters.
                It needs pages; with prefix_cache=True it is not asked

What is swapped is moved within the next iteration, or before it where the server is idle. What is preserved counts as
held, until the stage that continues it runs. It is taken from it, the last in the order of ranks first, where else
nothing could run; with memory=tail as soon as a request needs it.

Columns of the state, for handle, when the stage has left its blocks:

    held_tokens      of the context; recompute_ms to compute it alone, swap_ms to move it one way (infinite where
                     unknown)
    others_tokens    of the requests that run
    free_tokens, kv_tokens, batch, waiting    as below

Columns of the state, for admit, in tokens or numbers of requests:

    needed_tokens    in the KV cache when the request has its next token: input and generated tokens
    free_tokens, kv_tokens   in free blocks; in all blocks
    batch            requests that run, with those admitted in this iteration
    waiting          requests that wait, with this one
    admitted, admitted_tokens   in this iteration: prompts, and tokens to compute of them
    peak_tokens      most tokens in the cache at once from now on, if this request starts now and it and all that
                     run each make as many more tokens as `estimate` says (at least one), and no other starts

A file with SHAPE = "rounds" has decide(view, plan, ...) in place of rank: it plans each iteration from the whole
state, and takes none of the switches. models/llm/rounds.py has the rules, ROUND_COLUMNS and ROUND_STATE below its view.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache
from pathlib import Path

from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import SWITCHES, Policy, is_path, split_path
from openqueues.models.policies import policy as read_policy
from openqueues.models.spec import check_keys, parse_spec

COLUMNS = (
    "arrival",
    "input_tokens",
    "output_tokens",
    "left",
    "predicted",
    "estimate",
    "generated",
    "kind",
    "deadline",
    "price",
    "cached",
    "running",
    "now",
    "waited",
    "score",
    "preempted",
    "idle",
    "turn_tokens",
    "picks",
)
# Columns of the program of a request; the first of them change as its stages end. The kernel knows their order.
PROGRAM_COLUMNS = (
    *("attained", "stages_done", "remaining_work", "remaining_path", "program_arrival", "delay", "predicted_delay"),
    *("value0", "value1", "value2", "value3"),
)
SHIFTING = frozenset(PROGRAM_COLUMNS[:3])
# Columns that only handle sees, and all that it sees.
HANDLE = ("held_tokens", "others_tokens", "recompute_ms", "swap_ms")
HANDLE_COLUMNS = (
    *("input_tokens", "generated", *PROGRAM_COLUMNS, *HANDLE),
    *("free_tokens", "kv_tokens", "batch", "waiting"),
)
# Columns by which the order of the waiting requests changes while they wait.
MOVING = frozenset({"cached", "now", "waited", "idle", "picks"})
STATE = (
    "needed_tokens",
    "free_tokens",
    "kv_tokens",
    "batch",
    "waiting",
    "admitted",
    "admitted_tokens",
    "peak_tokens",
)
# Of these the ones that rank may take, too.
RANK_STATE = ("batch", "free_tokens")
# What decide may see of each request: what serving changes, what stays as it is, and its own notes.
ROUND_COLUMNS = (
    *("held", "host", "todo", "decoding", "generated", "left", "estimate", "preempted", "last_token"),
    *("request", "arrival", "input_tokens", "output_tokens", "predicted", "score", "predicted_low", "predicted_high"),
    *("kind", "deadline", "price", "draw", "note0", "note1", "note2", "note3"),
)
ROUND_STATE = (
    *("now", "iteration", "budget", "max_batch", "free_tokens", "kv_tokens", "block_tokens", "spare_tokens"),
    *("last_step_ms", "mean_step_ms", "completed"),
)
SHAPES = ("order", "falling order", "rounds")
_FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """The names of the built-in policies."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__"))


def policy(spec: str) -> Policy:
    """Read the policy that `spec` names, for example `sprpt:mechanism=sarathi` or `mine.py:c=0.5`.

    Its parameters hold the given ones, the engine's switches among them. Raises InputError with one sentence.
    """
    if is_path(spec):
        path, rest = split_path(spec)
        _, given = parse_spec(Path(path).stem + rest, "policy")
        read = read_policy(path)
    else:
        name, given = parse_spec(spec, "policy")
        if name not in names():
            raise unknown("policy", name, names())
        read = read_policy(name, _FOLDER)
    if read.shape not in SHAPES:
        raise InputError(f"policy '{read.name}' has SHAPE = '{read.shape}': one for the LLM engine has 'order'.")
    plans = read.shape == "rounds"
    columns = (*ROUND_COLUMNS, "finished") if plans else (*COLUMNS, *STATE, *PROGRAM_COLUMNS, *HANDLE)
    for column in read.sees:
        if column not in columns:
            raise unknown(f"column in SEES of policy '{read.name}'", column, columns)
    if not plans:
        _check_arguments(read)
    check_keys(given, read.parameters if plans else {**read.parameters, **SWITCHES}, f"policy '{read.name}'")
    return replace(read, spec=spec, parameters={**read.parameters, **given})


@cache
def functions(source: str) -> dict[str, tuple[str, ...]]:
    """The functions of a policy's text, with the names of their arguments."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: tuple(argument.arg for argument in node.args.args) for node in found}


def arguments_of(policy: Policy, function: str) -> tuple[str, ...] | None:
    """The names of a function's arguments, None if the policy has no such function."""
    return functions(policy.source).get(function)


def _check_arguments(policy: Policy) -> None:
    for argument in policy.arguments:
        if argument in STATE and argument not in RANK_STATE:
            raise InputError(f"policy '{policy.name}': rank takes '{argument}', which only admit can see.")
        if argument in HANDLE:
            raise InputError(f"policy '{policy.name}': rank takes '{argument}', which only handle can see.")
    unseen = {"admit": {*PROGRAM_COLUMNS, *HANDLE}, "handle": {*COLUMNS, *STATE} - {*HANDLE_COLUMNS}}
    for function, others in unseen.items():
        for argument in arguments_of(policy, function) or ():
            if argument not in policy.sees and argument not in policy.parameters:
                raise InputError(
                    f"policy '{policy.name}': {function} takes '{argument}', which is neither in SEES nor in "
                    "PARAMETERS: declare it in one of them."
                )
            if argument in others:
                raise InputError(f"policy '{policy.name}': {function} takes '{argument}', which it cannot see.")
