"""MC-SF: shortest predicted answer first, admitted while the predicted peak of the KV cache fits.

Jaillet, Jiang, Mellou, Molinaro, Podimata, Zhou: Online scheduling for LLM inference with KV cache constraints
(2025). An empty server takes any request, whatever is predicted.
"""

SEES = ("predicted", "peak_tokens", "kv_tokens", "batch")
SHAPE = "falling order"
INFORMATION = "predictions"


def rank(predicted):
    return predicted


def admit(peak_tokens, kv_tokens, batch):
    return batch == 0 or peak_tokens <= kv_tokens
