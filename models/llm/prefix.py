"""Prompts that begin alike, as paths in a tree of blocks: what the prefix cache of the engine holds."""

from __future__ import annotations

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.requests import Requests


def paths(requests: Requests) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, nodes, depth): request i runs through nodes[start[i] : start[i + 1]], node v is depth[v] blocks deep.

    A node is a full block of prefix_block_tokens tokens after the same blocks before it; a prompt's last block
    that is not full is on no path. Nodes are numbered from 0 by depth.
    """
    given = np.diff(requests.prefix_start)
    lengths = np.minimum(given, requests.input_tokens // requests.prefix_block_tokens)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    nodes = np.empty(start[-1], np.int64)
    depth = []
    ids, names = np.unique(requests.prefix_blocks, return_inverse=True)
    last = np.zeros(len(lengths), np.int64)  # 1 + the node that each request has come to
    count = 0
    for level in range(int(lengths.max(initial=0))):
        who = np.flatnonzero(lengths > level)
        keys, place = np.unique(last[who] * len(ids) + names[requests.prefix_start[who] + level], return_inverse=True)
        nodes[start[who] + level] = count + place
        last[who] = count + place + 1
        count += len(keys)
        depth.append(np.full(len(keys), level + 1))
    return start, nodes, np.concatenate([*depth, np.empty(0, np.int64)]).astype(np.int64)


def tables(requests: Requests, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The kernel's tree, path_start and path, see prefix_kernel.py, and the blocks of the KV cache that a node takes.

    Raises InputError where a block of the prompts is not whole blocks of the cache.
    """
    if requests.prefix_block_tokens % block:
        raise InputError(
            f"prefix blocks of {requests.prefix_block_tokens} tokens are not whole blocks of {block} tokens of the KV "
            "cache: give block_tokens that divides them."
        )
    start, nodes, depth = paths(requests)
    tree = np.zeros((len(depth), 5), np.int64)
    tree[:, 3], tree[:, 4] = depth, -1
    return tree, start, nodes, requests.prefix_block_tokens // block
