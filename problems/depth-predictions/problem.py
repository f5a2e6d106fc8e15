"""A budget of tokens for all questions to a reasoning model, and who gets how many. A point has the keys budget, skill
and bend.

budget: tokens a question as a share of the mean length of a complete chain. skill: correlation of the predicted score
of the difficulty with the true one. bend: the form of the curve of accuracy against tokens, see llm/questions.py. The
policies' decide is described in llm/allotment.py. What was given is then served by one engine, in order of arrival.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from openqueues.models import llm
from openqueues.models.llm import allotment
from openqueues.models.llm.questions import questions
from openqueues.models.policies import policy as read_policy
from openqueues.models.streams import streams

FOLDER = Path(__file__).parent / "policies"
DEPTH, EASY, HARD = 0.6, 0.95, 0.25
HARDWARE = "llama2-70b-h100-tp8"
MAX_BATCH = 64
LOAD = 0.7
"""Of the engine, about; the rate of arrivals follows from it and from the budget."""
MOST = 2_000


def simulate(point, policy, seed, jobs):
    """One replication: accuracy in percent, how it stands to equal shares and to the oracle, and latency.

    Of policies that see no answers the accuracy is that expected for what they gave; of the others it is the expected
    one of equal shares, and the difference of what came out with the same chains.
    """
    n = min(jobs, MOST)
    bend, skill, budget = float(point["bend"]), float(point["skill"]), float(point["budget"])
    asked = _asked(n, seed, skill, bend)
    chosen = read_policy(policy)
    own = allotment.allot(asked, budget * allotment.mean_tokens() * n, chosen, skill, DEPTH)
    equal, oracle = (_given(name, n, seed, skill, bend, budget) for name in ("equal", "oracle"))
    floor, ceiling = equal.chance.mean(), oracle.chance.mean()
    sees = "agree" in chosen.sees
    accuracy = floor + own.right.mean() - equal.right.mean() if sees else own.chance.mean()
    found = _served(own, asked, budget, seed)
    return {
        "accuracy": 100 * accuracy,
        "points_gained": 100 * (accuracy - floor),
        "gap_closed": 100 * (accuracy - floor) / (ceiling - floor) if ceiling - floor > 0.001 else 0.0,
        "mean_latency_s": found["mean_latency_s"],
        "p99_latency_s": found["p99_latency_s"],
        "asked_share": 100 * np.mean(own.tokens > 0),
        "probe_share": 100 * own.probes.sum() * allotment.PROBE / max(own.all_tokens.sum(), 1),
        "completed_share": found["completed_share"],
        "unstable": found["unstable"],
    }


def exact(point, policy):
    """Of equal shares among many questions."""
    if read_policy(policy).name != "equal":
        return None
    value = allotment.equal_shares(point["budget"] * allotment.mean_tokens(), DEPTH, EASY, HARD, float(point["bend"]))
    return {"accuracy": (100 * value, 0.05)}


def bound(point):
    """No policy has more, not even one that knows which token makes its answer right."""
    value = allotment.most_right(
        point["budget"] * allotment.mean_tokens(), DEPTH, EASY, HARD, float(point["bend"]), hindsight=True
    )
    return {"accuracy": (100 * value, 0.05)}


@lru_cache(maxsize=4)
def _asked(n, seed, skill, bend):
    return questions(n, seed, most=1, depth=DEPTH, easy=EASY, hard=HARD, skill=skill, bend=bend)


@lru_cache(maxsize=8)
def _given(name, n, seed, skill, bend, budget):
    policy = read_policy(str(FOLDER / f"{name}.py"))
    tokens = budget * allotment.mean_tokens() * n
    return allotment.allot(_asked(n, seed, skill, bend), tokens, policy, skill, DEPTH)


def _served(given, asked, budget, seed):
    """What the engine makes of it: a question without tokens is answered at once, with one."""
    hardware = llm.hardware_law(HARDWARE)
    tokens, prompt = budget * allotment.mean_tokens(), float(asked.prompt.mean())
    step_ms = hardware.decode_step_ms / MAX_BATCH + hardware.decode_seq_ms + hardware.kv_token_ms * (prompt + tokens)
    rate = LOAD * 1000 / (hardware.prefill_token_ms * prompt + step_ms * tokens)
    arrivals = llm.arrivals_law(f"poisson:rate={rate}").draw(streams(seed).gaps, len(asked))
    requests = llm.Requests(arrivals, asked.prompt, np.maximum(given.all_tokens, 1))
    return llm.replication(requests, hardware, "sarathi", max_batch=MAX_BATCH)
