"""Reasoning programs: how a question becomes requests, from one chain of thought to a tree search.

    asked = questions(1000, seed=1)
    reasoned = majority(asked, "poisson:rate=0.5", chains=8, need=6, seed=1)
    served = serve_cluster(reasoned.programs, ...)
    reasoned.right(~served.cancelled)        # of each question, whether the vote of what was done is right

majority    `chains` chains at once, and one stage that reads all of them and answers when `need` are done
thought     one long chain; with probes it is stopped when the last `agree` probed answers are the same
tree        rounds of expansion: `width` steps at once, then a stage that scores them; the next round shares out its
            steps to them by softmax(score / temperature) (as REBASE does)
search      Monte Carlo tree search: `at_once` simulations under way, each a step from the node that UCT picks, and a
            rollout that continues it

Chains and steps of one question begin with the same prompt, steps with that of their node: their prompts have prefix
blocks of BLOCK tokens, so that a policy with prefix_cache=true shares their KV cache. What a request has made is
computed again as the prompt of those that begin with it, but for a rollout, which continues its step.

A node of a tree or a search has the luck of the node above it with probability `keep`, else a new one; its score is
1 - luck + noise with a standard deviation of NOISE, so that good scores hint at right answers. This, too, is assumed.

The values of a stage: 0 for expansion and 1 for aggregation, the predicted difficulty, the predicted tokens of a chain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.questions import Questions, known
from openqueues.models.llm.requests import Requests
from openqueues.models.llm.workloads import Replay, arrivals_law
from openqueues.models.streams import derive_seed, streams

BLOCK = 16
PROBE = 20
"""Tokens that a probe writes."""
ANSWER = 32
"""Tokens of the answer that an aggregation writes; the score of a round is one token."""
NOISE = 0.5


@dataclass(frozen=True, eq=False)
class Reasoned:
    """Programs, one for each question, and what the stages answer."""

    programs: Programs
    answer: np.ndarray
    """int64, of each stage: 0 right, from 1 up wrong, -1 none."""

    def right(self, done: np.ndarray | None = None) -> np.ndarray:
        """bool (programs,): whether most of the answers of the stages that are `done` (default: all) are right.

        Of answers that are given as often the one that comes first in the order of stages counts.
        """
        votes = (self.answer >= 0) & (True if done is None else np.asarray(done, bool))
        begins, result = self.programs.begins, np.zeros(self.programs.count, bool)
        for p in range(self.programs.count):
            given = self.answer[begins[p] : begins[p + 1]][votes[begins[p] : begins[p + 1]]]
            if given.size:
                found, first, often = np.unique(given, return_index=True, return_counts=True)
                result[p] = found[np.lexsort((first, -often))[0]] == 0
        return result


class _Builder:
    """Collects stages, program by program."""

    def __init__(self, asked: Questions):
        self.asked, self.rows, self.after, self.blocks, self.p, self.fresh = asked, [], [], [], -1, 0

    def begin(self) -> np.ndarray:
        """Begin the next program; returns the blocks of its prompt."""
        self.p += 1
        self.told = float(self.asked.predicted_difficulty[self.p]), float(self.asked.predicted_tokens[self.p])
        return self.extended(np.empty(0, np.int64), 0, int(self.asked.prompt[self.p]))

    def extended(self, blocks: np.ndarray, tokens: int, more: int) -> np.ndarray:
        """Ids of the full blocks of a text of `tokens`, whose ids are given, and `more` tokens after it."""
        new = (tokens + more) // BLOCK - len(blocks)
        self.fresh += new
        return np.concatenate([blocks, np.arange(self.fresh - new, self.fresh)])

    def add(self, prompt, output, after, blocks, *, need=None, continues=-1, answer=-1, joins=False, model=-1) -> int:
        """Add a stage; returns its number."""
        need = len(after) if need is None else need
        self.rows.append((self.p, prompt, max(output, 1), need, continues, answer, model, joins, *self.told))
        self.after.append(list(after))
        self.blocks.append(blocks)
        return len(self.rows) - 1

    def done(self, arrival: np.ndarray) -> Reasoned:
        rows = np.array(self.rows)
        whole = rows[:, :7].astype(np.int64)
        lists = {name: [len(one) for one in lists] for name, lists in (("after", self.after), ("blocks", self.blocks))}
        # What an aggregation writes is known beforehand.
        guess = np.where(rows[:, 7] > 0, whole[:, 2], rows[:, 9])
        requests = Requests(
            arrival[whole[:, 0]],
            whole[:, 1],
            whole[:, 2],
            predicted_output_tokens=guess,
            prefix_start=np.cumsum([0, *lists["blocks"]]),
            prefix_blocks=np.concatenate(self.blocks),
            prefix_block_tokens=BLOCK,
        )
        programs = Programs(
            requests,
            program=whole[:, 0],
            after_start=np.cumsum([0, *lists["after"]]),
            after=np.array([one for after in self.after for one in after], np.int64),
            need=whole[:, 3],
            continues=whole[:, 4],
            model=whole[:, 6],
            values=rows[:, 7:],
        )
        return Reasoned(programs, whole[:, 5])


def majority(
    asked: Questions, arrivals: str, chains: int | np.ndarray, seed: int, *, need=None, budget=np.inf
) -> Reasoned:
    """`chains` chains for each question (one number, or (n,)), stopped after `budget` tokens, and a vote.

    need: how many of them the vote waits for (default: all). One chain needs no vote, and is then the whole program.
    """
    n = len(asked)
    chains = _numbers("chains", chains, n, asked.most)
    need = chains if need is None else np.minimum(_numbers("need", need, n, asked.most), chains)
    budget = _budget(budget, n)
    answers = asked.answers(budget[:, None])
    lengths = np.minimum(asked.tokens, budget[:, None]).astype(np.int64)
    made = _Builder(asked)
    for q in range(n):
        blocks = made.begin()
        own = [made.add(asked.prompt[q], lengths[q, k], [], blocks, answer=answers[q, k]) for k in range(chains[q])]
        if chains[q] > 1:
            read = asked.prompt[q] + lengths[q, : chains[q]].sum() * need[q] // chains[q]
            made.add(read, ANSWER, own, blocks, need=need[q], joins=True)
    return made.done(_arrivals(arrivals, n, seed))


def thought(
    asked: Questions, arrivals: str, seed: int, *, budget=np.inf, probe_every: int = 0, agree: int = 3
) -> Reasoned:
    """One chain for each question, stopped after `budget` tokens (one number, or (n,)) or by probes.

    probe_every: tokens between probes, 0 for none (Dynasor's settings (agree, probe_every): mild (8, 64), low (5,
    64), mid (3, 64), high (2, 64), crazy (2, 32)). A probe writes PROBE tokens, here in the chain itself; its answer
    is right if the chain would be right if it were stopped there; else it is the chain's own wrong answer with the
    share of its tokens that are made as probability, or any wrong one.
    """
    n = len(asked)
    budget = _budget(budget, n)
    if probe_every < 0 or probe_every != int(probe_every) or agree < 1 or agree != int(agree):
        raise InputError(f"probe_every is {probe_every} and agree {agree}: give whole numbers, agree of at least 1.")
    made = _Builder(asked)
    for q in range(n):
        blocks, length, answer, probes = made.begin(), int(min(asked.tokens[q, 0], budget[q])), None, 0
        if probe_every:
            length, answer, probes = _probed(asked, q, length, int(probe_every), int(agree))
        if answer is None:
            answer = int(_answers(asked, q, np.array([length]))[0])
        made.add(asked.prompt[q], length + PROBE * probes, [], blocks, answer=answer)
    return made.done(_arrivals(arrivals, n, seed))


def _answers(asked: Questions, q: int, tokens: np.ndarray) -> np.ndarray:
    """The answers of a question's first chain if it is stopped after these tokens."""
    right = asked.luck[q, 0] < asked.success[q] * known(tokens / asked.tokens[q, 0], asked.bend)
    return np.where(right, 0, asked.wrong[q, 0])


