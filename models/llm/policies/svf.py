"""Smallest volume first: by predicted tokens times steps in the KV cache, admitted while the predicted peak fits.

With a prompt of s and a predicted answer of o tokens the volume is s o + o (o + 1) / 2 (Kong, Qi, Ye, Zhou 2026).
An empty server takes any request, whatever is predicted.
"""

SEES = ("input_tokens", "predicted", "peak_tokens", "kv_tokens", "batch")
SHAPE = "falling order"
INFORMATION = "predictions"


def rank(input_tokens, predicted):
    return input_tokens * predicted + predicted * (predicted + 1.0) / 2.0


def admit(peak_tokens, kv_tokens, batch):
    return batch == 0 or peak_tokens <= kv_tokens
