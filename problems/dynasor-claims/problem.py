"""Reasoning that stops when it is certain: chains of thought by probed answers, votes of chains by their entropy.

A point has the keys deadline_s and pace, and of two kinds one: rule (a name of RULES) and bend (of the curve of
accuracy against tokens, see llm/questions.py) for one chain a question; sure (the certainty at which no more chains
are begun) for a vote. alone = true: one question, with a chain of 1,000 tokens that is right from the start. The
policy serves.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.questions import known
from openqueues.models.streams import streams

HARDWARE = "llama2-70b-h100-tp8"
MAX_BATCH = 64
RULES = {"mild": (8, 64), "low": (5, 64), "mid": (3, 64), "high": (2, 64), "crazy": (2, 32)}
"""Probed answers in turn that must agree, and tokens between probes."""
WAVE, MOST_CHAINS = 4, 16
KEPT = 0.9
"""Share of the questions that must be answered by their deadlines."""
MOST_QUESTIONS, MOST_VOTES = 2_000, 400
HALVINGS = 12
SLOWEST, FASTEST = 0.002, 50.0
"""Questions a second between which the highest rate is sought."""


def simulate(point, policy, seed, jobs):
    """One replication: tokens and right answers of the rule beside complete reasoning, and rates and deadlines kept."""
    if "sure" in point:
        n = min(jobs, MOST_VOTES)
        tokens, correct, equal, work = _votes(n, seed, float(point["sure"]))
    else:
        n = 1 if point.get("alone") else min(jobs, MOST_QUESTIONS)
        tokens, correct, equal, work = _chains(n, seed, point["rule"], float(point["bend"]), bool(point.get("alone")))
    when = llm.arrivals_law("poisson:rate=1").draw(streams(seed).gaps, n)
    deadline = point["deadline_s"]
    rates = [_highest(one, when, policy, deadline) for one in work]
    if not rates[0]:
        raise InputError(f"complete reasoning keeps deadline_s = {deadline} at no rate: give a longer one.")
    whole, own = (_latency(one, when / (point["pace"] * rates[0]), policy) for one in work)
    late = [float(np.quantile(one, KEPT)) for one in (whole, own)]
    return {
        "tokens_saved": 100 * (1 - tokens[1] / tokens[0]),
        "saved_at_accuracy": 100 * (1 - tokens[1] / equal),
        "accuracy_lost": 100 * (correct[0] - correct[1]),
        "accuracy": 100 * correct[1],
        "rate_ratio": rates[1] / rates[0],
        "slo_ratio": late[0] / late[1],
        "complete_rate_per_s": rates[0],
        "p90_latency_s": late[1],
    }


def _chains(n, seed, rule, bend, alone):
    """((tokens), (share right), tokens of one limit for all that is right as often, (requests)): complete, and cut."""
    if rule not in RULES:
        raise unknown("rule", str(rule), RULES)
    asked = _single() if alone else llm.questions(n, seed, most=1, bend=bend)
    agree, every = RULES[rule]
    whole, cut = (llm.thought(asked, "closed", seed, **given) for given in ({}, {"probe_every": every, "agree": agree}))
    requests = [replace(one.programs.requests, prefix_start=None, prefix_blocks=None) for one in (whole, cut)]
    tokens = [float(one.output_tokens.sum()) for one in requests]
    correct = [float(one.right().mean()) for one in (whole, cut)]
    return tokens, correct, _limited(asked, correct[1]), requests


def _limited(asked, correct):
    """Tokens of all chains under the least limit, the same for all, with which this share is right."""
    length = asked.tokens[:, 0]

    def right(limit):
        return float(np.mean(asked.luck[:, 0] < asked.success * known(limit / length, asked.bend)))

    low, high = 0, int(length.max())
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if right(middle) >= correct else (middle, high)
    return float(np.minimum(length, high).sum())


def _votes(n, seed, sure):
    """The same for votes: MOST_CHAINS at once, or waves of WAVE until the answers are certain; fewer chains for all."""
    asked = llm.questions(n, seed, most=MOST_CHAINS)
    answers = asked.answers()
    counts = [_counts(answers[:, :k]) for k in range(1, MOST_CHAINS + 1)]
    right = np.array([_vote(answers[:, : k + 1], one) == 0 for k, one in enumerate(counts)])
    used = np.full(n, MOST_CHAINS)
    for k in range(MOST_CHAINS - WAVE, 0, -WAVE):
        used[_certainty(counts[k - 1]) >= sure] = k
    spent = np.cumsum(asked.tokens, axis=1).sum(axis=0).astype(float)
    own = float(np.where(np.arange(MOST_CHAINS) < used[:, None], asked.tokens, 0).sum())
    correct = [float(right[-1].mean()), float(right[used - 1, np.arange(n)].mean())]
    equal = _fewest(spent, np.maximum.accumulate(right.mean(axis=1)), correct[1])
    work = [_waves(asked, np.full(n, MOST_CHAINS), MOST_CHAINS), _waves(asked, used, WAVE)]
    return (spent[-1], own), correct, equal, work


def _fewest(spent, right, correct):
    """Tokens of so few chains for all that this share is right, between two whole numbers of chains in proportion."""
    k = int(np.searchsorted(right, correct))
    if k == 0:
        return spent[0]
    if k == len(right):
        return spent[-1]
    return spent[k - 1] + (correct - right[k - 1]) / (right[k] - right[k - 1]) * (spent[k] - spent[k - 1])


def _counts(answers):
    """(n, answers): how often each was given."""
    return (answers[:, :, None] == np.arange(answers.max() + 2)).sum(axis=1)


def _vote(answers, counts):
    """(n,): the answer given most often, of equal ones the one that was given first."""
    first = np.argmax(answers[:, :, None] == np.arange(counts.shape[1]), axis=1)
    return np.argmax(counts - first / (2 * MOST_CHAINS), axis=1)


def _certainty(counts):
    """1 - entropy of the answers over that of answers that all differ (Dynasor's certaindex)."""
    chains = counts.sum(axis=1)
    share = counts / chains[:, None]
    entropy = -np.sum(share * np.log2(np.where(share > 0, share, 1.0)), axis=1)
    return 1 - entropy / np.log2(chains)


def _waves(asked, used, wave):
    """Programs of `used` chains, each wave of them after the whole one before."""
    question, chain = np.nonzero(np.arange(MOST_CHAINS) < used[:, None])
    place = np.concatenate([[0], np.cumsum(used)])[question]
    begins = [(p + k // wave * wave - wave, p + k // wave * wave) for p, k in zip(place, chain, strict=True)]
    before = [range(*one) if k >= wave else range(0) for one, k in zip(begins, chain, strict=True)]
    return llm.Programs(
        llm.Requests(np.zeros(len(chain)), asked.prompt[question], asked.tokens[question, chain]),
        program=question,
        after_start=np.cumsum([0, *map(len, before)]),
        after=np.array([one for some in before for one in some], np.int64),
    )


def _highest(work, when, policy, deadline):
    """The highest rate at which KEPT of the questions end within the deadline, by bisection of its logarithm; or 0."""

    def kept(rate):
        return np.mean(_latency(work, when / rate, policy) <= deadline) >= KEPT

    if not kept(SLOWEST):
        return 0.0
    if kept(FASTEST):
        return FASTEST
    low, high = np.log(SLOWEST), np.log(FASTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(np.exp(middle)) else (low, middle)
    return float(np.exp(low))


def _latency(work, when, policy):
    """(n,): seconds from each question's arrival to the end of its last chain."""
    if isinstance(work, llm.Requests):
        return (
            llm.serve(replace(work, arrival_s=when), llm.hardware_law(HARDWARE), policy, max_batch=MAX_BATCH).finish_s
            - when
        )
    programs = work.with_requests(replace(work.requests, arrival_s=when[work.program]))
    served = llm.serve_cluster(programs, _cluster(), policy)
    return llm.program_finish(served, programs) - when


@lru_cache(maxsize=1)
def _cluster():
    return llm.Cluster([llm.Instance(HARDWARE, max_batch=MAX_BATCH)])


def _single():
    """A prompt of 100 tokens; each probe of the chain finds the right answer."""
    one = llm.questions(1, 1, most=1, easy=1.0, hard=1.0)
    return replace(one, prompt=np.array([100]), tokens=np.array([[1000]]), luck=np.zeros((1, 1)))
