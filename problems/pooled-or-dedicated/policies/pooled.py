"""All servers do both phases: `chunked` 0 with iterations of whole prompts first (vLLM), 1 with prompts in chunks."""

SEES = ("prefill", "chunks")
SHAPE = "decision"
PARAMETERS = {"chunked": 1}


def decide(prefill, chunks, chunked):
    return 0 if prefill == 0 and chunks == chunked else 1
