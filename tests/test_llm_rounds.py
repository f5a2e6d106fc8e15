"""Policies that plan iterations: equal to the engine of ranks and to the slow engine, their rules kept."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_cases import hardware, setting, trace
from openqueues.models.errors import InputError
from openqueues.models.llm import policies
from openqueues.models.llm.cluster import Cluster, Instance, serve_cluster
from openqueues.models.llm.engine import serve
from openqueues.models.llm.rounds import draws
from rounds_cases import FUZZ, ORCA, SARATHI, STEP, SWAPS, VLLM, served_ms, some
from slow_rounds import Broken, SlowRounds

EXACT = ("iterations", "preemptions", "recomputed_tokens", "swapped_tokens", "peak_kv_tokens")
CLOSE = ("mean_kv_tokens", "mean_batch", "makespan_s", "busy_s")
MECHANISMS = {"vllm": (VLLM, "chunk"), "sarathi": (SARATHI, "chunk"), "orca": (ORCA, "longest")}
# Those of the folder, with parameters that matter on short traces.
PLANNED = (
    "amax",
    "amin:chunk=30",
    "dai:chunk=7",
    "dai:chunk=12,prefill_first=1",
    "dynamicbatch:tbt_s=0.008,first_guess=10,chunk=50",
    "fastserve-swap:base_ms=12,starve_s=0.1,every=5,ahead=0.2",
    "lightllm:longest=12,chunk=50",
    "multibin:batch=2,most_wait_s=0.1,first=3,second=8,third=15,fourth=25",
    "nestedwait:limit=20,most_wait_s=0.05,first=2,second=4,third=8,fourth=16",
    "rad:tile=3",
    "s3:bucket=4",
    "slai:tbt_s=0.03,loose_s=0.1,chunk=9,offset=1,full_offset=2",
    "slai:tbt_s=0.03,loose_s=0.1,chunk=9,offset=1,full_offset=2,shortest=0",
    "wait:limit=12,most_wait_s=0.05,first=3,second=8,third=15,fourth=25",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("rounds")
    for name, text in (("vllm", VLLM), ("sarathi", SARATHI), ("orca", ORCA), ("fuzz", FUZZ)):
        (place / f"{name}.py").write_text(text)
    return place


def intervals(rng, requests):
    """The requests with predicted intervals that hold the truth."""
    low = np.maximum(1, np.floor(requests.output_tokens * rng.uniform(0.3, 1, len(requests))))
    high = np.ceil(requests.output_tokens * rng.uniform(1, 3, len(requests)))
    return replace(requests, predicted_low_tokens=low, predicted_high_tokens=high)


def fit_watermark(arguments, requests):
    """No watermark where the longest request would not fit beside it."""
    block, total = arguments["block_tokens"], arguments["kv_tokens"] // arguments["block_tokens"]
    need = int(np.max(-(-(requests.input_tokens + requests.output_tokens) // block)))
    if need + int(arguments["watermark"] * total) > total:
        arguments["watermark"] = 0.0


def same(fast, slow, story):
    for key in EXACT:
        assert getattr(fast, key) == getattr(slow, key), f"{story}: {key}"
    assert np.array_equal(fast.preemptions_of, slow.preemptions_of), story
    for key in (*CLOSE, "first_token_s", "finish_s"):
        assert np.allclose(getattr(fast, key), getattr(slow, key), rtol=1e-9, atol=0), f"{story}: {key}"


def against_ranks(seed, folder):
    """A mechanism of the engine of ranks and the same one planned, on a random trace; returns its preemptions."""
    rng = np.random.default_rng(seed)
    requests, law = trace(rng), hardware(rng)
    _, arguments = setting(rng, requests)
    mechanism = str(rng.choice(list(MECHANISMS)))
    fit_watermark(arguments, requests)
    value = int(requests.output_tokens.max())
    if mechanism != "orca":
        value = arguments["token_budget"] or {"vllm": 4096, "sarathi": 512}[mechanism]
    ranked = serve(requests, law, mechanism, **(arguments | {"token_budget": None if mechanism == "orca" else value}))
    spec = f"{folder / mechanism}.py:{MECHANISMS[mechanism][1]}={value}"
    planned = serve(requests, law, spec, **(arguments | {"token_budget": None}))
    same(planned, ranked, f"seed {seed}: {mechanism} {arguments}")
    return ranked.preemptions


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**40))
def test_plans_of_vllm_sarathi_and_orca_equal_the_engine_of_ranks(folder, seed):
    against_ranks(seed, folder)


def compare(seed, folder, name=""):
    """One random trace, law and policy, unless one is named, in both engines; returns what came out or is refused."""
    rng = np.random.default_rng(seed)
    requests, law = intervals(rng, trace(rng)), hardware(rng)
    _, arguments = setting(rng, requests)
    fit_watermark(arguments, requests)
    spec = name or str(rng.choice([*PLANNED, *(str(folder / f"{one}.py") for one in (*MECHANISMS, "fuzz"))]))
    if spec.endswith("fuzz.py"):
        wild = rng.choice([0, 0, 0.002, 0.1])
        spec += f":start={rng.integers(1, 10**6)},wild={wild},swap={int(law.swap_bytes_per_s > 0)}"
    read = policies.policy(spec)
    story = f"seed {seed}: {spec} {arguments}"
    slow = SlowRounds(requests, law, read.source, read.sees, read.parameters.values(), **arguments)
    try:
        slow.serve()
    except Broken as rule:
        with pytest.raises(InputError) as error:
            serve(requests, law, spec, **arguments)
        assert str(rule) in str(error.value) and f"policy '{read.name}'" in str(error.value), story
        return str(rule).split(" request")[0]
    fast = serve(requests, law, spec, **arguments)
    same(fast, slow, story)
    check_whole(requests, law, fast, arguments)
    return fast


def check_whole(requests, law, served, arguments):
    """Nothing is lost, made twice, or done before its time."""
    assert served.output_tokens == requests.output_tokens.sum()
    assert np.all(served.first_token_s > requests.arrival_s) and not np.isnan(served.finish_s).any()
    # No step is shorter than one with a token of a prompt alone, or of 1 to 100 requests alone.
    shortest = min(law.step_ms(1, 1, 0, 0), *(law.step_ms(0, 0, b, b) for b in range(1, 101))) / 1000.0
    assert np.all(served.finish_s >= served.first_token_s + (requests.output_tokens - 1) * shortest - 1e-9)
    assert served.preemptions == served.preemptions_of.sum()
    if arguments["kv_tokens"]:
        assert served.peak_kv_tokens <= arguments["kv_tokens"]
    assert 0 < served.mean_kv_tokens <= served.peak_kv_tokens * (1 + 1e-12)
    assert served.busy_s <= served.makespan_s + 1e-9


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**40))
def test_the_kernel_equals_the_slow_engine_and_refuses_the_same_plans(folder, seed):
    compare(seed, folder)


@pytest.mark.parametrize("name", PLANNED)
def test_each_policy_plans_what_may_be_done(folder, name):
    assert not any(isinstance(compare(seed, folder, name), str) for seed in range(8))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANNED)
def test_each_policy_on_hundreds_of_traces(folder, name):
    found = [compare(seed, folder, name) for seed in range(500)]
    assert not any(isinstance(one, str) for one in found)
    assert sum(one.preemptions for one in found) > 0


@pytest.mark.slow
def test_both_on_thousands_of_traces(folder):
    preemptions = sum(against_ranks(seed, folder) for seed in range(3000))
    assert preemptions > 1000
    for seed in range(4000):
        compare(seed, folder)


@pytest.mark.slow
def test_wild_plans_break_every_rule(folder):
    found = [compare(seed, folder, str(folder / "fuzz.py")) for seed in range(1000)]
    rules = {re.sub(r"-?\d+", "n", one) for one in found if isinstance(one, str)}
    assert len(rules) >= 10, rules
    assert sum(not isinstance(one, str) for one in found) > 400


def written(folder, body, sees, parameters="{}"):
    """A policy file of this body of decide, in a folder of its own, since files are read once."""
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    arguments = "".join(f", {one}" for one in ast.literal_eval(parameters))
    (place / "mine.py").write_text(
        f'"""A test."""\n\nimport math\n\nSEES = {sees}\nSHAPE = "rounds"\nPARAMETERS = {parameters}\n\n'
        f"\ndef decide(view, plan{arguments}):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    )
    return str(place / "mine.py")


RULES = {
    "an index beyond": ("plan[plan.size] = 1", "raises an error in decide"),
    "no number": ("return math.nan", "returns a time from decide that is not a number"),
    "an unknown code": ("plan[1] = -4", "plans -4 for request 1"),
    "nothing to evict": ("plan[1] = -1", "evicts request 1, which holds nothing"),
    "nothing to move": ("plan[0] = -2", "swaps out request 0, which holds nothing"),
    "nothing to bring": ("plan[0] = -3", "swaps in request 0, which has nothing on the host"),
    "too many of a prompt": ("plan[0] = 11", "plans 11 tokens of request 0, which lacks 10"),
    "two tokens at once": (
        "plan[0] = 10 if view.decoding[0] == 0.0 else 2",
        "plans 2 tokens of request 0, which lacks 1 until it makes its next one",
    ),
    "too many requests": (
        "for k in range(plan.size):\n    plan[k] = 1",
        "plans 3 requests in an iteration, of which 2 is one too many: max_batch is 2",
    ),
    "too many tokens": ("plan[0] = 9\nplan[1] = 8", "plans 17 tokens in an iteration, of which those of request 1"),
    "memory": ("plan[0] = 9\nplan[1] = 5", "needs 5 blocks of memory for its plan, and those of request 1 are not"),
    "still": ("return math.inf", "plans nothing for the 3 requests present, none is to come"),
    "at once": ("return view.now", "plans nothing for the 3 requests present and asks to be asked again at once"),
    "only time": ("return view.now + 1e-9", "only asks for time, 1000000 times in a row"),
    "without end": ("plan[0] = -1 if view.held[0] > 0.0 else 10", "preempts without end"),
}


def all_rules(folder):
    """One policy, compiled once, that breaks the rule of its parameter."""
    lines = []
    for number, (body, _) in enumerate(RULES.values()):
        lines += [f"if rule == {number}:", *(f"    {line}" for line in body.splitlines())]
    return written(folder, "\n".join([*lines, "return view.now"]), "('todo', 'held', 'decoding')", "{'rule': 0}")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", RULES)
def test_a_plan_that_breaks_a_rule_is_refused_by_its_name(case, tmp_path):
    limits = {"kv_tokens": 16, "max_batch": 2, "block_tokens": 4, "token_budget": 16, "watermark": 0}
    mine = f"{all_rules(tmp_path)}:rule={list(RULES).index(case)}"
    with pytest.raises(InputError) as error:
        serve(some([0, 0, 0], [10, 8, 3], [5, 2, 1]), SWAPS, mine, **limits)
    assert f"policy 'mine' {RULES[case][1]}" in str(error.value)


def test_a_column_that_is_not_in_sees_is_not_there(tmp_path):
    with pytest.raises(InputError, match="policy 'mine' cannot be compiled"):
        serve(some([0], [1], [1]), STEP, written(tmp_path, "plan[0] = int(view.left[0])\nreturn 0.0", "('todo',)"))


def test_the_example_of_the_book_is_served(tmp_path):
    """Two can run at once; the third starts in the iteration after the second has ended."""
    text = (Path(__file__).parents[1] / "book" / "contributing.md").read_text()
    (tmp_path / "mine.py").write_text(text.split("```python\n")[1].split("```")[0])
    requests = some([0] * 3, [5] * 3, [4, 2, 2])
    assert served_ms(requests, f"{tmp_path / 'mine.py'}:few=2") == ([1, 2, 4], [4, 3, 5])


def test_draws_belong_to_the_seed_and_the_request():
    assert np.array_equal(draws(9, 3)[:5], draws(5, 3)) and not np.array_equal(draws(5, 3), draws(5, 4))


@pytest.mark.slow
def test_more_requests_end_than_are_remembered():
    """1000 lengths are kept of 1300."""
    rng = np.random.default_rng(4)
    requests = some(np.arange(1300.0), np.full(1300, 3), rng.integers(1, 5, 1300))
    limits = {"kv_tokens": 40, "max_batch": 8, "token_budget": None, "block_tokens": 4, "watermark": 0}
    for name in ("lightllm:longest=4", "dynamicbatch:first_guess=2,tbt_s=0.01"):
        read = policies.policy(name)
        slow = SlowRounds(requests, STEP, read.source, read.sees, read.parameters.values(), **limits).serve()
        same(serve(requests, STEP, name, **limits), slow, name)


def test_a_cluster_takes_no_plans():
    cluster = Cluster([Instance("decode_step_ms=1", count=2)])
    with pytest.raises(InputError, match="policy 'rad' plans whole iterations"):
        serve_cluster(some([0], [1], [1]), cluster, "rad")


BAD_FILES = {
    "arguments": ("def decide(plan):\n    return 0.0\n", "begin with view and plan"),
    "no decide": ("def rank(arrival):\n    return arrival\n", "no function decide"),
    "parameter": ("def decide(view, plan, c):\n    return c\n", "decide takes 'c', which is neither"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_breaks_the_contract_is_refused(case, tmp_path):
    text, message = BAD_FILES[case]
    (tmp_path / "mine.py").write_text(f'SEES = ("arrival",)\nSHAPE = "rounds"\n\n{text}')
    with pytest.raises(InputError) as error:
        serve(some([0], [1], [1]), STEP, str(tmp_path / "mine.py"))
    assert message in str(error.value)


def test_what_a_policy_cannot_have_is_refused(tmp_path):
    requests = some([0], [5], [2])
    body = "plan[0] = -2 if view.{}[0] > 0.0 else 5\nreturn 0.0"
    mine = written(tmp_path, body.format("generated"), "('generated',)")
    with pytest.raises(InputError, match="hardware 'step' has no kv_bytes_per_token"):
        serve(requests, STEP, mine)
    with pytest.raises(InputError, match="unknown parameter of policy 'rad' 'memory'"):
        serve(requests, STEP, "rad:memory=swap")
    for sees, message in (("predicted", "looks at predictions"), ("predicted_low", "looks at predicted intervals")):
        with pytest.raises(InputError, match=message):
            serve(
                some([0], [5], [2], predicted_output_tokens=None),
                STEP,
                written(tmp_path, body.format(sees), f"('{sees}',)"),
            )


def test_moves_that_an_iteration_waits_for_are_added_and_others_go_on_beside_it(tmp_path):
    """Two requests of 4 tokens, half a ms to move each token. The first is moved out when it has made 2 tokens."""
    aside = """\
