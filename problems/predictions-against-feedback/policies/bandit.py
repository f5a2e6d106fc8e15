"""No predictions of the request: rates of right answers as seen, of this model on this topic, by Thompson sampling.

Rates are moving averages of at most 1 / rate outcomes, from 0.75 on with the weight of two. Times are those of an
answer of mean length, its own and what it adds to others', as the models were measured. memory: rates less 0.75 from
0 on, their weights from 32.
"""

import math

SEES = (
    "model",
    "topic",
    "normal",
    "price",
    "requests",
    "step_ms",
    "seq_ms",
    "value_wrong",
    "value_s",
    "value_usd",
    "outcome",
    "memory",
)
SHAPE = "decision"
INFORMATION = "blind"
PARAMETERS = {"rate": 0.01, "spread": 0.4, "mean": 200.0}


def decide(
    model, topic, normal, price, requests, step_ms, seq_ms, value_wrong, value_s, value_usd, memory, spread, mean
):
    k = int(model) * 8 + int(topic)
    right = 0.75 + memory[k] + normal * spread / math.sqrt(memory[32 + k] + 2.0)
    time = mean * (step_ms + seq_ms * (2.0 * requests + 1.0)) / 1000.0
    return value_wrong * (1.0 - right) + value_s * time + value_usd * mean * price / 1e6


def learn(model, topic, outcome, memory, rate):
    k = int(model) * 8 + int(topic)
    if outcome == outcome:
        memory[32 + k] = (1.0 - rate) * memory[32 + k] + 1.0
        memory[k] += (outcome - 0.75 - memory[k]) / (memory[32 + k] + 2.0)
    return 0.0
