"""Programs on the LLM engine: the kernel against the slow twin, closed forms, policies by hand, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openqueues.models.errors import InputError
from openqueues.models.llm import calls, serve
from openqueues.models.llm.cluster import Cluster, Instance, serve_cluster
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.program_metrics import program_finish, program_summary
from openqueues.models.llm.programs import Programs, alone, fair_finish
from openqueues.models.llm.questions import questions
from openqueues.models.llm.reasoning import majority
from openqueues.models.llm.requests import Requests
from openqueues.models.llm.workflows import workflow
from program_cases import OWN, compare

STEP = Hardware(name="step", compute_step_ms=1.0)
# A prompt token and a decoding step take 1 ms, a token is moved in 0.5 ms.
COSTLY = Hardware(
    name="costly", prefill_token_ms=1.0, decode_step_ms=1.0, kv_bytes_per_token=1000.0, swap_bytes_per_s=2e6
)


def one(law=STEP, **limits):
    return Cluster([Instance(law, **limits)])


def chained(stages, arrival_ms=0.0, guesses=None, **more) -> dict:
    """The arguments of one program: (input, output, delay in ms) of stages that each continue the one before."""
    inputs, outputs, delays = (np.array(column) for column in zip(*stages, strict=True))
    n = len(stages)
    guesses = outputs if guesses is None else guesses
    arrival = np.full(n, arrival_ms / 1000.0)
    return {
        "requests": Requests(arrival, inputs, outputs, predicted_output_tokens=np.array(guesses, float)),
        "after_start": [0, *range(n)],
        "after": list(range(n - 1)),
        "program": [0] * n,
        "continues": list(range(-1, n - 1)),
        "delay_s": delays / 1000.0,
        "predicted_delay_s": delays / 1000.0,
    } | more


def together(*programs: dict) -> Programs:
    """Several programs, in order of arrival, as one."""
    sizes = np.cumsum([0, *(len(one["requests"]) for one in programs)])
    requests = [one["requests"] for one in programs]
    joined = {
        name: np.concatenate([getattr(one, name) for one in requests])
        for name in ("arrival_s", "input_tokens", "output_tokens", "predicted_output_tokens")
    }
    columns = {
        name: np.concatenate([np.asarray(one[name]) for one in programs]) for name in ("delay_s", "predicted_delay_s")
    }
    before = [np.asarray(one["continues"]) for one in programs]
    shifted = [np.where(own >= 0, own + at, -1) for own, at in zip(before, sizes, strict=False)]
    return Programs(
        Requests(**joined),
        program=np.repeat(np.arange(len(programs)), np.diff(sizes)),
        after_start=np.concatenate([[0], *(np.diff(one["after_start"]) for one in programs)]).cumsum(),
        after=np.concatenate([np.asarray(one["after"], int) + at for one, at in zip(programs, sizes, strict=False)]),
        continues=np.concatenate(shifted),
        **columns,
    )


def ends_ms(programs, policy, law=STEP, **limits):
    return (serve_cluster(programs, one(law, **limits), policy).finish_s * 1000.0).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Policies with handle as a contributor might write them."""
    path = tmp_path_factory.mktemp("policies")
    for name, text in OWN.items():
        (path / f"{name}.py").write_text(text)
    return path


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_programs_equal_their_slow_twin(seed, folder):
    compare(seed, folder)


@pytest.mark.slow
def test_programs_equal_their_slow_twin_often(folder):
    happened = [compare(seed, folder) for seed in range(1500)]
    for what in ("cancelled", "preemptions", "swapped"):
        assert sum(one.get(what, 0) for one in happened) > 100