def probed_answers(asked: Questions, q: int, length: int, every: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, answers): what probes of a question's first chain find, after each `every` tokens below `length`."""
    at = np.arange(every, length, every)
    uniform = np.random.default_rng(derive_seed(asked.seed, "probes", q)).random((len(at), 2))
    given = _answers(asked, q, at)
    strays = (given > 0) & (uniform[:, 0] >= at / asked.tokens[q, 0])
    return at, np.where(strays, 1 + (uniform[:, 1] * asked.options).astype(np.int64), given)


def _probed(asked: Questions, q: int, length: int, every: int, agree: int) -> tuple[int, int | None, int]:
    """(tokens of the chain, its answer if probes stopped it, probes)."""
    at, given = probed_answers(asked, q, length, every)
    same = 0
    for k, answer in enumerate(given):
        same = same + 1 if k and answer == given[k - 1] else 1
        if same >= agree:
            return int(at[k]), int(answer), k + 1
    return length, None, len(at)


def tree(
    asked: Questions,
    arrivals: str,
    seed: int,
    *,
    width: int = 8,
    rounds: int = 4,
    temperature: float = 0.2,
    keep: float = 0.8,
    judge: int = -1,
) -> Reasoned:
    """For each question `rounds` rounds of `width` steps, each followed by a stage that scores them all.

    A step writes 1 / rounds of the tokens of a chain; the steps of the last round answer, and a last stage votes.
    judge: the model that scores (default: any). The prompt of a score is the question and what the steps of the round
    wrote.
    """
    n = len(asked)
    _check_tree(keep, width=width, rounds=rounds)
    if not temperature > 0:
        raise InputError(f"temperature is {temperature:g}: it must be above 0.")
    made = _Builder(asked)
    for q in range(n):
        root, prompt = made.begin(), int(asked.prompt[q])
        nodes, scored = [(prompt, root, None, 0)] * width, []
        rng = np.random.default_rng(derive_seed(asked.seed, "tree", q))
        for level in range(rounds):
            drawn = _Drawn(asked, q, rng, width)
            steps, grown, written = [], [], 0
            for k, (tokens, blocks, luck, times) in enumerate(nodes):
                own = drawn.luck(k, luck, keep)
                segment = max(int(drawn.tokens[k] / rounds), 1)
                answer = drawn.answer(k, own) if level == rounds - 1 else -1
                steps.append(made.add(tokens, segment, scored, blocks, answer=answer))
                grown.append((tokens + segment, made.extended(blocks, tokens, segment), own, times + 1))
                written += segment
            last = level == rounds - 1
            output = ANSWER if last else 1
            scored = [made.add(prompt + written, output, steps, root, joins=True, model=judge if not last else -1)]
            scores = np.array([1.0 - node[2] for node in grown]) + NOISE * drawn.noise
            share = np.exp((scores - scores.max()) / temperature)
            nodes = [grown[k] for k in rng.choice(width, size=width, p=share / share.sum())]
    return made.done(_arrivals(arrivals, n, seed))


