"""The search for bad instances finds what is known to be there, and what it prints can be run again."""

from __future__ import annotations

import json

import pytest
from openqueues import attack_cli
from openqueues.models.analysis import FAMILIES, attack, mean_response
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from tiny import openqueues


def test_the_worst_of_psjf_is_found():
    """Without errors PSPJF is at worst one narrow band of sizes at load 0.766: 1.1699 (question 2.3-a)."""
    found = attack("pspjf", "pareto", within=1.0, budget=200)
    assert 1.16 < found.ratio <= 1.16995 and found.predictions == "exact" and found.sizes.startswith("pareto")
    joint = joint_law(found.sizes, found.predictions)
    means = [mean_response(joint, found.load, policy).mean_response for policy in ("pspjf", "srpt")]
    assert means[0] / means[1] == found.ratio


def test_the_same_arguments_find_the_same_instance():
    found = attack("pspjf", "three points", within=2.0, budget=60)
    assert attack("pspjf", "three points", within=2.0, budget=60) == found
    assert attack("pspjf", "three points", within=2.0, budget=60, seed=1) != found


def test_more_error_is_worse():
    little, much = (attack("sprpt", "pareto", within=r, budget=60).ratio for r in (1.1, 4.0))
    assert 1 < little < much


def test_the_command_confirms_and_can_be_replayed():
    few = ("--budget", 50, "--family", "two points", "--simulate", 20_000, "--json")
    done = openqueues("attack", "pspjf", "--within", 1.5, *few)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    worst, simulated = said["instances"][0], said["simulated"]
    assert abs(simulated["ratio"] - worst["ratio"]) < 3 * simulated["halfwidth"] < 0.1
    arguments = [part.strip("'") for part in said["replay"].split()[1:]]
    again = json.loads(openqueues(*arguments, "--json").stdout)
    assert again[0]["mean_response"] / again[1]["mean_response"] == pytest.approx(worst["ratio"], rel=1e-9)
    assert tuple(FAMILIES) == attack_cli.FAMILIES


@pytest.mark.parametrize(
    ("policy", "more", "says"),
    [
        ("sprtp", {"within": 2.0}, "sprpt"),
        ("sprpt", {}, "one bound"),
        ("sprpt", {"within": 0.5}, "at least 1"),
        ("sprpt", {"sigma": -1.0}, "above 0"),
        ("sprpt", {"within": 2.0, "most_load": 1.0}, "between"),
        ("sprpt", {"within": 2.0, "budget": 3}, "at least 50"),
        ("sprpt", {"within": 2.0, "family": "paretto"}, "pareto"),
    ],
)
def test_what_makes_no_sense_is_refused(policy, more, says):
    with pytest.raises(InputError, match=says):
        attack(policy, **{"family": "pareto"} | more)
