"""A policy is one short file; what is wrong with it is said in one sentence; its kernel is never stale."""

import os
import subprocess
import sys

import pytest
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import names, policy
from openqueues.models.queues import simulate

JOINT = joint_law("exponential", "exponential")
GOOD = """SEES = ('predicted', 'age')
SHAPE = 'falling'
def rank(predicted, age):
    return predicted - age
"""


def test_every_built_in_policy_says_what_it_does_in_one_line():
    assert len(names()) >= 14
    for name in names():
        assert policy(name).doc.count("\n") == 0 and policy(name).doc.endswith(".")


def test_a_policy_file_gives_the_numbers_of_the_same_built_in_policy(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    assert simulate(JOINT, 0.8, str(path), 1, 20_000) == simulate(JOINT, 0.8, "sprpt", 1, 20_000)


def test_a_policy_file_takes_parameters_and_may_have_functions_of_its_own(tmp_path):
    path = tmp_path / "later.py"
    path.write_text(
        "SEES = ('predicted', 'age')\nSHAPE = 'falling'\nPARAMETERS = {'weight': 1.0}\n"
        "def left(predicted, age):\n    return predicted - age\n"
        "def rank(predicted, age, weight):\n    return left(predicted, weight * age)\n"
    )
    plain = simulate(JOINT, 0.8, "sprpt", 1, 20_000)
    assert simulate(JOINT, 0.8, str(path), 1, 20_000) == plain
    assert simulate(JOINT, 0.8, f"{path}:weight=0", 1, 20_000) == simulate(JOINT, 0.8, "pspjf", 1, 20_000) != plain
    with pytest.raises(InputError, match="did you mean 'weight'"):
        policy(f"{path}:wieght=0")


def test_the_class_of_information_follows_from_what_is_seen_unless_the_file_states_it(tmp_path):
    told = {"fcfs": "blind", "sprpt": "predictions", "onebit": "one bit", "srpt": "oracle", "gittins": "distributions"}
    assert {name: policy(name).information for name in told} == told
    path = tmp_path / "routing.py"
    path.write_text(
        "SEES = ('queue',)\nSHAPE = 'decision'\nINFORMATION = 'predictions'\ndef decide(queue):\n    return queue\n"
    )
    assert policy(str(path)).information == "predictions"
    with pytest.raises(InputError, match="has no rank"):
        simulate(JOINT, 0.8, str(path), 1, 100)


BAD = {
    GOOD.replace("'falling'", "'table'"): "names its kind",
    GOOD + "INFORMATION = 'prediction'\n": "did you mean 'predictions'",
    "SEES = ('predicted',)\nSHAPE = 'falling'\n": "no function rank",
    "SHAPE = 'falling'\ndef rank(age):\n    return age\n": "SEES",
    GOOD.replace("'predicted', 'age'", "'predicted', 'agee'"): "did you mean 'age'",
    GOOD.replace("'falling'", "'rising'"): "SHAPE must be one of",
    GOOD.replace("'falling'", "'general'"): "no function turn",
    GOOD.replace("SEES = ('predicted', 'age')", "SEES = ('predicted',)"): "neither in SEES nor in PARAMETERS",
    GOOD + "import os\n": "may import only math",
    GOOD + "TIES = 'random'\n": "TIES must be",
    GOOD + "PARAMETERS = ['c']\n": "PARAMETERS must be a table",
    GOOD + "PARAMETERS = {'size': 1.0}\n": "not a free name",
    GOOD.replace("predicted - age", "predicted -"): "not valid Python at line 4",
    GOOD.replace("predicted - age", "'low'"): "must return a number",
    GOOD.replace("predicted - age", "None"): "must return a number",
    GOOD.replace("predicted - age", "predicted > age"): "must return a number",
    GOOD.replace("predicted - age", "float('nan')"): "must return a number",
    GOOD.replace("predicted - age", "1 / 0"): "raised ZeroDivisionError",
}


@pytest.mark.parametrize("source", BAD)
def test_a_bad_policy_file_is_refused_with_one_sentence(source, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(InputError, match=BAD[source]) as caught:
        simulate(JOINT, 0.8, str(path), 1, 1000)
    assert "\n" not in str(caught.value)


def test_a_policy_gets_only_the_parameters_that_it_declares():
    with pytest.raises(InputError, match="did you mean 'threshold'"):
        policy("onebit:treshold=2")
    with pytest.raises(InputError, match="takes no parameters"):
        policy("sprpt:c=1")
    with pytest.raises(InputError, match="did you mean 'sprpt'"):
        policy("sprtp")


RUN = """
import sys
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.queues import Server
import numpy as np
server = Server(policy(sys.argv[1]))
rng = np.random.default_rng(1)
done = server.serve(*(rng.standard_exponential(2000) for _ in range(3)))
serve = sys.modules[[name for name in sys.modules if name.startswith("openqueues_kernel_")][0]].serve
print(done[:, 0].sum(), sum(serve.stats.cache_hits.values()))
"""


def run_in_a_fresh_process(path, cache):
    environment = {**os.environ, "OPENQUEUES_CACHE": str(cache)}
    output = subprocess.run(
        [sys.executable, "-c", RUN, str(path)], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    return float(output[0]), int(output[1])


def test_an_edited_policy_is_compiled_again_and_an_unchanged_one_is_read_from_the_cache(tmp_path):
    path, cache = tmp_path / "mine.py", tmp_path / "cache"
    path.write_text(GOOD)
    first, hits = run_in_a_fresh_process(path, cache)
    assert hits == 0
    files = sorted(file.name for file in cache.rglob("*") if file.is_file())
    assert run_in_a_fresh_process(path, cache) == (first, 1)
    assert sorted(file.name for file in cache.rglob("*") if file.is_file()) == files
    path.write_text(GOOD.replace("predicted - age", "predicted"))
    edited, hits = run_in_a_fresh_process(path, cache)
    assert hits == 0 and edited != first
    assert edited == run_in_a_fresh_process(path, tmp_path / "empty")[0]
