"""Clusters whose instances have roles, go down and change: closed forms, two stations in a row, and nothing lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm.cluster import serve_cluster
from openqueues.models.llm.cluster_metrics import cluster_summary
from openqueues.models.llm.engine import serve
from openqueues.models.llm.fleets import Cluster, Instance
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests
from program_cases import OWN, programs

STEP = Hardware(name="step", compute_step_ms=1.0, kv_bytes_per_token=1000.0, price_per_hour=3.6)
LINEAR = Hardware(
    name="linear", prefill_step_ms=3.0, prefill_token_ms=0.05, decode_step_ms=2.0, kv_token_ms=0.001, decode_seq_ms=0.1
)


def some(arrival_ms, inputs, outputs, **more) -> Requests:
    return Requests(np.array(arrival_ms) / 1000.0, np.array(inputs), np.array(outputs), **more)


def split(law=STEP, prefill=1, decode=1, kv_tokens=None, decode_batch=None, **more) -> Cluster:
    answers = Instance(law, decode, role="decode", kv_tokens=kv_tokens, max_batch=decode_batch)
    return Cluster([Instance(law, prefill, role="prefill"), answers], **more)


@pytest.mark.parametrize("policy", ["vllm", "sarathi"])
def test_roles_with_free_links_are_two_stations_in_a_row(policy):
    """The second station is an engine for which prompts are free, fed by the completions of the first."""
    rng = np.random.default_rng(3)
    n = 800
    inputs, outputs = rng.integers(1, 400, n), rng.integers(2, 120, n)
    requests = Requests(np.cumsum(rng.exponential(0.012, n)), inputs, outputs)
    served = serve_cluster(requests, split(LINEAR), policy)
    first = serve(Requests(requests.arrival_s, inputs, np.ones(n, int)), LINEAR, policy)
    assert served.first_token_s == pytest.approx(first.finish_s, rel=1e-9)
    order = np.argsort(first.finish_s, kind="stable")
    free = replace(LINEAR, prefill_step_ms=0.0, prefill_token_ms=0.0)
    fed = Requests(first.finish_s[order], inputs[order], outputs[order])
    second = serve(fed, free, "vllm")
    assert served.finish_s[order] == pytest.approx(second.finish_s, rel=1e-9)
    assert served.transferred_tokens == inputs.sum()
    assert served.output_tokens_of.tolist() == [0, outputs.sum()]


def test_a_kv_cache_takes_its_time_and_links_send_one_at_a_time():
    """Prompts of 4 and 6 tokens in one step of 1 ms; 0.5 ms a token on the link."""
    requests = some([0, 0], [4, 6], [3, 2])
    served = serve_cluster(requests, split(transfer_bytes_per_s=2e6), "vllm")
    assert served.first_token_s * 1000 == pytest.approx([1, 1])
    # The first KV has arrived at 3 ms and then takes two steps, the second at 6 ms.
    assert served.finish_s * 1000 == pytest.approx([5, 7])
    # By layers, 1 ms of each is sent while its prompt is computed.
    served = serve_cluster(requests, split(transfer_bytes_per_s=2e6, transfer="layers"), "vllm")
    assert served.finish_s * 1000 == pytest.approx([4, 5])
    # Two links send at the same time.
    served = serve_cluster(requests, split(prefill=2, transfer_bytes_per_s=2e6), "vllm")
    assert served.finish_s * 1000 == pytest.approx([5, 5])


def test_a_full_target_blocks_the_link_and_then_the_prompts():
    """The target has room for one request, the source for two."""
    requests = some([0, 0, 0], [4, 4, 4], [4, 4, 4])
    answers = Instance(STEP, role="decode", kv_tokens=8)
    cluster = Cluster([Instance(STEP, role="prefill", kv_tokens=8), answers])
    served = serve_cluster(requests, cluster, "vllm", block_tokens=4, watermark=0.0)
    # Two prompts fit at the source; the first moves at once, so that the third is computed in the next step.
    assert served.first_token_s * 1000 == pytest.approx([1, 1, 2])
    # Three steps each, one after the other, since 4 tokens and the next one take both blocks.
    assert served.finish_s * 1000 == pytest.approx([4, 7, 10])
    assert served.recomputed_tokens.sum() == 0
    cluster = Cluster([Instance(STEP, role="prefill", kv_tokens=4), answers])
    served = serve_cluster(requests, cluster, "vllm", block_tokens=4, watermark=0.0)
    assert served.first_token_s * 1000 == pytest.approx([1, 2, 5])
    assert served.finish_s * 1000 == pytest.approx([4, 7, 10])


def test_kv_caches_are_fetched_in_the_order_of_the_policy():
    requests = some([0, 0, 0], [1, 1, 1], [2, 9, 4])
    served = serve_cluster(requests, split(decode_batch=1), "sjf")
    assert served.finish_s * 1000 == pytest.approx([2, 1 + 1 + 3 + 8, 1 + 1 + 3])


def test_what_is_down_loses_its_kv():
    """Three tokens are made by 3 ms; the step that computes prompt and tokens again makes the fourth."""
    requests = some([0], [1], [4])
    cluster = Cluster([Instance(STEP, 2)], events=[(0.0025, 0, "down")])
    served = serve_cluster(requests, cluster, "vllm")
    assert served.instance.tolist() == [1]
    assert served.finish_s * 1000 == pytest.approx([4])
    assert served.recomputed_tokens.tolist() == [3, 0]
    assert served.up_s * 1000 == pytest.approx([2.5, 4])
    assert served.usd == pytest.approx(np.array([0.0025, 0.004]) * 3.6 / 3600)


def test_requests_wait_for_an_instance_to_come_up():
    requests = some([0, 1], [1, 1], [3, 1])
    events = [(0.0015, 0, "down"), (0.010, 0, "up")]
    served = serve_cluster(requests, Cluster([Instance(STEP)], events=events), "vllm")
    # The prompt of the second is computed while the first waits with one token, which has lost its KV then.
    assert served.finish_s * 1000 == pytest.approx([12, 2])
    never = serve_cluster(requests, Cluster([Instance(STEP)], events=events[:1]), "vllm")
    assert np.isnan(never.finish_s[0]) and never.finish_s[1] * 1000 == pytest.approx(2)
    assert cluster_summary(never, requests)["completed_share"] < 1


def test_kv_on_its_way_is_lost_with_its_source_and_sent_again_without_its_target():
    """The KV of 4 tokens takes 8 ms on the link of instance 0; instances 2 and 3 decode."""
    requests = some([0], [4], [3])
    cluster = split(prefill=2, decode=2, transfer_bytes_per_s=5e5)
    assert serve_cluster(requests, cluster, "vllm").finish_s * 1000 == pytest.approx([1 + 8 + 2])
    lost = serve_cluster(requests, replace(cluster, events=[(0.005, 0, "down")]), "vllm")
    # At 5 ms the prompt and the token made are computed at instance 1, which makes the second token: 5 tokens to move.
    assert lost.finish_s * 1000 == pytest.approx([5 + 1 + 10 + 1])
    assert lost.recomputed_tokens.tolist() == [4, 0, 0, 0]
    again = serve_cluster(requests, replace(cluster, events=[(0.005, 2, "down")]), "vllm")
    assert again.instance.tolist() == [3]
    # The link goes on with what it had begun, then sends the KV anew.
    assert again.finish_s * 1000 == pytest.approx([9 + 8 + 2])
    assert again.recomputed_tokens.sum() == 0


@pytest.mark.parametrize("down", [(2, 0), (0, 2), (2, 3), (2, 0, 3)])
def test_instances_may_go_down_at_the_same_time(down):
    """At 5 ms each target decodes one request, which fills its batch, and others wait to be fetched from 0 and 1."""
    requests = some([0] * 8, [4] * 8, [9] * 8)
    cluster = split(prefill=2, decode=2, decode_batch=1)
    events = [(0.005, k, "down") for k in down] + [(0.05, k, "up") for k in down]
    served = serve_cluster(requests, replace(cluster, events=events), "vllm")
    assert np.isfinite(served.finish_s).all() and (served.finish_s > 0.008).all()
    assert served.output_tokens_of.sum() == 8 * 9
    assert set(served.instance) <= {2, 3}


def test_a_controller_changes_roles(tmp_path):
    """From 20 ms on two of three instances are to compute prompts; one that decodes drains, then takes 5 ms."""
    path = tmp_path / "plan.py"
    path.write_text('"""A test."""\n\nSEES = ("now",)\n\n\ndef control(now):\n    return 0.3 if now < 0.02 else 0.6\n')
    requests = some([0, 0, 0, 100, 100], [1] * 5, [40, 30, 2, 2, 2])
    cluster = split(decode=2, control=str(path), control_every_s=0.01, switch_s=0.005)
    served = serve_cluster(requests, cluster, "vllm")
    # At 20 ms requests 0 and 1 decode, one at each; instance 1 changes when its one has left.
    assert served.instance.tolist() == [1, 2, 1, 2, 2]
    assert served.role.tolist() == [1, 1, 2]
    assert served.finish_s * 1000 == pytest.approx([40, 30, 2, 102, 102])
    # The prompts that arrive at 100 ms are computed at both instances.
    assert served.routed.tolist() == [4, 3, 3]


def test_nothing_is_lost_whatever_happens():
    rng = np.random.default_rng(9)
    n = 600
    outputs = rng.integers(1, 60, n)
    prompts = rng.integers(1, 200, n)
    for trial in range(12):
        requests = Requests(
            np.cumsum(rng.exponential(0.02, n)), prompts, outputs, predicted_output_tokens=outputs.astype(float)
        )
        law = replace(LINEAR, kv_bytes_per_token=1000.0, swap_bytes_per_s=1e7)
        policy = ["vllm", "sarathi:memory=tail", "sprpt:memory=swap", "lpm:mechanism=sarathi"][trial % 4]
        roles = [Instance(law, 2, role="prefill", kv_tokens=800), Instance(law, 2, role="decode", kv_tokens=1200)]
        mixed = [Instance(law, 2, kv_tokens=900, max_batch=8)]
        events = [(float(rng.uniform(0, 12)), int(rng.integers(6)), str(rng.choice(["up", "down"]))) for _ in range(14)]
        events += [(13.0, k, "up") for k in range(6)]
        cluster = Cluster(
            roles + mixed,
            transfer_bytes_per_s=float(rng.choice([1e5, 1e6, np.inf])),
            events=events,
            control=["busy", "work", None][trial % 3],
            control_every_s=0.5,
            switch_s=0.2,
        )
        served = serve_cluster(requests, cluster, policy, ["jsq", "kv", "tokens", "random"][trial % 4], seed=trial)
        assert not np.isnan(served.finish_s).any() and served.output_tokens == outputs.sum()
        assert np.all(served.finish_s >= served.first_token_s)
        assert np.all(served.first_token_s >= requests.arrival_s)
        assert np.all(served.up_s <= served.makespan_s + 1e-9)
        assert np.all(served.peak_kv_tokens <= [800] * 2 + [1200] * 2 + [900] * 2)
        assert served.recomputed_tokens.sum() > 0


REFUSED = {
    "nobody decodes": (Cluster([Instance(STEP, role="prefill")]), "no instance that decodes"),
    "nobody computes prompts": (Cluster([Instance(STEP, role="decode")]), "no instance that computes prompts"),
    "pages": (Cluster([Instance(STEP, role="prefill"), Instance(STEP, policy="orca")]), "with pages only"),
    "bytes": (split(replace(STEP, kv_bytes_per_token=0.0), transfer_bytes_per_s=1e9), "needs kv_bytes_per_token"),
    "controlled": (Cluster([Instance(STEP)], control="busy"), "one instance of role prefill and one of role decode"),
    "controller": (split(control="busyy"), "unknown controller 'busyy'"),
    "predictions": (split(control="work"), "controller 'work' looks at predictions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    cluster, message = REFUSED[name]
    with pytest.raises(InputError) as error:
        serve_cluster(some([0, 1], [10, 10], [3, 30]), cluster, "vllm")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"transfer": "half"}, "unknown transfer 'half'"),
        ({"transfer_bytes_per_s": 0}, "transfer_bytes_per_s is 0"),
        ({"events": [(1.0, 2, "down")]}, "has the event (1.0, 2, 'down')"),
        ({"events": [(1.0, 0, "away")]}, "has the event (1.0, 0, 'away')"),
        ({"switch_s": -1}, "switch_s is -1"),
    ],
)
def test_a_cluster_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError) as error:
        Cluster([Instance(STEP, 2)], **given)
    assert message in str(error.value)


@pytest.mark.parametrize("policy", ["preserved", "each", "swapped"])
def test_programs_lose_nothing_either(policy, tmp_path):
    """Kept contexts, cancelled stages, KV caches that move, and instances that go down and change, all at once."""
    path = tmp_path / f"{policy}.py"
    path.write_text(f'"""A test."""\n\n{OWN[policy]}')
    cancelled = moved = lost = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        given = programs(rng)
        n, last = len(given), float(given.requests.arrival_s[-1])
        law = replace(LINEAR, kv_bytes_per_token=1000.0, swap_bytes_per_s=1e6)
        room = int((given.requests.input_tokens + given.requests.output_tokens).max()) + 20
        each = [Instance(law, 2, role=role, kv_tokens=room) for role in ("prefill", "decode", "mixed")]
        times = rng.uniform(0, 2 * last + 0.1, 8)
        events = [(float(time), int(rng.integers(6)), str(rng.choice(["up", "down"]))) for time in times]
        events += [(2 * last + 0.1, k, "up") for k in range(6)]
        control = "busy" if seed % 2 else None
        cluster = Cluster(each, transfer_bytes_per_s=1e6, events=events, control=control, control_every_s=0.02)
        served = serve_cluster(given, cluster, str(path), block_tokens=4, watermark=0.0, seed=seed)
        assert np.array_equal(np.isnan(served.finish_s), served.cancelled)
        for i in np.flatnonzero(~served.cancelled):
            before = given.after[given.after_start[i] : given.after_start[i + 1]]
            done = np.sort(served.finish_s[before][~np.isnan(served.finish_s[before])])
            assert len(before) == 0 or done[given.need[i] - 1] <= served.first_token_s[i], (seed, i, n)
        cancelled, moved = cancelled + served.cancelled.sum(), moved + served.transferred_tokens
        lost += served.recomputed_tokens.sum()
    assert cancelled > 0 and moved > 0 and lost > 0
