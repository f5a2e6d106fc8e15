"""The slow LLM engine with a prefix cache: prompts that begin alike share the KV cache of their beginning."""

from __future__ import annotations

from slow_llm import Request, SlowEngine


class SlowPrefixEngine(SlowEngine):
    """The meaning of models/llm/prefix_kernel.py; `paths[i]` are the nodes of request i."""

    def __init__(self, requests, *arguments, paths, **options):
        super().__init__(requests, *arguments, **options)
        self.tokens = requests.prefix_block_tokens
        self.paths, self.reused_tokens = paths, 0
        self.stamp = {}  # of each cached node, when it was last let go
        self.depth = {node: k + 1 for path in paths for k, node in enumerate(path)}
        self.held_by = {one.number: 0 for one in self.requests}  # nodes that each request holds

    @property
    def node_blocks(self) -> int:
        return self.tokens // self.block

    def holders(self, node) -> int:
        return sum(node in self.paths[i][:held] for i, held in self.held_by.items())

    def found(self, one: Request) -> int:
        found = 0
        for node in self.paths[one.number][: (one.target - 1) // self.tokens]:
            if node not in self.stamp:
                break
            found += 1
        return found

    def columns(self, one: Request) -> dict[str, float]:
        nodes = self.held_by[one.number] if one.runs else self.found(one)
        return super().columns(one) | {"cached": float(nodes * self.tokens)}

    @property
    def free(self) -> int:
        free = self.capacity - sum(one.blocks for one in self.requests) - len(self.stamp) * self.node_blocks
        assert free >= 0, "more blocks than there are"
        return free

    def idle(self) -> list:
        return [node for node in self.stamp if self.holders(node) == 0]

    def kept(self, spared=None) -> int:
        return len(self.idle()) * self.node_blocks

    def reclaim(self, wanted: int, spared=None) -> None:
        while wanted > 0 and self.idle():
            node = min(self.idle(), key=lambda node: (self.stamp[node], -self.depth[node], node))
            del self.stamp[node]
            wanted -= self.node_blocks

    def lacking(self, one: Request) -> int:
        return super().lacking(one) - self.held_by[one.number] * self.node_blocks

    def starts(self, one: Request, admitted: list[Request]) -> bool:
        nodes = self.found(one)
        self.held_by[one.number], one.held = nodes, nodes * self.tokens
        started = super().starts(one, admitted)
        if started:
            self.reused_tokens += one.held
            one.blocks -= nodes * self.node_blocks
        else:
            self.held_by[one.number] = one.held = 0
        return started

    def store(self, computed: list[Request]) -> None:
        for one in computed:
            path = self.paths[one.number]
            one.blocks -= (len(path) - self.held_by[one.number]) * self.node_blocks
            self.held_by[one.number] = len(path)
            for node in path:
                self.stamp.setdefault(node, 0)

    def preempt(self, one: Request, wanted: int) -> None:
        self.recomputed_tokens -= self.held_by[one.number] * self.tokens
        super().preempt(one, wanted)

    def gone(self, one: Request) -> None:
        for node in self.paths[one.number][: self.held_by[one.number]]:
            self.stamp[node] = self.iteration
        self.held_by[one.number] = 0

    def shared_twice(self) -> int:
        return sum(max(0, self.holders(node) - 1) * self.tokens for node in self.stamp)
