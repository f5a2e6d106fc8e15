"""The unit-time server against its slow twin, the conventions of the literature, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import slow_unit_time
from openqueues.models import policies
from openqueues.models.errors import InputError
from openqueues.models.llm.unit_time import flow_control, serve_slots

FOLDER = Path(__file__).parents[1] / "problems" / "memory-constrained-scheduling" / "policies"
SETTINGS = [
    ("mc-sf", ""),
    ("mc-sf", ":skip=true"),
    ("mc-benchmark", ""),
    ("svf", ""),
    ("a-max", ""),
    ("a-min", ""),
    ("a-min", ":skip=true"),
    ("newest-out", ""),
    ("newest-out", ":alpha=0.2,skip=true"),
    ("alpha-greedy", ":alpha=0.3"),
    ("alpha-greedy", ":alpha=0"),
]


def path(name):
    stem, colon, rest = name.partition(":")
    return f"{FOLDER / stem}.py{colon}{rest}"


def instance(rng):
    """(arrival, prompt, output, lower, upper, memory), small numbers so that ties and overflows are common."""
    n, memory = int(rng.integers(1, 14)), int(rng.integers(8, 30))
    arrival = np.sort(rng.integers(0, rng.choice([1, 12, 60]), n))
    prompt = rng.integers(0, min(6, memory - 1), n)
    output = rng.integers(1, memory - prompt + 1)
    lower = np.maximum(output - rng.integers(0, 9, n), 1)
    upper = np.minimum(output + rng.integers(0, 9, n), memory - prompt)
    return arrival, prompt, output, lower, upper, memory


@pytest.mark.parametrize("name, change", SETTINGS)
def test_the_kernel_equals_the_slow_server(name, change):
    rng = np.random.default_rng(len(name + change))
    restarts = 0
    for _ in range(25 if name == "alpha-greedy" else 150):
        arrival, prompt, output, lower, upper, memory = instance(rng)
        predicted = rng.choice([output, upper])
        chosen = policies.policy(path(name + change))
        served = serve_slots(arrival, prompt, output, predicted, memory, chosen, lower=lower, upper=upper)
        estimate = {"predicted": predicted, "lower": lower, "upper": upper, "next": np.ones_like(output)}
        volume = prompt * predicted + predicted * (predicted + 1) / 2
        rank = {"mc-sf": predicted, "svf": volume, "a-max": upper, "a-min": lower}.get(name, arrival)
        limit = arrival[-1] + 20 * output.sum()
        start, finish, again, peak = slow_unit_time.serve(
            *(values.tolist() for values in (arrival, prompt, output, estimate[chosen.parameters["estimate"]], rank)),
            memory,
            chosen.parameters["rule"],
            chosen.parameters["skip"],
            chosen.parameters.get("alpha", 0.0),
            slots=limit + 1,
        )
        assert served.finish.tolist() == finish
        assert served.start.tolist() == start
        assert served.restarts.tolist() == again
        assert served.peak == peak <= memory
        restarts += sum(again)
        if chosen.parameters["rule"] != "clear":
            assert served.completed.all()
    assert (restarts > 0) == (name in ("a-min", "newest-out", "alpha-greedy"))


def test_a_request_alone_and_the_memory_of_its_start():
    served = serve_slots([3], [4], [6], [6], 10, path("mc-sf"))
    assert (served.start[0], served.finish[0], served.peak) == (3, 9, 10)
    # Two of peak 3 each fit into 6, since neither holds its prompt at its start.
    served = serve_slots([0, 0], [2, 2], [1, 1], [1, 1], 6, path("mc-sf"))
    assert served.finish.tolist() == [1, 1]
    served = serve_slots([0, 0], [2, 2], [1, 1], [1, 1], 5, path("mc-sf"))
    assert served.finish.tolist() == [1, 2]


def test_exact_predictions_make_a_max_and_mc_sf_one():
    rng = np.random.default_rng(5)
    for _ in range(50):
        arrival, prompt, output, _, _, memory = instance(rng)
        common = (arrival, prompt, output, output, memory)
        one = serve_slots(*common, path("mc-sf"))
        other = serve_slots(*common, path("a-max"), upper=output)
        assert one.start.tolist() == other.start.tolist()


def test_greedy_admission_may_go_round_for_ever():
    served = serve_slots([0, 0], [1, 1], [9, 9], None, 12, path("alpha-greedy:alpha=0"))
    assert not served.completed.any() and served.restarts.min() > 10
    served = serve_slots([0, 0], [1, 1], [9, 9], None, 12, path("alpha-greedy:alpha=0.9"))
    assert served.finish.tolist() == [9, 18]


def test_flow_control_of_dong_and_cao():
    prompts, outputs, budgets = [10, 10, 10], [20, 40, 60], [4, 4, 4]
    queues, held = flow_control(np.full((200, 3), 5), prompts, outputs, budgets)
    assert np.array_equal(queues, np.arange(1, 201)[:, None] * np.ones(3))
    assert held.max() == 16240 == 4 * (410 + 1220 + 2430)
    queues, held = flow_control(np.full((200, 3), 3), prompts, outputs, budgets)
    assert not queues.any() and held[-1] == 3 * 4060


@pytest.mark.parametrize(
    "change, said",
    [
        ({"memory": 9}, "can never fit"),
        ({"arrival": [2, 1]}, "ascend"),
        ({"output": [0, 1]}, "at least 1"),
        ({"output": [1.5, 1]}, "whole"),
        ({"predicted": [5, 2]}, "estimated at 5 of its 6"),
        ({"predicted": None}, "not given"),
        ({"predicted": [np.nan, 2]}, "finite"),
        ({"policy": path("alpha-greedy:alpha=1")}, "from 0 to below 1"),
        ({"policy": path("mc-sf:rule=look-ahed")}, "did you mean 'look-ahead'"),
        ({"policy": path("mc-sf:estimate=next")}, "look-ahead needs"),
        ({"policy": path("mc-sf:skip=2")}, "true or false"),
        ({"policy": path("mc-sf:estimate=upper")}, "not in its SEES"),
        ({"policy": "srpt"}, "SHAPE"),
    ],
)
def test_bad_input_is_refused(change, said):
    good = {"arrival": [0, 1], "prompt": [4, 1], "output": [6, 1], "predicted": [6, 1], "memory": 10}
    with pytest.raises(InputError, match=said):
        serve_slots(**(good | {"policy": path("mc-sf")} | change))