plan[0] = int(view.todo[0])
if plan.size > 1:
    plan[1] = int(view.todo[1])
    if view.generated[0] == 2.0 and view.host[0] == 0.0 and view.generated[1] < 3.0:
        plan[0] = -2
    elif view.host[0] > 0.0:
        plan[0] = int(back) if view.generated[1] == 2.0 else 0
return 0.0
"""
    requests = some([0, 1], [4, 4], [4, 3])
    mine = written(tmp_path, aside, "('todo', 'host', 'generated')", "{'back': -3}")
    # 0-1: first prompt. 1-2: it decodes, second prompt. 2-4.5: 5 tokens move out beside a decoding step of the second.
    # There is room for all. Then 5 tokens move back: beside its last step, or before the step of the first.
    for back, ends in ((-3, [9, 7]), (1, [9, 8])):
        assert served_ms(requests, f"{mine}:back={back}", SWAPS, block_tokens=1)[1] == ends, back
    # Where memory is for 10 tokens, the step that takes the second to 5 does not wait for room; for 9 tokens it does.
    for kv_tokens, end in ((10, 5.5), (9, 6.5)):
        assert served_ms(requests, f"{mine}:back=0", SWAPS, block_tokens=1, kv_tokens=kv_tokens)[1][1] == end
    assert serve(requests, SWAPS, mine, block_tokens=1).swapped_tokens == 5


def test_a_policy_can_wait_for_a_time_and_remember(tmp_path):
    """It starts nobody before 3 ms, and then takes one request a ms by a note of its own."""
    body = """\
