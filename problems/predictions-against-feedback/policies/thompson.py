"""As discounted, with a correction of quality drawn from what is known of it: less seen, more tried.

The average has the weight of at most 1 / rate outcomes; the draw's deviation is `spread` over the root of its weight.
memory: corrections from 0 on, their weights from 32, logs of factors of time from 64.
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
    "normal",
)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rate": 0.01, "spread": 0.4}


def decide(
    model, topic, quality, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd, memory, normal, spread
):
    k = int(model) * 8 + int(topic)
    better = quality + memory[k] + normal * spread / math.sqrt(memory[32 + k] + 1.0)
    time = (time_s + slows_s) * math.exp(memory[64 + int(model)])
    return value_wrong * (1.0 - better) + value_s * time + value_usd * tokens * price / 1e6


def learn(model, topic, quality, time_s, took_s, outcome, memory, rate):
    m, k = int(model), int(model) * 8 + int(topic)
    memory[64 + m] += rate * (math.log(took_s / time_s) - memory[64 + m])
    if outcome == outcome:
        memory[32 + k] = (1.0 - rate) * memory[32 + k] + 1.0
        memory[k] += (outcome - quality - memory[k]) / (memory[32 + k] + 1.0)
    return 0.0