def test_calls_without_time_and_tokens_are_one_request():
    """Preserved contexts, no delay and nothing returned: the plain engine on the joined requests."""
    rng = np.random.default_rng(7)
    law = Hardware(name="law", prefill_token_ms=0.3, prefill_step_ms=2.0, decode_step_ms=5.0, kv_token_ms=0.01)
    count, pieces = 40, 4
    arrival, prompt = np.sort(rng.uniform(0, 3, count)), rng.integers(1, 90, count)
    outputs = rng.integers(1, 20, (count, pieces))
    inputs = prompt[:, None] + np.cumsum(outputs, axis=1) - outputs
    which = np.arange(count * pieces)
    first = which % pieces == 0
    programs = Programs(
        Requests(np.repeat(arrival, pieces), inputs.ravel(), outputs.ravel()),
        program=which // pieces,
        after_start=np.concatenate([[0], np.cumsum(~first)]),
        after=which[~first] - 1,
        continues=np.where(first, -1, which - 1),
    )
    joined = Requests(arrival, prompt, outputs.sum(axis=1))
    for mechanism in ("vllm", "sarathi"):
        limits = {"kv_tokens": 100_000, "max_batch": 200}
        whole = serve(joined, law, f"vllm:mechanism={mechanism}", **limits)
        cut = serve_cluster(programs, one(law, **limits), f"preserve:mechanism={mechanism}")
        assert np.allclose(cut.finish_s[pieces - 1 :: pieces], whole.finish_s, rtol=1e-12, atol=0)
        assert np.allclose(cut.first_token_s[::pieces], whole.first_token_s, rtol=1e-12, atol=0)
        assert cut.recomputed_tokens[0] == 0 and cut.iterations[0] == whole.iterations
        # Each further piece decodes from its first token on.
        token = programs.requests.output_tokens.reshape(count, pieces)
        gaps = (cut.first_token_s - cut.arrival_s).reshape(count, pieces)[:, 1:]
        assert gaps.min() > 0 and token.min() >= 1


def test_requests_are_programs_of_one_stage():
    rng = np.random.default_rng(3)
    n = 200
    requests = Requests(np.sort(rng.uniform(0, 4, n)), rng.integers(1, 60, n), rng.integers(1, 30, n))
    limits = {"kv_tokens": 400, "max_batch": 16}
    plain = serve(requests, COSTLY, "vllm", **limits)
    for served in (
        serve_cluster(alone(requests), one(COSTLY, **limits), "vllm"),
        serve_cluster(alone(requests), one(COSTLY, **limits), "preserve"),
    ):
        assert np.allclose(served.finish_s, plain.finish_s, rtol=1e-9, atol=0)
        assert served.preemptions[0] == plain.preemptions > 0
    assert np.array_equal(serve(requests, COSTLY, "autellix:memory=recompute", **limits).finish_s, plain.finish_s)


def test_one_chain_of_thought_is_a_plain_request():
    reasoned = majority(questions(30, seed=2), "poisson:rate=5", chains=1, seed=2)
    plain = serve(reasoned.programs.requests, STEP, "vllm")
    assert np.allclose(serve_cluster(reasoned.programs, one(), "vllm").finish_s, plain.finish_s, rtol=1e-12, atol=0)


def fork(outputs, need, joined=2):
    """One program: chains at once with these outputs, and a stage that waits for `need` of them."""
    n = len(outputs)
    return Programs(
        Requests(np.zeros(n + 1), np.full(n + 1, 3), np.array([*outputs, joined])),
        program=np.zeros(n + 1, int),
        after_start=[0] * (n + 1) + [n],
        after=np.arange(n),
        need=[0] * n + [need],
    )


def test_the_first_of_equal_chains_is_enough():
    """At once all end together; one by one the first ends and the others never begin."""
    assert ends_ms(fork([5] * 4, need=1), "vllm") == pytest.approx([5, 5, 5, 5, 7])
    served = serve_cluster(fork([5] * 4, need=1), one(max_batch=1), "vllm")
    assert served.finish_s[[0, 4]] * 1000 == pytest.approx([5, 7])
    assert served.cancelled.tolist() == [False, True, True, True, False] and served.wasted_tokens == 0


def test_chains_that_nobody_waits_for_are_cancelled_in_the_batch():
    """Two of three are enough: the third has made 4 tokens by then."""
    served = serve_cluster(fork([2, 4, 9], need=2), one(), "vllm")
    assert served.finish_s[[0, 1, 3]] * 1000 == pytest.approx([2, 4, 6])
    assert served.cancelled.tolist() == [False, False, True, False] and served.wasted_tokens == 4
    # 3 tokens more than they have made less one: 4 each at 2 ms, 6 each of two at 4 ms.
    assert served.peak_kv_tokens[0] == 12


@pytest.mark.parametrize(
    ("policy", "ends"),
    [("preserve", [6, 20]), ("discard", [6, 26]), ("swap", [6, 23]), ("infercept", [6, 26]), ("vllm", [6, 26])],
)
def test_what_a_call_costs(policy, ends):
    """A context of 6 tokens and a call of 10 ms, then 3 new tokens: 3 ms, 9 ms, or 3 ms and 3 ms to move it back."""
    served = serve_cluster(Programs(**chained([(4, 3, 0), (9, 2, 10)])), one(COSTLY), policy)
    assert served.finish_s * 1000 == pytest.approx(ends)
    assert served.arrival_s * 1000 == pytest.approx([0, 16])
    assert served.recomputed_tokens[0] == (0 if policy in ("preserve", "swap") else 6)
    assert served.swapped_tokens[0] == (6 if policy == "swap" else 0)


