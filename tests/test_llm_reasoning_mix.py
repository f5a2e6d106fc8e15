"""Programs of several kinds side by side are those that they were taken from."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm.questions import questions
from openqueues.models.llm.reasoning import majority, search, tree
from openqueues.models.llm.reasoning_mix import mixed


def ways():
    asked = questions(6, 1, most=4)
    when = "poisson:rate=1"
    return [
        majority(asked, when, 3, 1),
        tree(asked, when, 1, width=3, rounds=2),
        search(asked, when, 1, simulations=4, at_once=2),
    ]


def waits(programs, i):
    return programs.after[programs.after_start[i] : programs.after_start[i + 1]]


def blocks(requests, i):
    return requests.prefix_blocks[requests.prefix_start[i] : requests.prefix_start[i + 1]]


def test_each_program_is_that_of_its_kind():
    given, kind = ways(), np.array([2, 0, 1, 1, 0, 2])
    whole = mixed(given, kind)
    programs, right = whole.programs, whole.right()
    for p, k in enumerate(kind):
        own, begin, there = given[k].programs, programs.begins[p], given[k].programs.begins[p]
        size = programs.begins[p + 1] - begin
        assert size == own.begins[p + 1] - there
        assert right[p] == given[k].right()[p]
        here, theirs = slice(begin, begin + size), slice(there, there + size)
        assert np.array_equal(whole.answer[here], given[k].answer[theirs])
        for name in ("need", "model", "values", "new_tokens"):
            assert np.array_equal(getattr(programs, name)[here], getattr(own, name)[theirs])
        for name in ("arrival_s", "input_tokens", "output_tokens", "predicted_output_tokens"):
            assert np.array_equal(getattr(programs.requests, name)[here], getattr(own.requests, name)[theirs])
        for i in range(size):
            assert np.array_equal(waits(programs, begin + i) - begin, waits(own, there + i) - there)
            a, b = blocks(programs.requests, begin + i), blocks(own.requests, there + i)
            assert a.size == b.size and len(set((a - b).tolist())) <= 1


def test_programs_of_different_kinds_share_no_blocks():
    whole = mixed(ways(), np.array([0, 1, 2, 0, 1, 2])).programs
    of = [set(), set(), set()]
    for i, p in enumerate(whole.program):
        of[p % 3] |= set(blocks(whole.requests, i).tolist())
    assert not (of[0] & of[1] or of[0] & of[2] or of[1] & of[2])


def test_kinds_and_ways_that_do_not_fit_are_refused():
    given = ways()
    with pytest.raises(InputError, match="whole numbers from 0 to 2"):
        mixed(given, np.array([0, 1, 2, 3, 0, 0]))
    with pytest.raises(InputError, match="the same programs at the same times"):
        mixed([given[0], majority(questions(5, 1), "poisson:rate=1", 3, 1)], np.zeros(6, int))
