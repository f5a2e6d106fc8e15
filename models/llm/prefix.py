"""Prompts that begin alike, as paths in a tree of blocks: what the prefix cache of the engine holds."""

from __future__ import annotations

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.requests import Requests


def paths(requests: Requests) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, nodes, depth): request i runs through nodes[start[i] : start[i + 1]], node v is depth[v] blocks deep.

    A node is a full block of prefix_block_tokens tokens after the same blocks before it; a prompt's last block
    that is not full is on no path. Nodes are numbered from 0 by depth, those of a depth by their ids from the first on.
    """
    given = np.diff(requests.prefix_start)
    lengths = np.minimum(given, requests.input_tokens // requests.prefix_block_tokens)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    level = np.arange(start[-1]) - np.repeat(start[:-1], lengths)
    blocks = requests.prefix_blocks[level + np.repeat(requests.prefix_start[:-1], lengths)]
    # In the order of their lists of ids (bytes with the highest first), requests that share a node stand together.
    texts = blocks.astype(">i8").tobytes()
    ends = (8 * start).tolist()
    order = sorted(range(len(lengths)), key=lambda i: texts[ends[i] : ends[i + 1]])
    length, begin = lengths[order], start[order]
    first = np.cumsum(length) - length
    deep = np.arange(start[-1]) - np.repeat(first, length)
    own = deep + np.repeat(begin, length)
    # Where the request before has the same ids so far, the node is its node.
    before = np.repeat(np.roll(begin, 1), length) + deep
    known = deep < np.repeat(np.roll(length, 1), length)
    known[: length[0] if len(length) else 0] = False
    known[known] = blocks[own[known]] == blocks[before[known]]
    unlike = np.concatenate([[0], np.cumsum(~known)])
    new = unlike[1:] > np.repeat(unlike[first], length)
    by_level = np.argsort(deep, kind="stable")
    nodes = np.empty(start[-1], np.int64)
    nodes[own[by_level]] = np.cumsum(new[by_level]) - 1
    return start, nodes, deep[by_level][new[by_level]] + 1


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
