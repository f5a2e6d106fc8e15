"""Shortest remaining processing time: by the true tokens still to make; preempts where the batch is full.

Not for memory (preempt=true): a displaced request computes its prompt and answer anew, and the time that this takes
from all exceeds what the shorter one gains. On benchmarks/llm.py with a KV cache that is often full the mean latency
at 4, 4.5 and 5 requests a second is 4.30, 4.75 and 5.36 s, with preempt=true 4.45, 6.52 and 33.8 s; with azure-conv
on llama2-70b-a100-tp4 with 60,000 tokens, at 0.8 and 0.9 of the most that FCFS serves, 21.1 and 25.1 s, with
preempt=true 78 and 419 s (24 s with memory=tail at 0.8, 21.1 s with memory=swap). A full batch has the same cost: with
max_batch=32 and 450,000 tokens there, preempt=false has 19.2 and 22.4 s, this 59 and 320 s, with memory=tail 19.1 and
22.5 s.
"""

SEES = ("left",)
SHAPE = "falling order"
INFORMATION = "oracle"
PARAMETERS = {"preempt": "batch"}


def rank(left):
    return left
