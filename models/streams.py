"""Random streams: one counter of its own per quantity, seeded by what is simulated and never by the policy.

Two policies that are given the same seed see the same jobs (common random numbers), and a result does not
depend on which core drew it or in what order.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np


class Streams(NamedTuple):
    """Independent generators of one replication."""

    gaps: np.random.Generator
    sizes: np.random.Generator
    predictions: np.random.Generator
    routing: np.random.Generator


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from the text of `parts`, for example (problem, experiment, point, replication)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def streams(seed: int) -> Streams:
    """The streams of one replication: PCG64 generators spawned from `seed`, one per quantity."""
    children = np.random.SeedSequence(seed).spawn(len(Streams._fields))
    return Streams(*(np.random.Generator(np.random.PCG64(child)) for child in children))
