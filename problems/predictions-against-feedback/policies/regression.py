"""Logistic regression on line: what each model, and each model on each topic, is better than predicted, in log odds.

After an outcome both corrections move by a step times its surprise. memory: of models on topics from 0 on, of models
from 48, logs of factors of time from 64.
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
PARAMETERS = {"step": 0.03, "rate": 0.01}


def corrected(quality, more):
    odds = quality / max(1.0 - quality, 1e-12) * math.exp(more)
    return odds / (1.0 + odds)


def decide(model, topic, quality, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd, memory):
    better = corrected(quality, memory[48 + int(model)] + memory[int(model) * 8 + int(topic)])
    time = (time_s + slows_s) * math.exp(memory[64 + int(model)])
    return value_wrong * (1.0 - better) + value_s * time + value_usd * tokens * price / 1e6


def learn(model, topic, quality, time_s, took_s, outcome, memory, step, rate):
    m, k = int(model), int(model) * 8 + int(topic)
    memory[64 + m] += rate * (math.log(took_s / time_s) - memory[64 + m])
    if outcome == outcome:
        surprise = outcome - corrected(quality, memory[48 + m] + memory[k])
        memory[48 + m] += step * surprise
        memory[k] += step * surprise
    return 0.0
