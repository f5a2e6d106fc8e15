"""As by-delay, but a model that may be wrong is forgiven what asking the next one can mend.

An answer is given out unless the next model's is predicted to be better by more than it costs. `rescue`: the share
of wrong answers that are noticed and then answered rightly, of those that the next model is predicted to know. The
time that a request adds to others' counts as its own.
"""

SEES = (
    "quality",
    "tokens",
    "price",
    "time_s",
    "slows_s",
    "value_wrong",
    "value_s",
    "value_usd",
    "judged",
    "next_quality",
    "next_time_s",
    "next_price",
)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rescue": 0.6}


def decide(
    quality,
    tokens,
    price,
    time_s,
    slows_s,
    value_wrong,
    value_s,
    value_usd,
    next_quality,
    next_time_s,
    next_price,
    rescue,
):
    cost = value_wrong * (1.0 - quality) + value_s * (time_s + slows_s) + value_usd * tokens * price / 1e6
    if next_quality != next_quality:
        return cost
    again = value_s * next_time_s + value_usd * tokens * next_price / 1e6
    return cost - (1.0 - quality) * max(value_wrong * rescue * next_quality - again, 0.0)


def accept(judged, next_quality, next_time_s, next_price, tokens, value_wrong, value_s, value_usd):
    gain = value_wrong * (next_quality - judged)
    return gain < value_s * next_time_s + value_usd * tokens * next_price / 1e6
