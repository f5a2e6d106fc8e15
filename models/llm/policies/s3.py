"""S3: memory reserved for the predicted length, rounded up to a bucket; who outgrows it is evicted and gets the double.

Jin, Wu, Brooks, Wei: S3, increasing GPU utilization during generative inference for higher throughput (2023). First
come first served, prompts beside the requests that decode. Who has made more tokens than were reserved for it computes
them again, with the prompt, when there is room for twice as many.
"""

from openqueues.models.llm.planning import EVICT, blocks, go_on

SEES = ("todo", "held", "decoding", "generated", "predicted", "input_tokens", "note0")
SHAPE = "rounds"
INFORMATION = "predictions"
PARAMETERS = {"bucket": 64}


def decide(view, plan, bucket):
    block, tokens, running = view.block_tokens, view.budget, 0
    total = view.kv_tokens // block
    free = total
    for k in range(plan.size):
        if view.note0[k] == 0.0:
            view.note0[k] = bucket * max(1.0, (view.predicted[k] + bucket - 1.0) // bucket)
        if view.held[k] > 0.0 and view.decoding[k] > 0.0 and view.generated[k] > view.note0[k]:
            plan[k] = EVICT
            view.note0[k] *= 2.0
        elif view.held[k] > 0.0:
            free -= min(total, blocks(view.input_tokens[k] + view.note0[k], block))
            running += 1
    tokens = go_on(view, plan, tokens, 1.0)
    tokens = go_on(view, plan, tokens, 0.0)
    for k in range(plan.size):
        if view.held[k] == 0.0 or plan[k] == EVICT:
            needed = min(total, blocks(view.input_tokens[k] + view.note0[k], block))
            if plan[k] == EVICT or running >= view.max_batch or needed > free or tokens < 1.0:
                break
            said = min(view.todo[k], tokens)
            plan[k] = int(said)
            running, free, tokens = running + 1, free - needed, tokens - said
    return 0.0
