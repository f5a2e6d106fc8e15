"""The most of the prompt in the prefix cache, among instances with at most `factor` times the mean number of requests.

Where none of the prompt is cached, or all that have some of it are overloaded, the shortest queue. After the
cache-aware routing of SGLang (Zheng et al. 2024).
"""

SEES = ("cached", "requests", "mean_requests")
PARAMETERS = {"factor": 1.5}


def score(cached, requests, mean_requests, factor):
    if cached > 0 and requests <= factor * mean_requests + 1.0:
        return -cached
    return requests
