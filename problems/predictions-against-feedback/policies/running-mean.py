"""Predicted quality and the mean of what outcomes were better than predicted, of this model on this topic since ever.

Predicted times are multiplied by the geometric mean of the times that were seen over those predicted, by model.
memory: corrections of quality from 0 on, their counts from 32, logs of factors from 64, their counts from 72.
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
PARAMETERS = {"prior": 10.0}


def decide(model, topic, quality, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd, memory):
    better = quality + memory[int(model) * 8 + int(topic)]
    time = (time_s + slows_s) * math.exp(memory[64 + int(model)])
    return value_wrong * (1.0 - better) + value_s * time + value_usd * tokens * price / 1e6


def learn(model, topic, quality, time_s, took_s, outcome, memory, prior):
    m, k = int(model), int(model) * 8 + int(topic)
    memory[72 + m] += 1.0
    memory[64 + m] += (math.log(took_s / time_s) - memory[64 + m]) / (memory[72 + m] + prior)
    if outcome == outcome:
        memory[32 + k] += 1.0
        memory[k] += (outcome - quality - memory[k]) / (memory[32 + k] + prior)
    return 0.0
