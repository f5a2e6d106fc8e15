"""Interactive first, and a batch request starts only where it leaves the share `free` of the KV cache free."""

SEES = ("kind", "batch", "needed_tokens", "free_tokens", "kv_tokens")
SHAPE = "falling order"
PARAMETERS = {"free": 0.3}


def rank(kind):
    return kind


def admit(kind, batch, needed_tokens, free_tokens, kv_tokens, free):
    return kind == 0 or batch == 0 or free_tokens - needed_tokens >= free * kv_tokens
