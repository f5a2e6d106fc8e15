"""Servers for two phases, prompts and answers: organisations, who chooses among them, and the most they can carry.

An organisation is a set of servers with roles. A policy of SHAPE "decision" chooses one: `decide(...)` is its score of
an organisation, and the lowest is taken, of equal ones the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy, is_path, split_path
from openqueues.models.policies import policy as read_policy
from openqueues.models.spec import parse_spec
from openqueues.models.streams import streams


def chosen(policy: str | Policy, columns: Sequence[Mapping[str, Any]]) -> int:
    """The place of the organisation that a policy gives the lowest score.

    columns: of each organisation, what may be seen of it by name: a number, or a function of no arguments that finds
    it, which is called only for policies that look. Raises InputError for a policy that decides nothing, looks at what
    is not there or gives no number.
    """
    read = policy if isinstance(policy, Policy) else read_policy(policy)
    if read.shape != "decision":
        raise InputError(f"policy '{read.name}' has SHAPE = '{read.shape}': an organisation is chosen by 'decision'.")
    for name in read.sees:
        if name not in columns[0]:
            raise unknown(f"column in SEES of policy '{read.name}'", name, columns[0])
    scope: dict[str, Any] = {}
    exec(compile(read.source, str(read.path), "exec"), scope)
    scores = []
    for one in columns:
        given = [read.parameters[name] if name in read.parameters else _seen(one[name]) for name in read.arguments]
        score = scope["decide"](*given)
        if isinstance(score, bool) or not isinstance(score, int | float | np.number) or np.isnan(score):
            raise InputError(f"policy '{read.name}': decide returned {score!r}; it must return a number.")
        scores.append(float(score))
    return int(np.argmin(scores))


def filled(policy: str, **values: float) -> str:
    """The specification of a policy with those of the values that it has as parameters and does not give itself."""
    path, rest = split_path(policy) if is_path(policy) else ("", policy)
    _, given = parse_spec(f"policy{rest}" if path else rest, "policy")
    wanted = read_policy(policy).parameters.keys() - given.keys()
    added = [f"{key}={value}" for key, value in values.items() if key in wanted]
    return policy + (("," if given else ":") + ",".join(added) if added else "")


def _seen(value: float | Callable[[], float]) -> float:
    return value() if callable(value) else value


def blended(arrival_s: np.ndarray, first: Requests, second: Requests, share, seed: int) -> Requests:
    """Requests at these times, each with the lengths of `second` with the probability share (a number, or (n,))."""
    from_second = streams(seed).routing.random(len(arrival_s)) < share
    prompt = np.where(from_second, second.input_tokens, first.input_tokens)
    answer = np.where(from_second, second.output_tokens, first.output_tokens)
    return replace(first, arrival_s=arrival_s, input_tokens=prompt, output_tokens=answer)


def prompt_token_ms(law: Hardware) -> float:
    """Least time of a step over the tokens of prompts in it."""
    _check_plain(law)
    if law.prefill_step_ms >= 0:
        return max(law.prefill_token_ms, law.compute_token_ms)
    # Of the larger of two lines the ratio to the tokens is least where they cross, or at infinity.
    cross = (law.compute_step_ms - law.prefill_step_ms) / max(law.prefill_token_ms - law.compute_token_ms, 1e-300)
    return min(max(law.prefill_token_ms, law.compute_token_ms), law.compute_step_ms / cross + law.compute_token_ms)


def full_batch(law: Hardware, context: float, tpot_s: float, most: int) -> int:
    """Most sequences of `context` tokens, at least 1 and at most `most`, in a step of decoding of tpot_s."""
    each = law.decode_seq_ms + law.kv_token_ms * context
    return int(min(max((1000.0 * tpot_s - law.decode_step_ms) / each, 1), most))


def capacity(servers: Sequence[tuple[Hardware, int]], requests: Requests, max_batch: int) -> float:
    """Requests a second that no organisation of the servers exceeds for long, for requests of these lengths.

    A step of L prompt tokens and B decoding sequences with K resident tokens takes at least p L + b B + c K and, where
    B > 0 and for laws whose mixed steps are no shorter than their decoding steps, d + b B + c K, with d the constant of
    a decoding step (of two regimes the lesser b, c and d). A server of kind j computes a share x_j of the prompts and
    y_j of the further tokens of the answers of r requests a second, the latter in at least a step for max_batch each:

        p_j P x_j r + (b_j A + c_j K) y_j r <= n_j   and   (d_j A / max_batch + b_j A + c_j K) y_j r <= n_j

    where P, A and K are the mean prompt tokens, further tokens, and resident tokens summed over these, of a request.
    With the shares adding up to 1, the largest r is the value of a linear program. Raises InputError for laws with
    staircases or tables, and for those whose mixed steps may be shorter.
    """
    from scipy.optimize import linprog

    more = requests.output_tokens - 1.0
    prompts, answers = float(requests.input_tokens.mean()), float(more.mean())
    resident = float((more * requests.input_tokens + more * (more + 1) / 2).mean())
    kinds = len(servers)
    # Variables: x_j r, y_j r, and r, which is to be largest.
    rows, limits = [], []
    for j, (law, count) in enumerate(servers):
        step_ms, sequence_ms, token_ms = _decoding(law)
        own = sequence_ms * answers + token_ms * resident
        for prompt, answer in (
            (prompt_token_ms(law) * prompts, own),
            (0.0, step_ms / max_batch * answers + own),
        ):
            row = np.zeros(2 * kinds + 1)
            row[j], row[kinds + j] = prompt / 1000.0, answer / 1000.0
            rows.append(row)
            limits.append(float(count))
    for first in (0, kinds):
        row = np.zeros(2 * kinds + 1)
        row[first : first + kinds], row[-1] = -1.0, 1.0
        rows.append(row)
        limits.append(0.0)
    cost = np.zeros(2 * kinds + 1)
    cost[-1] = -1.0
    found = linprog(cost, A_ub=np.array(rows), b_ub=np.array(limits), bounds=(0, None), method="highs")
    if not found.success:
        raise RuntimeError(f"the linear program of the capacity was not solved: {found.message}")
    return float(found.x[-1])


def _decoding(law: Hardware) -> tuple[float, float, float]:
    """Least ms of a step that decodes, per sequence in it, and per resident token."""
    found = law.decode_step_ms, law.decode_seq_ms, law.kv_token_ms
    if law.from_batch:
        found = tuple(map(min, found, (law.decode2_step_ms, law.decode2_seq_ms, law.kv2_token_ms)))
    if max(law.mixed_step_ms, law.prefill_step_ms) < found[0]:
        raise InputError(f"hardware '{law.name}' has mixed steps below its decoding steps: give mixed_step_ms.")
    return found


def _check_plain(law: Hardware) -> None:
    if law.tile_tokens or law.table_tokens:
        raise InputError(
            f"hardware '{law.name}' has a staircase or a table, for which the capacity is not known: use another law."
        )
