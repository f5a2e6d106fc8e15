"""A closed loop: each of N clients sends its next request when the last one has ended.

A client is a program whose stages wait for one another (programs.py), and which have no context in common; so the
cluster's kernel serves a closed loop as it is, and event by event.
"""

from __future__ import annotations

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.requests import Requests


def closed_loop(
    input_tokens: np.ndarray,
    output_tokens: np.ndarray,
    *,
    think_s: float | np.ndarray = 0.0,
    start_s: np.ndarray | None = None,
) -> Programs:
    """The requests of N clients, one program a client: arrays (clients, requests of each), a row a client.

    think_s: from the end of a request to the arrival of the next, at least 0; one time, or an array of one for each
    request, of which the first of a client is not used. start_s: (clients,), ascending, when each sends its first
    request (default: all at 0).
    """
    lengths = [np.asarray(given, np.int64) for given in (input_tokens, output_tokens)]
    if lengths[0].ndim != 2 or lengths[0].shape != lengths[1].shape or not lengths[0].size:
        raise InputError("a closed loop needs input_tokens and output_tokens as (clients, requests of each), alike.")
    clients, each = lengths[0].shape
    start = np.zeros(clients) if start_s is None else np.asarray(start_s, np.float64)
    if start.shape != (clients,):
        raise InputError(f"start_s has the shape {start.shape}: give one time for each of the {clients} clients.")
    follows = np.tile(np.arange(each) > 0, clients)
    return Programs(
        Requests(np.repeat(start, each), lengths[0].ravel(), lengths[1].ravel()),
        program=np.repeat(np.arange(clients), each),
        after_start=np.concatenate([[0], np.cumsum(follows)]),
        after=np.flatnonzero(follows) - 1,
        delay_s=np.where(follows, np.broadcast_to(think_s, lengths[0].shape).ravel(), 0.0),
    )