def search(
    asked: Questions,
    arrivals: str,
    seed: int,
    *,
    simulations: int = 16,
    at_once: int = 4,
    explore: float = 1.0,
    children: int = 3,
    steps: int = 4,
    keep: float = 0.8,
) -> Reasoned:
    """For each question `simulations` of Monte Carlo tree search, `at_once` of them under way, and a vote.

    Each adds a step of 1 / steps of the tokens of a chain below the node that UCT (with the constant `explore`) picks
    by the values of the simulations that are `at_once` or more before it, and counts those under way as visits of
    value 0. A node has at most `children`. A rollout continues the step with the rest of a chain, one step at least,
    and answers.
    """
    n = len(asked)
    _check_tree(keep, simulations=simulations, at_once=at_once, children=children, steps=steps)
    made = _Builder(asked)
    for q in range(n):
        root, prompt = made.begin(), int(asked.prompt[q])
        rng = np.random.default_rng(derive_seed(asked.seed, "search", q))
        drawn = _Drawn(asked, q, rng, simulations)
        # Of each node: the node above, depth, tokens, blocks, luck, children, visits, sum of values.
        nodes = [[-1, 0, prompt, root, None, [], 0, 0.0]]
        rollouts, values = [], []
        for t in range(simulations):
            if t >= at_once:
                _credit(nodes, values[t - at_once])
            above = _pick(nodes, children, explore)
            own = drawn.luck(t, nodes[above][4], keep)
            segment = max(int(drawn.tokens[t] / steps), 1)
            tokens, blocks = nodes[above][2], nodes[above][3]
            rest = max(int(drawn.tokens[t]) - segment * (nodes[above][1] + 1), segment)
            # The step waits for the rollout whose place it takes.
            step = made.add(tokens, segment, [rollouts[t - at_once]] if t >= at_once else [], blocks)
            longer = made.extended(blocks, tokens, segment)
            answer = drawn.answer(t, own)
            rollouts.append(made.add(tokens + segment, rest, [step], longer, continues=step, answer=answer))
            nodes.append([above, nodes[above][1] + 1, tokens + segment, longer, own, [], 0, 0.0])
            nodes[above][5].append(len(nodes) - 1)
            values.append((len(nodes) - 1, 1.0 - own + NOISE * drawn.noise[t]))
            _visit(nodes, len(nodes) - 1)
        read = prompt + sum(made.rows[one][2] for one in rollouts)
        made.add(read, ANSWER, rollouts, root, joins=True)
    return made.done(_arrivals(arrivals, n, seed))


