"""The batches of Dai, Deng, Li and Peng: rounds of at most so many tokens, whose time depends on their number alone.

A request has a prompt, whose tokens may be computed in any portions, and then makes its decoding tokens, one a round.
Requests are taken in the order of arrival, and at most `most` are in progress. A round is formed by the rule

    sarathi             a token of each that decodes, then prompts, in chunks
    orca                prompts, in chunks, then a token of each that decodes
    vllm                whole prompts where one fits, else a token of each that decodes
    fastertransformer   a token of each that decodes, or, where none does, whole prompts
    rad                 a token of each that decodes where TILE do or no prompt is left, else TILE tokens of the oldest
                        prompt (Bari, Hegde, de Veciana)

and has at most `budget` tokens. The first two fill the budget whenever there is work for it.
"""

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import unknown

RULES = ("sarathi", "orca", "vllm", "fastertransformer", "rad")
TILE = 128


@dataclass(frozen=True, eq=False)
class Served:
    finish: np.ndarray
    """(n,), nan for a request that is never finished."""
    end: np.ndarray
    """(rounds,) when each round ended."""
    prompts: np.ndarray
    """(rounds,) tokens of prompts in each."""
    decoded: np.ndarray


class _Prompts:
    """Requests whose prompt is not done, in the order of arrival; the first may be begun."""

    def __init__(self, prompt):
        self.prompt, self.first, self.arrived, self.left = prompt, 0, 0, 0

    @property
    def begun(self):
        return self.left > 0

    @property
    def oldest(self):
        """Tokens left of the prompt that is first, 0 where none is there."""
        return self.left or (int(self.prompt[self.first]) if self.first < self.arrived else 0)

    def take(self, room, places, whole):
        """Compute at most `room` tokens, beginning at most `places` prompts; (tokens, requests whose prompts end)."""
        tokens, done = 0, []
        while self.first < self.arrived and room > 0:
            if not self.begun and places <= 0:
                break
            need = self.oldest
            if whole and need > room:
                break
            places -= not self.begun
            part = min(need, room)
            tokens += part
            room -= part
            self.left = need - part
            if not self.left:
                done.append(self.first)
                self.first += 1
        return tokens, done


def serve(arrival, prompt, decode, rule, budget, law_ms, most=math.inf, until=math.inf):
    """Serve requests of ascending arrival (ms), prompt and decode (tokens, at least 1); law_ms(tokens): a round's time.

    Ends with the first round that ends after `until`, when all are served, or when no round can be formed and no
    request is to come.
    """
    if rule not in RULES:
        raise unknown("rule of rounds", rule, RULES)
    whole = rule in ("vllm", "fastertransformer")
    n, now = len(arrival), 0.0
    prompts, finish = _Prompts(prompt), np.full(n, np.nan)
    who, left = np.zeros(0, np.int64), np.zeros(0, np.int64)  # that decode, in the order of arrival; tokens to make
    ends, computed, decoded = [], [], []
    while now <= until:
        prompts.arrived = int(np.searchsorted(arrival, now, "right"))
        ready = min(len(left), budget)
        places = most - len(left) - prompts.begun
        tokens, done = 0, []
        if rule == "sarathi":
            tokens, done = prompts.take(budget - ready, places, whole)
        elif rule == "rad":
            if ready < min(TILE, budget):
                tokens, done = prompts.take(min(TILE, budget, prompts.oldest), places, whole)
            ready *= tokens == 0
        elif rule != "fastertransformer" or ready == 0:
            tokens, done = prompts.take(budget, places, whole)
            ready = min(ready, budget - tokens) if rule == "orca" else ready * (tokens == 0)
        if tokens + ready == 0:
            if prompts.arrived == n:
                break
            now = float(arrival[prompts.arrived])
            continue
        now += law_ms(tokens + ready)
        ends.append(now)
        computed.append(tokens)
        decoded.append(ready)
        left[:ready] -= 1
        ended = left == 0
        if ended.any():
            finish[who[ended]] = now
            who, left = who[~ended], left[~ended]
        if done:
            who, left = np.append(who, done), np.append(left, decode[done])
    return Served(finish, *map(np.array, (ends, computed, decoded)))
