"""As running-mean, but what was seen long ago counts less: moving averages of weight `rate`.

memory: corrections of quality from 0 on, logs of factors of time from 64.
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
PARAMETERS = {"rate": 0.01}


def decide(model, topic, quality, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd, memory):
    better = quality + memory[int(model) * 8 + int(topic)]
    time = (time_s + slows_s) * math.exp(memory[64 + int(model)])
    return value_wrong * (1.0 - better) + value_s * time + value_usd * tokens * price / 1e6


def learn(model, topic, quality, time_s, took_s, outcome, memory, rate):
    m, k = int(model), int(model) * 8 + int(topic)
    memory[64 + m] += rate * (math.log(took_s / time_s) - memory[64 + m])
    if outcome == outcome:
        memory[k] += rate * (outcome - quality - memory[k])
    return 0.0