class _Drawn:
    """What chance gives to the nodes of a question that are made together."""

    def __init__(self, asked: Questions, q: int, rng: np.random.Generator, count: int):
        uniform, self.noise = rng.random((count, 4)), rng.standard_normal(count)
        self.asked, self.q, self.uniform = asked, q, uniform
        self.tokens = asked.tokens[q, (uniform[:, 0] * asked.most).astype(np.int64)]
        self.success = float(asked.easy + (asked.hard - asked.easy) * asked.difficulty[q])

    def luck(self, k: int, above: float | None, keep: float) -> float:
        """The luck of the k-th node below one of a given luck (None: the root)."""
        again = above is not None and self.uniform[k, 1] < keep
        return above if again else float(self.uniform[k, 2])

    def answer(self, k: int, luck: float) -> int:
        """What the k-th node answers if its luck is as given."""
        if luck < self.success:
            return 0
        stray = self.uniform[k, 3]
        if stray < self.asked.mislead:
            return int(self.asked.misled[self.q])
        return 1 + int((stray - self.asked.mislead) / (1.0 - self.asked.mislead) * self.asked.options)


def _pick(nodes: list, children: int, explore: float) -> int:
    """The node below which UCT adds the next one."""
    at = 0
    while len(nodes[at][5]) >= children:
        total = np.log(nodes[at][6])
        bounds = [nodes[v][7] / nodes[v][6] + explore * np.sqrt(total / nodes[v][6]) for v in nodes[at][5]]
        at = nodes[at][5][int(np.argmax(bounds))]
    return at


def _visit(nodes: list, at: int) -> None:
    """Count a visit of a node and of all above it."""
    while at >= 0:
        nodes[at][6] += 1
        at = nodes[at][0]


def _credit(nodes: list, found: tuple[int, float]) -> None:
    """Add the value of a simulation to its node and to all above it."""
    at, value = found
    while at >= 0:
        nodes[at][7] += value
        at = nodes[at][0]


def _check_tree(keep: float, **numbers: int) -> None:
    for name, value in numbers.items():
        if value != int(value) or value < 1:
            raise InputError(f"{name} is {value}: it must be a whole number of at least 1.")
    if not 0 <= keep <= 1:
        raise InputError(f"keep is {keep:g}: it must be a probability from 0 to 1.")


def _numbers(name: str, values, n: int, most: int) -> np.ndarray:
    """A whole number for each question, from one or (n,)."""
    found = np.asarray(values)
    if found.shape not in ((), (n,)) or not np.all((found >= 1) & (found <= most) & (found == np.floor(found))):
        raise InputError(f"{name} must be a whole number from 1 to {most}, or {n} of them, one for each question.")
    return np.broadcast_to(found.astype(np.int64), n)


def _budget(budget, n: int) -> np.ndarray:
    found = np.asarray(budget, np.float64)
    if found.shape not in ((), (n,)) or not np.all(found >= 1):
        raise InputError(f"budget must be a number of tokens of at least 1, or {n} of them, one for each question.")
    return np.broadcast_to(np.floor(found), n)


def _arrivals(arrivals: str, n: int, seed: int) -> np.ndarray:
    when = arrivals_law(arrivals)
    if isinstance(when, Replay):
        raise InputError("questions have no trace of arrivals to replay: give poisson, gamma, deterministic or closed.")
    return when.draw(streams(seed).gaps, n)
