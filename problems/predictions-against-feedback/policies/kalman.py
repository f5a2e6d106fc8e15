"""A Kalman filter of what each model on each topic is better than predicted, in log odds, that restarts when surprised.

Outcomes are taken for linear in the correction, whose variance begins at `start`, falls with what is seen and never
below `least`. Two CUSUM tests of the standardised surprise, cut at `largest`, watch it, above and below: one beyond
`limit` sets the variance to `start` again. memory: corrections from 0 on, `start` less their variances from 24, tests
from 48 and 72, logs of factors of time from 96.
"""

import math

SEES = (
    "model",
    "topic",
    "quality",
    "tokens",
    "price",
    "time_s",
    "slows_s",
    "value_wrong",
    "value_s",
    "value_usd",
    "took_s",
    "outcome",
    "memory",
)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"limit": 6.0, "start": 0.5, "least": 0.005, "largest": 1.7}


def corrected(quality, more):
    odds = quality / max(1.0 - quality, 1e-12) * math.exp(more)
    return odds / (1.0 + odds)


def decide(model, topic, quality, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd, memory):
    better = corrected(quality, memory[int(model) * 8 + int(topic)])
    time = (time_s + slows_s) * math.exp(memory[96 + int(model)])
    return value_wrong * (1.0 - better) + value_s * time + value_usd * tokens * price / 1e6


def learn(model, topic, quality, time_s, took_s, outcome, memory, limit, start, least, largest):
    m, k = int(model), int(model) * 8 + int(topic)
    memory[96 + m] += 0.01 * (math.log(took_s / time_s) - memory[96 + m])
    if outcome == outcome:
        right = corrected(quality, memory[k])
        weight = max(right * (1.0 - right), 1e-3)
        surprise = min(max((outcome - right) / math.sqrt(weight), -largest), largest)
        memory[48 + k] = max(memory[48 + k] + surprise - 0.3, 0.0)
        memory[72 + k] = max(memory[72 + k] - surprise - 0.3, 0.0)
        if max(memory[48 + k], memory[72 + k]) > limit:
            memory[24 + k], memory[48 + k], memory[72 + k] = 0.0, 0.0, 0.0
        variance = start - memory[24 + k]
        gain = variance / (1.0 + variance * weight)
        memory[k] += gain * (outcome - right)
        memory[24 + k] = start - max(gain, least)
    return 0.0
