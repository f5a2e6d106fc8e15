"""Questions to a reasoning model: how hard they are, how long the chains of thought are, and which are right.

    asked = questions(1000, seed=1)
    asked.answers(tokens=2000)      # of each chain if it is stopped after 2000 tokens: 0 is right

The lengths of prompts and of complete chains have the measured law `servegen-r1` (DeepSeek-R1). The rest is assumed,
for want of public data on lengths and correctness together:

*   A question has a difficulty D, uniform from 0 to 1. The normal score of a chain's length is
    depth z(D) + sqrt(alike) Z + sqrt(1 - depth^2 - alike) Z', with z the normal quantile, Z of the question and Z' of
    the chain standard normal: harder questions take longer, and chains of one question are alike.
*   A complete chain is right with probability easy + (hard - easy) D, and one stopped after the share x of its tokens
    with that times (1 - exp(-bend x)) / (1 - exp(-bend)): with bend 3 more tokens help less and less, with a negative
    one most answers come late; they never hurt.
*   A wrong chain gives one of `options` wrong answers: the one that misleads on this question with probability
    `mislead`, else one of all, uniform.
*   Before the run the score of the difficulty is known with the correlation `skill`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import measured
from openqueues.models.special import ndtr, ndtri
from openqueues.models.streams import streams

LENGTHS = "servegen-r1"
BEND = 3.0


@dataclass(frozen=True, eq=False)
class Questions:
    """n questions, and `most` chains of thought for each of them that may be used."""

    difficulty: np.ndarray
    """(n,), from 0 to 1."""
    predicted_difficulty: np.ndarray
    """(n,), what is known of it before the run."""
    prompt: np.ndarray
    """int64 (n,), tokens."""
    tokens: np.ndarray
    """int64 (n, most), of complete chains."""
    predicted_tokens: np.ndarray
    """(n,): the median length of a chain of the predicted difficulty."""
    luck: np.ndarray
    """(n, most), uniform: a chain is right if it is below the probability."""
    wrong: np.ndarray
    """int64 (n, most), from 1 up: the answer of a chain that is wrong."""
    misled: np.ndarray
    """int64 (n,), the wrong answer that misleads."""
    easy: float
    hard: float
    options: int
    mislead: float
    seed: int
    bend: float = BEND

    def __len__(self) -> int:
        return len(self.difficulty)

    @property
    def most(self) -> int:
        return self.tokens.shape[1]

    @property
    def success(self) -> np.ndarray:
        """(n,): the probability that a complete chain is right."""
        return self.easy + (self.hard - self.easy) * self.difficulty

    def take(self, which: np.ndarray) -> Questions:
        """Those of the questions that `which` names or, as bool (n,), marks."""
        arrays = (field.name for field in fields(self) if isinstance(getattr(self, field.name), np.ndarray))
        return replace(self, **{name: getattr(self, name)[which] for name in arrays})

    def answers(self, tokens: float | np.ndarray = np.inf) -> np.ndarray:
        """int64 (n, most): the answer of each chain that is stopped after so many tokens, 0 if it is right."""
        limit = np.broadcast_to(np.asarray(tokens, np.float64), self.tokens.shape)
        right = self.luck < self.success[:, None] * known(limit / self.tokens, self.bend)
        return np.where(right, 0, self.wrong)


def known(share: float | np.ndarray, bend: float = BEND) -> np.ndarray:
    """What a chain's probability to be right is after a share of its tokens, as a share of that at its end."""
    return np.expm1(-bend * np.minimum(share, 1.0)) / np.expm1(-bend)


def questions(
    n: int,
    seed: int,
    *,
    most: int = 16,
    easy: float = 0.95,
    hard: float = 0.25,
    depth: float = 0.6,
    alike: float = 0.3,
    options: int = 9,
    mislead: float = 0.3,
    skill: float = 0.8,
    bend: float = BEND,
) -> Questions:
    """n questions with `most` chains each, the same for every use of the seed, the first ones the same for every n."""
    for name, value, low, high in (
        ("easy", easy, 0.0, 1.0),
        ("hard", hard, 0.0, 1.0),
        ("depth", depth, -1.0, 1.0),
        ("alike", alike, 0.0, 1.0),
        ("mislead", mislead, 0.0, 1.0),
        ("skill", skill, 0.0, 1.0),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} of the questions is {value:g}: it must be a number from {low:g} to {high:g}.")
    for name, value in (("n", n), ("most", most), ("options", options)):
        if value != int(value) or value < 1:
            raise InputError(f"{name} of the questions is {value}: it must be a whole number of at least 1.")
    if not 0 < abs(bend) <= 50:
        raise InputError(f"bend of the questions is {bend:g}: it must be a number from -50 to 50, but 0.")
    own = 1.0 - depth * depth - alike
    if own < 0:
        raise InputError(f"depth {depth:g} and alike {alike:g} leave no room for a chain: depth^2 + alike is above 1.")
    drawn = streams(seed)
    uniform = drawn.sizes.random((n, 3 + 4 * most))
    difficulty = uniform[:, 0]
    score = ndtri(difficulty)
    chains = uniform[:, 3:].reshape(n, most, 4)
    normal = (
        depth * score[:, None] + np.sqrt(alike) * ndtri(uniform[:, 1])[:, None] + np.sqrt(own) * ndtri(chains[..., 0])
    )
    misled = 1 + (uniform[:, 2] * options).astype(np.int64)
    other = 1 + (chains[..., 3] * options).astype(np.int64)
    blurred = skill * score + np.sqrt(1.0 - skill * skill) * drawn.predictions.standard_normal(n)
    table = measured.table(LENGTHS)
    prompt, _ = table.draw(drawn.sizes.spawn(1)[0], n)
    return Questions(
        difficulty=difficulty,
        predicted_difficulty=ndtr(blurred),
        prompt=prompt,
        tokens=length_at(table, normal).astype(np.int64),
        predicted_tokens=length_at(table, depth * blurred),
        luck=chains[..., 1],
        wrong=np.where(chains[..., 2] < mislead, misled[:, None], other),
        misled=misled,
        easy=easy,
        hard=hard,
        options=int(options),
        mislead=mislead,
        seed=seed,
        bend=bend,
    )


def length_at(table: measured.Table, score: np.ndarray) -> np.ndarray:
    """Tokens of a chain whose length has this normal score, in whole tokens of at least 1."""
    return np.maximum(np.rint(np.interp(ndtr(score), measured.LEVELS, table.output_tokens)), 1)
