"""A Llama-shaped model of any size with random weights, to time the steps of an engine on the device at hand.

It does what a step of a language model does: embedding, and in each layer RMS norm, projections, rotary positions,
grouped-query attention over a KV cache, and a gated feed-forward; then the logits of each sequence's last token. Values
mean nothing, times do. What computes runs in PyTorch, which brings the kernels of the device.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from openqueues.models.errors import InputError
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama-shaped model. Raises InputError for those that do not go together."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    head_size: int = 0
    """0: hidden / heads."""

    def __post_init__(self):
        for field in fields(self):
            if getattr(self, field.name) < (0 if field.name == "head_size" else 1):
                raise InputError(f"{field.name} of the model is {getattr(self, field.name)}, but must be at least 1.")
        if not self.head_size:
            if self.hidden % self.heads:
                raise InputError(f"hidden is {self.hidden}, no multiple of {self.heads} heads: give such a multiple.")
            object.__setattr__(self, "head_size", self.hidden // self.heads)
        if self.head_size % 2:
            raise InputError(f"a head has {self.head_size} values, but rotary positions need an even number.")
        if self.heads % self.kv_heads:
            raise InputError(f"{self.heads} heads are no multiple of {self.kv_heads} KV heads: give such a multiple.")

    @property
    def weights(self) -> int:
        """Number of weights."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.ffn) + 2 * self.vocabulary * self.hidden

    @property
    def kv_values(self) -> int:
        """Values that the KV cache holds of one token."""
        return 2 * self.layers * self.kv_heads * self.head_size


class Llama:
    """The model on a device; `cache` makes room for sequences, `step` computes one step of an engine."""

    def __init__(self, shape: Shape, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
        self.shape, self.device, self.dtype = shape, device, dtype
        draw = torch.Generator(device=device).manual_seed(seed)

        def matrix(rows: int, columns: int) -> torch.Tensor:
            made = torch.empty(rows, columns, device=device, dtype=dtype)
            return made.normal_(0.0, rows**-0.5, generator=draw)

        queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        self.embedding = matrix(shape.vocabulary, shape.hidden)
        self.unembedding = matrix(shape.hidden, shape.vocabulary)
        self.layers = [
            (
                matrix(shape.hidden, queries + 2 * keys),
                matrix(queries, shape.hidden),
                matrix(shape.hidden, 2 * shape.ffn),
                matrix(shape.ffn, shape.hidden),
            )
            for _ in range(shape.layers)
        ]

    def cache(self, sequences: int, tokens: int) -> torch.Tensor:
        """KV cache of so many sequences of so many tokens each: (layers, 2, sequences, KV heads, tokens, size)."""
        shape = self.shape
        size = (shape.layers, 2, sequences, shape.kv_heads, tokens, shape.head_size)
        return torch.zeros(size, device=self.device, dtype=self.dtype)

    @torch.no_grad()
    def step(
        self, prompt: torch.Tensor, prompt_cache: torch.Tensor, latest: torch.Tensor, cache: torch.Tensor
    ) -> torch.Tensor:
        """Logits after one step: (1 where there is a prompt + B, vocabulary).

        prompt: (L,) the last L tokens of the prompt whose keys and values fill prompt_cache, which holds one sequence;
        latest: (B,) the last token of each of the B sequences of cache, which are equally long. L or B may be 0.
        """
        whole, length = len(prompt), cache.shape[4]
        begin = prompt_cache.shape[4] - whole
        steps = torch.arange(begin, begin + whole, device=self.device)
        turns = self._turns(torch.cat((steps, torch.full_like(latest, length - 1))))
        seen = self._seen(whole, begin)
        x = self.embedding[torch.cat((prompt, latest))]
        for number, (inward, outward, gate_up, down) in enumerate(self.layers):
            x = x + self._attention(x, inward, turns, prompt_cache[number], cache[number], seen) @ outward
            gate, up = (rms_norm(x, x.shape[1:]) @ gate_up).chunk(2, dim=1)
            x = x + (silu(gate) * up) @ down
        last = x[max(whole - 1, 0) :]
        return rms_norm(last, last.shape[1:]) @ self.unembedding

    def _seen(self, whole: int, begin: int) -> dict[str, object] | None:
        """What says that a prompt's tokens see those up to themselves, of which `begin` were there before; None without
        a prompt."""
        if not whole:
            return None
        if not begin:
            return {"is_causal": True}
        if self.device.type == "cuda" and self.dtype != torch.float32:
            return {"attn_mask": causal_lower_right(whole, begin + whole)}
        # Only kernels of CUDA that take 16 bits know such a mask without having it as a matrix: one for all layers.
        return {"attn_mask": torch.ones(whole, begin + whole, dtype=torch.bool, device=self.device).tril(begin)}

    def _attention(self, x, inward, turns, prompt_cache, cache, seen: dict | None) -> torch.Tensor:
        """Attention of one layer; writes the new keys and values into the caches. (tokens, heads x size)."""
        shape, length, whole = self.shape, cache.shape[3], len(x) - cache.shape[1]
        joined = (rms_norm(x, x.shape[1:]) @ inward).view(len(x), -1, shape.head_size)
        queries, keys, values = joined.split((shape.heads, shape.kv_heads, shape.kv_heads), dim=1)
        queries, keys = _turned(queries, turns), _turned(keys, turns)
        grouped = shape.heads != shape.kv_heads
        parts = []
        if whole:
            begin = prompt_cache.shape[3] - whole
            prompt_cache[0, 0, :, begin:] = keys[:whole].transpose(0, 1)
            prompt_cache[1, 0, :, begin:] = values[:whole].transpose(0, 1)
            asked = queries[:whole].transpose(0, 1)[None]
            made = scaled_dot_product_attention(asked, prompt_cache[0], prompt_cache[1], enable_gqa=grouped, **seen)
            parts.append(made[0].transpose(0, 1).flatten(1))
        if len(x) > whole:
            cache[0, :, :, length - 1] = keys[whole:]
            cache[1, :, :, length - 1] = values[whole:]
            asked = queries[whole:, :, None]
            made = scaled_dot_product_attention(asked, cache[0], cache[1], enable_gqa=grouped)
            parts.append(made[:, :, 0].flatten(1))
        return torch.cat(parts)

    def _turns(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine of the rotary angles, (tokens, 1, size / 2)."""
        half = self.shape.head_size // 2
        rates = 10_000.0 ** (-torch.arange(half, device=self.device, dtype=torch.float32) / half)
        angles = (positions[:, None] * rates)[:, None]
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


def _turned(x: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    cosine, sine = turns
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
