"""Several models by the definition: between two events every request makes tokens at the pace of its model."""

from __future__ import annotations

import math


def answer(stream, models, decide, accept, learn, values):
    """decide, accept, learn: functions of a dict of columns and of memory. Returns (finish, model, usd, present)."""
    n, m = stream.quality.shape
    finish, model, usd, present = [math.nan] * n, [0] * n, [0.0] * n, [0] * n
    at = [{} for _ in range(m)]  # of each model: request -> tokens still to make
    began, foreseen, factor = [0.0] * n, [0.0] * n, [1.0] * m
    memory, now, coming, shifted = [0.0] * 128, 0.0, 0, False

    def alone(k, more=1):
        return models[k].step_ms + models[k].seq_ms * (len(at[k]) + more)

    def columns(i, k):
        row = {
            "model": k, "models": m, "quality": stream.quality[i, k], "tokens": stream.predicted_tokens[i],
            "price": models[k].price, "requests": len(at[k]), "step_ms": models[k].step_ms, "seq_ms": models[k].seq_ms,
            "now": now, "topic": stream.topic[i], "draw": stream.draw[i], "normal": stream.normal[i, k],
            "accuracy": models[k].accuracy, "value_wrong": values[0], "value_s": values[1], "value_usd": values[2],
            "judged": stream.judged[i, k], "spent_s": now - stream.arrival_s[i], "took_s": now - began[i],
            "time_s": foreseen[i], "outcome": float(stream.correct[i, k]) if stream.seen[i] else math.nan,
            "right": stream.right[i, k], "fair": stream.fair[i, k], "factor": factor[k],
        }  # fmt: skip
        if k + 1 < m:
            row["next_quality"], row["next_price"] = stream.quality[i, k + 1], models[k + 1].price
            row["next_time_s"] = stream.predicted_tokens[i] * alone(k + 1) / 1000.0
        return row

    def enter(i, k):
        began[i], foreseen[i] = now, stream.predicted_tokens[i] * alone(k) / 1000.0
        at[k][i] = stream.tokens[i]

    while any(math.isnan(one) for one in finish):
        pace = [factor[k] * alone(k, 0) / 1000.0 for k in range(m)]
        events = [(now + left * pace[k], 1, k, i) for k in range(m) for i, left in at[k].items()]
        if coming < n:
            events.append((stream.arrival_s[coming], 2, 0, coming))
        if not shifted and stream.shift_s < math.inf:
            events.append((stream.shift_s, 0, 0, 0))
        # At one moment the pace changes first, then answers end, at the smaller model first, then requests come.
        then, kind, k, i = min(events)
        for there in range(m):
            for one in at[there]:
                at[there][one] -= (then - now) / pace[there]
        now = then
        if kind == 0:
            factor, shifted = list(stream.factors), True
        elif kind == 1:
            del at[k][i]
            usd[i] += stream.tokens[i] * models[k].price / 1e6
            if k + 1 < m and accept(columns(i, k), memory) <= 0.5:
                enter(i, k + 1)
            else:
                finish[i], model[i] = now, k
                learn(columns(i, k), memory)
        else:
            present[i] = sum(map(len, at))
            coming += 1
            scores = []
            for one in range(m):
                row = columns(i, one)
                row["time_s"] = stream.predicted_tokens[i] * alone(one) / 1000.0
                row["slows_s"] = stream.predicted_tokens[i] * models[one].seq_ms * len(at[one]) / 1000.0
                row["true_time_s"] = stream.tokens[i] * alone(one) * factor[one] / 1000.0
                scores.append(decide(row, memory))
            enter(i, scores.index(min(scores)))
    return finish, model, usd, present