def test_a_program_is_measured_as_one_request():
    """Ends at 26 ms of which the call takes 10; five tokens. Of a cancelled chain nothing counts but its waste."""
    programs = Programs(**chained([(4, 3, 0), (9, 2, 10)]))
    found = program_summary(serve_cluster(programs, one(COSTLY), "discard"), programs)
    assert found["mean_latency_s"] * 1000 == pytest.approx(26) and found["mean_ttft_s"] * 1000 == pytest.approx(4)
    assert found["mean_latency_without_calls_s"] * 1000 == pytest.approx(16)
    assert found["mean_slowdown"] * 1000 == pytest.approx(16 / 5) and found["completed_share"] == 1
    assert found["recomputed_tokens"] == 6 and found["throughput_per_s"] == pytest.approx(1000 / 26)
    programs = fork([2, 4, 9], need=2)
    served = serve_cluster(programs, one(), "vllm")
    assert program_finish(served, programs) * 1000 == pytest.approx([6])
    found = program_summary(served, programs)
    assert found["mean_slowdown"] * 1000 == pytest.approx(6 / 8) and found["wasted_tokens"] == 4
    assert found["cancelled_share"] == 1 / 4


def test_infercept_wastes_the_least():
    """The context of 6 tokens: T 6 to preserve, 6 * 3 to discard, 2 * 3 * 6 to swap: preserved below 3 ms."""
    for delay, kept in ((2.9, True), (3.1, False)):
        programs = Programs(**chained([(4, 3, 0), (9, 2, delay)]))
        assert (serve_cluster(programs, one(COSTLY), "infercept").recomputed_tokens[0] == 0) == kept
        wrong = replace(programs, predicted_delay_s=[0, 1.0])
        assert serve_cluster(wrong, one(COSTLY), "infercept").recomputed_tokens[0] == 6
        assert (serve_cluster(wrong, one(COSTLY), "inferceptoracle").recomputed_tokens[0] == 0) == kept


def test_discard_keeps_the_place_or_goes_to_the_tail():
    """The first returns at 4 ms while the second runs, to 9 ms; the third arrived at 2 ms."""
    programs = together(chained([(1, 3, 0), (5, 2, 1)]), chained([(1, 6, 0)], 1.0), chained([(1, 4, 0)], 2.0))
    assert ends_ms(programs, "discard", max_batch=1) == pytest.approx([3, 11, 9, 15])
    assert ends_ms(programs, "discard:tail=1", max_batch=1) == pytest.approx([3, 15, 9, 13])


def test_what_is_preserved_goes_only_where_nothing_else_can_run():
    """Of 4 blocks of 4 tokens the call of the first holds 2; the second needs one of them, the third the other."""
    programs = together(chained([(4, 3, 0), (8, 2, 50)]), chained([(9, 4, 0)], 3.5), chained([(1, 1, 0)], 4.0))
    for memory, third in (("recompute", 8.5), ("tail", 5.5)):
        setting = {"block_tokens": 4, "watermark": 0.0}
        served = serve_cluster(programs, one(kv_tokens=16), f"preserve:memory={memory}", **setting)
        assert served.finish_s[[0, 1]] * 1000 == pytest.approx([3, 55])
        assert served.finish_s[3] * 1000 == pytest.approx(third) and served.preemptions[0] == 0
    assert served.recomputed_tokens[0] == 6


def test_autellix_sends_who_was_served_behind():
    """The first has attained 7 tokens when it returns, behind the third, which has none, with a quantum of 4."""
    programs = together(chained([(1, 3, 0), (7, 2, 1)]), chained([(1, 6, 0)], 1.0), chained([(1, 4, 0)], 2.0))
    assert ends_ms(programs, "autellix:quantum=4", max_batch=1) == pytest.approx([3, 15, 9, 13])
    assert ends_ms(programs, "autellix:quantum=9", max_batch=1) == pytest.approx([3, 11, 9, 15])


