"""vLLM: first come first served, pages, iterations of whole prompts first."""

SEES = ("arrival",)
SHAPE = "falling order"
PARAMETERS = {"mechanism": "vllm"}


def rank(arrival):
    return arrival