if view.now < 0.003:
    return 0.003
view.memory[0] += 1.0
for k in range(plan.size):
    view.note2[k] += 1.0
    plan[k] = 1 if view.memory[0] == 1.0 + view.request[k] else 0
return math.inf if view.note2[0] > 2.0 else view.now + 0.5
"""
    mine = written(tmp_path, body, "('note2', 'request')")
    assert served_ms(some([0, 1], [1, 1], [1, 1]), mine) == ([4, 5], [4, 5])


@pytest.mark.parametrize("name", PLANNED)
def test_nobody_sees_what_is_hidden(name):
    """Until the first request ends, longer answers change nothing; what is not in SEES changes nothing at all."""
    rng = np.random.default_rng(8)
    read = policies.policy(name)
    assert set(read.sees) <= read.used
    assert not {"output_tokens", "left"} & set(read.sees) or read.information == "oracle"
    for _ in range(5):
        requests, law = intervals(rng, trace(rng)), replace(hardware(rng), max_batch=4)
        limits = {"kv_tokens": 400, "max_batch": 4, "token_budget": None, "block_tokens": 4, "watermark": 0}
        longer = requests.output_tokens + rng.integers(0, 9, len(requests))
        stories = []
        for one in (requests, replace(requests, output_tokens=longer)):
            slow = SlowRounds(one, law, read.source, read.sees, read.parameters.values(), **limits).serve()
            stories.append((slow.story, min(slow.finish_s) * 1000.0))
        until = min(end for _, end in stories)
        before = [[entry for entry in story if entry[0] < until] for story, _ in stories]
        assert before[0] == before[1] and before[0]
        hidden = {"kind": 1 - requests.kind, "price": requests.price + 1, "deadline": requests.deadline_s / 2}
        names = {"kind": "kind", "price": "price", "deadline": "deadline_s"}
        changed = {names[key]: value for key, value in hidden.items() if key not in read.sees}
        ends = [serve(one, law, name, **limits).finish_s for one in (requests, replace(requests, **changed))]
        assert np.array_equal(*ends)
