"""One server at a time, from the phase that has enough room to the one whose backlog endangers its objective.

`tokens` of prompts wait per server when the time to the first token is at risk, `most` requests decode per server when
the time per token is.
"""

SEES = ("share", "instances", "prefill_tokens", "decode_requests", "changing")
PARAMETERS = {"tokens": 4000.0, "most": 80.0, "slack": 0.5}


def control(share, instances, prefill_tokens, decode_requests, changing, tokens, most, slack):
    if changing > 0:
        return share
    prompts, answers = prefill_tokens / tokens, decode_requests / most
    if prompts > 1 and answers < 1:
        return share + 1 / instances
    if answers > 1 and prompts < slack:
        return share - 1 / instances
    return share