def test_the_shortest_path_or_the_least_work_goes_first():
    """A fork of two branches of 4 tokens and a join of 1 has a path of 5 and work of 9; a chain of 3 and 3 has 6."""
    branches = fork([4, 4], need=2, joined=1)
    branches = {
        "requests": replace(branches.requests, predicted_output_tokens=np.array([4.0, 4.0, 1.0])),
        "after_start": branches.after_start,
        "after": branches.after,
        "continues": branches.continues,
        "delay_s": branches.delay_s,
        "predicted_delay_s": branches.delay_s,
    }
    programs = together(branches, chained([(1, 3, 0), (4, 3, 0)]))
    assert ends_ms(programs, "criticalpath", max_batch=1) == pytest.approx([4, 8, 9, 12, 15])
    assert ends_ms(programs, "criticalpath:work=1", max_batch=1) == pytest.approx([10, 14, 15, 3, 6])


def test_fair_finish_shares_the_rate():
    """Costs of 10 and 4.5: when the second comes at 2 s, 8 of the first are left; both ends are virtual times."""
    one_of = lambda tokens, output: chained([(tokens, output, 0)])  # noqa: E731
    first = one_of(4, 2)
    second = one_of(4, 1)
    second["requests"] = replace(second["requests"], arrival_s=np.array([2.0]))
    programs = together(first, second)
    ends = fair_finish(programs, 1.0)
    assert ends == pytest.approx([10.0, 2.0 + 4.5])
    late = replace(programs, requests=replace(programs.requests, arrival_s=np.array([0.0, 50.0])))
    assert fair_finish(late, 1.0) == pytest.approx([10.0, 10.0 + 4.5])
    ordered = replace(programs, requests=replace(programs.requests, arrival_s=np.zeros(2)), values=ends[:, None])
    assert ends_ms(ordered, "fairprogram", max_batch=1) == pytest.approx([3, 1])


def test_lamps_counts_the_memory_of_the_call():
    """Equal pieces; the first ends with a call of 1 s, which it would be preserved through, and goes last."""
    programs = together(chained([(10, 4, 0), (16, 1, 1000)]), chained([(10, 5, 0)]))
    policy = "lamps:token_ms=1,prompt_ms=10,beside=100"
    assert ends_ms(programs, policy, max_batch=1)[0] == pytest.approx(9)
    assert ends_ms(programs, policy, max_batch=1)[2] == pytest.approx(5)
    quick = replace(programs, predicted_delay_s=[0, 0.001, 0])
    assert ends_ms(quick, policy, max_batch=1)[0] == pytest.approx(4)


POLICIES = ("preserve", "discard", "swap", "infercept", "inferceptoracle", "lamps", "autellix", "criticalpath")


@pytest.mark.parametrize("policy", POLICIES)
def test_stages_begin_after_what_they_wait_for(policy):
    """InferCept's mixture, in a memory where preserved contexts matter: all end, in order, with all tokens."""
    programs = calls.with_calls("poisson:rate=4", 120, seed=5, data="fitted")
    requests = replace(programs.requests, predicted_output_tokens=programs.requests.output_tokens.astype(float))
    programs = programs.with_requests(requests)
    law = replace(COSTLY, prefill_token_ms=0.05, decode_step_ms=20.0, decode_seq_ms=0.1, swap_bytes_per_s=5e7)
    served = serve_cluster(programs, one(law, kv_tokens=9000, max_batch=64), policy)
    first = programs.continues < 0
    before = programs.continues[~first]
    due = served.finish_s[before] + programs.delay_s[~first]
    assert np.allclose(served.arrival_s[~first], due, rtol=1e-12) and not served.cancelled.any()
    assert np.allclose(served.arrival_s[first], programs.arrival_s, rtol=1e-12)
    assert np.all(served.first_token_s > served.arrival_s)
    assert np.all(served.finish_s >= served.first_token_s)
    assert served.output_tokens == requests.output_tokens.sum() and served.peak_kv_tokens[0] <= 9000


def test_graphs_over_several_models_keep_their_order():
    programs = workflow(
        "layered:layers=4,width=3,models=2",
        "poisson:rate=3",
        "uniform:input_low=1,input_high=80,output_low=1,output_high=20",
        60,
        seed=3,
    )
    cluster = Cluster([Instance(STEP, model=0, count=2), Instance(STEP, model=1)])
    served = serve_cluster(programs, cluster, "preserve")
    who = np.repeat(np.arange(len(programs)), np.diff(programs.after_start))
    ready = np.zeros(len(programs))
    np.maximum.at(ready, who, served.finish_s[programs.after])
    assert np.allclose(served.arrival_s, np.maximum(ready, programs.requests.arrival_s), rtol=1e-12, atol=0)
    assert np.array_equal(served.instance == 2, programs.model == 1)


