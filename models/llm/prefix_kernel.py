# ruff: noqa: F821
"""Template of the engine's kernel: prompts that begin alike share the KV cache of their beginning.

The cache is a tree whose nodes are the full blocks of prompts (prefix.py). A request that starts holds the cached
nodes at the beginning of its path and computes the rest, at least its last token; when its prompt has been
computed, the other nodes of its path are in the cache too and held by it. When it ends or is preempted it lets
go of them; what nobody holds stays until its blocks are needed, and leaves least recently used first, the deeper
first among nodes let go in the same iteration. KEPT_BLOCKS counts the blocks that nobody holds. HELD counts the
shared tokens for each request that holds them, TWICE counts those beyond the first.
"""

# Columns of tree: requests that hold the node, iteration in which it was last let go, whether it is cached, depth,
# and the stamp of its entry in the heap (-1: none).
HOLDERS, STAMP, CACHED, DEPTH, QUEUED = range(5)


@inlined
def hold_node(s, node):
    if s.tree[node, HOLDERS] == 0:
        s.count[KEPT_BLOCKS] -= s.node_blocks
    else:
        s.count[TWICE] += s.node_blocks * s.block
    s.tree[node, HOLDERS] += 1


@part
def found_nodes(s, i):
    """How many nodes at the beginning of a waiting request's path are cached and spare it work."""
    begin = s.path_start[i]
    most = (s.job[i, INPUT] + s.job[i, MADE] - 1) // (s.node_blocks * s.block)
    most = min(s.path_start[i + 1] - begin, most)
    found = 0
    while found < most and s.tree[s.path[begin + found], CACHED] == 1:
        found += 1
    return found


@part
def hold_prefix(s, i):
    """Let a waiting request hold what is cached of its prompt, since it is about to start."""
    found = found_nodes(s, i)
    for k in range(found):
        hold_node(s, s.path[s.path_start[i] + k])
    s.job[i, SHARED] = found
    s.job[i, HELD] = found * s.node_blocks * s.block


@part
def queue_node(s, node):
    """Put a node that nobody holds into the heap of those that may leave."""
    if s.tree[node, QUEUED] == s.tree[node, STAMP]:
        return
    if s.count[LEAVING] == s.leaving.shape[0]:
        s.count[LEAVING] = 0
        for other in range(s.tree.shape[0]):
            s.tree[other, QUEUED] = -1
            if other != node and s.tree[other, CACHED] == 1 and s.tree[other, HOLDERS] == 0:
                queue_node_now(s, other)
    queue_node_now(s, node)


@inlined
def queue_node_now(s, node):
    s.tree[node, QUEUED] = s.tree[node, STAMP]
    place = ((1 << 20) - s.tree[node, DEPTH]) * s.tree.shape[0] + node
    push(s.leaving, s.count[LEAVING], float(s.tree[node, STAMP]), float(place))
    s.count[LEAVING] += 1


@part
def let_go(s, i, stamp):
    """A request holds its shared nodes no longer; a stamp of -1 leaves theirs as they are."""
    for k in range(s.job[i, SHARED]):
        node = s.path[s.path_start[i] + k]
        s.tree[node, HOLDERS] -= 1
        if stamp >= 0:
            s.tree[node, STAMP] = stamp
        if s.tree[node, HOLDERS] == 0:
            s.count[KEPT_BLOCKS] += s.node_blocks
            queue_node(s, node)
        else:
            s.count[TWICE] -= s.node_blocks * s.block
    s.job[i, SHARED] = 0


@part
def forget_nodes(s, wanted):
    """Free `wanted` blocks, or as many as nobody holds, of the cached nodes."""
    while wanted > 0 and s.count[KEPT_BLOCKS] > 0:
        stamp, node = int(s.leaving[0, RANK]), int(s.leaving[0, ARRIVAL]) % s.tree.shape[0]
        pop(s.leaving, s.count[LEAVING])
        s.count[LEAVING] -= 1
        if s.tree[node, QUEUED] == stamp:
            s.tree[node, QUEUED] = -1
        if s.tree[node, CACHED] == 1 and s.tree[node, HOLDERS] == 0 and s.tree[node, STAMP] == stamp:
            s.tree[node, CACHED] = 0
            s.count[KEPT_BLOCKS] -= s.node_blocks
            s.count[FREE] += s.node_blocks
            wanted -= s.node_blocks


@part
def store_prefix(s, i):
    """The prompt of a request has been computed: all nodes of its path are cached and held by it."""
    begin, end = s.path_start[i], s.path_start[i + 1]
    for k in range(begin + s.job[i, SHARED], end):
        node = s.path[k]
        if s.tree[node, CACHED] == 1:
            # Another request has computed it at the same time: one copy is enough.
            hold_node(s, node)
            s.count[FREE] += s.node_blocks
        else:
            s.tree[node, CACHED], s.tree[node, HOLDERS] = 1, 1
    s.job[i, SHARED] = end - begin
