"""First come first served, admitted while the predicted peak of the KV cache fits.

The admission of the Past-Future scheduler (Gong et al. 2025), which draws the lengths still to come from those of
requests that finished lately, with the given predictions in their place; MC-Benchmark of Jaillet et al. (2025).
An empty server takes any request, whatever is predicted.
"""

SEES = ("arrival", "peak_tokens", "kv_tokens", "batch")
SHAPE = "falling order"
INFORMATION = "predictions"


def rank(arrival):
    return arrival


def admit(peak_tokens, kv_tokens, batch):
    return batch == 0 or peak_tokens <= kv_tokens
