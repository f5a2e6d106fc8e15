"""Batches of like length: the lowest bin of the prediction first, first come first served within a bin.

After Guldogan, Kunde, Lee, Pedarsani: Multi-bin batching for increasing LLM inference throughput (2024). There a batch
waits until one bin can fill it, and full batches are first come first served; here a batch that the lowest bin cannot
fill takes of the next. The bins end at the parameters, by default the classes of Qiu et al. (2024).
"""

SEES = ("predicted",)
SHAPE = "falling order"
INFORMATION = "predictions"
PARAMETERS = {"mechanism": "fastertransformer", "first": 58, "second": 147, "third": 280, "fourth": 499}


def rank(predicted, first, second, third, fourth):
    place = 0.0
    for end in (first, second, third, fourth):
        if predicted >= end:
            place += 1.0
    return place