REFUSED = {
    "gap": ({"program": [0, 2, 2]}, "program of stage 1 is 2: programs are numbered from 0 up"),
    "arrival": ({"requests": Requests([0.0, 1.0, 1.0], [1, 1, 1], [1, 1, 1])}, "arrival_s of stage 1 differs"),
    "later": ({"after": [2, 0]}, "stage 1 waits for stage 2: it can only wait for earlier stages of its own"),
    "twice": (
        {"after_start": [0, 0, 0, 2], "after": [1, 1], "need": None, "continues": None},
        "waits for stage 1 twice",
    ),
    "starts": ({"after_start": [0, 1, 1]}, "after_start must ascend from 0 to the length of after"),
    "need": ({"need": [0, 2, 1]}, "need of stage 1 is 2, but it waits for 1: it must be from 1 to 1"),
    "delay": ({"delay_s": [0, -1.0, 0]}, "delay_s of stage 1 is -1, but must be a finite number of at least 0"),
    "continues": ({"continues": [-1, -1, 0]}, "stage 2 continues stage 0, so it must wait for it"),
    "context": (
        {"requests": Requests(np.zeros(3), [5, 5, 9], [1, 1, 1])},
        "stage 1 has 5 input tokens, fewer than the input and output tokens of stage 0",
    ),
    "model": ({"model": [0, 1, 1]}, "stage 1 continues a stage of another model"),
    "values": ({"values": np.zeros((3, 5))}, "values must have a row for each of the 3 stages, of at most 4"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_programs_that_make_no_sense(what):
    changed, message = REFUSED[what]
    good = {
        "requests": Requests(np.zeros(3), [1, 2, 3], [1, 1, 1]),
        "program": [0, 0, 0],
        "after_start": [0, 0, 1, 2],
        "after": [0, 1],
        "continues": [-1, 0, 1],
    }
    Programs(**good)
    with pytest.raises(InputError) as raised:
        Programs(**good | changed)
    assert message in str(raised.value)


def test_policies_that_do_not_go_with_programs(folder, tmp_path):
    programs = Programs(**chained([(4, 3, 0), (9, 2, 10)]))
    for policy, change, message in (
        ("preserve:mechanism=orca", {}, "has handle, which needs pages"),
        ("infercept", {"predicted_delay_s": None}, "looks at predicted delays, but the programs have none"),
        ("fairprogram", {}, "looks at value0, but the stages have 0 values"),
    ):
        with pytest.raises(InputError, match=message):
            serve_cluster(replace(programs, **change), one(), policy)
    with pytest.raises(InputError, match="swaps a context, but the hardware has not both"):
        serve_cluster(programs, one(STEP), "swap")
    odd = tmp_path / "odd.py"
    odd.write_text(OWN["preserved"].replace("return 0", "return 7"))
    with pytest.raises(InputError, match="handle must return 0"):
        serve_cluster(programs, one(), str(odd))
    for text, message in (
        ("held_tokens", "which only handle can see"),
        ("now", "handle takes 'now', which it cannot see"),
    ):
        function = "rank" if text == "held_tokens" else "handle"
        odd = tmp_path / f"{function}.py"
        odd.write_text(
            f'SEES = ("{text}",)\nSHAPE = "order"\n\ndef rank({text if function == "rank" else ""}):\n    return 1\n\n'
            f"def handle({text if function == 'handle' else ''}):\n    return 0\n"
        )
        with pytest.raises(InputError, match=message):
            serve_cluster(programs, one(), str(odd))


def test_branches_share_the_beginning_of_their_prompts():
    """Eight chains of a question compute its prompt once, and hold it once, with a prefix cache."""
    asked = questions(12, seed=9, most=8)
    programs = majority(asked, "poisson:rate=0.2", chains=8, seed=9).programs
    law = replace(COSTLY, prefill_token_ms=0.1, decode_step_ms=20.0)
    # One prompt in each iteration: those computed together would all compute the same.
    limits = {"kv_tokens": 400_000, "max_batch": 256, "token_budget": 1}
    apart, shared = (
        serve_cluster(programs, one(law, **limits), f"criticalpath:prefix_cache={cached}")
        for cached in ("false", "true")
    )
    full = asked.prompt // 16 * 16
    # What a prompt has of full blocks is found by the seven others, and by the vote, if they leave a token to compute.
    assert shared.reused_tokens[0] >= 0.9 * 8 * full.sum() > 0 and apart.reused_tokens[0] == 0
    assert shared.reused_tokens[0] <= 8 * full.sum()
    assert shared.busy_s[0] < apart.busy_s[0] and shared.peak_kv_tokens[0] < apart.peak_kv_tokens[0]
    assert shared.output_tokens == apart.output_tokens
