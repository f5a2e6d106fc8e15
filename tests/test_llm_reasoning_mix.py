"""Programs of several kinds side by side are those that they were taken from."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm.questions import questions
from openqueues.models.llm.reasoning import majority, search, tree
from openqueues.models.llm.reasoning_mix import mixed

KIND = np.array([2, 0, 1, 1, 0, 2])
ARRIVAL = np.array([0.0, 0.5, 0.5, 2.0, 3.0, 7.0])


def ways(kind=KIND):
    asked = questions(6, 1, most=4)
    return [
        majority(asked.take(kind == 0), "closed", 3, 1),
        tree(asked.take(kind == 1), "closed", 1, width=3, rounds=2),
        search(asked.take(kind == 2), "closed", 1, simulations=4, at_once=2),
    ]


def waits(programs, i):
    return programs.after[programs.after_start[i] : programs.after_start[i + 1]]


def blocks(requests, i):
    return requests.prefix_blocks[requests.prefix_start[i] : requests.prefix_start[i + 1]]


def test_each_program_is_the_next_of_its_kind_and_comes_at_its_time():
    given = ways()
    whole = mixed(given, KIND, ARRIVAL)
    programs, right = whole.programs, whole.right()
    assert np.array_equal(programs.arrival_s, ARRIVAL)
    for p, k in enumerate(KIND):
        place = np.count_nonzero(KIND[:p] == k)
        own, begin, there = given[k].programs, programs.begins[p], given[k].programs.begins[place]
        size = programs.begins[p + 1] - begin
        assert size == own.begins[place + 1] - there
        assert right[p] == given[k].right()[place]
        here, theirs = slice(begin, begin + size), slice(there, there + size)
        assert np.array_equal(whole.answer[here], given[k].answer[theirs])
        for name in ("need", "model", "values", "new_tokens"):
            assert np.array_equal(getattr(programs, name)[here], getattr(own, name)[theirs])
        for name in ("input_tokens", "output_tokens", "predicted_output_tokens"):
            assert np.array_equal(getattr(programs.requests, name)[here], getattr(own.requests, name)[theirs])
        for i in range(size):
            assert np.array_equal(waits(programs, begin + i) - begin, waits(own, there + i) - there)
            a, b = blocks(programs.requests, begin + i), blocks(own.requests, there + i)
            assert a.size == b.size and len(set((a - b).tolist())) <= 1


def test_a_question_keeps_its_own_when_some_are_taken():
    asked = questions(6, 1, most=4)
    some = asked.take(KIND == 1)
    assert len(some) == 2 and np.array_equal(some.tokens, asked.tokens[[2, 3]])
    assert np.array_equal(some.success, asked.success[[2, 3]]) and some.seed == asked.seed


def test_programs_of_different_kinds_share_no_blocks():
    kind = np.array([0, 1, 2, 0, 1, 2])
    whole = mixed(ways(kind), kind, ARRIVAL).programs
    of = [set(), set(), set()]
    for i, p in enumerate(whole.program):
        of[p % 3] |= set(blocks(whole.requests, i).tolist())
    assert not (of[0] & of[1] or of[0] & of[2] or of[1] & of[2])


def test_kinds_and_ways_that_do_not_fit_are_refused():
    for wrong in (np.array([0, 1, 2, 3, 0, 0]), np.array([0, 0, 0, 1, 1, 2]), KIND[:5], KIND.astype(float)):
        with pytest.raises(InputError, match=r"from 0 to 2 as programs: \[2, 2, 2\]"):
            mixed(ways(), wrong, ARRIVAL[: len(wrong)])
    with pytest.raises(InputError, match="arrival_s must be 6 times"):
        mixed(ways(), KIND, ARRIVAL[:5])
