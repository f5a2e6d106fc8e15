"""Entries about the LLM engine: their policies' names, hashes, checks and runs; and what their replications share."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues import plan, registry, scaffold
from openqueues.check import check
from openqueues.models import llm, policies
from openqueues.models.errors import InputError
from openqueues.models.llm.replication import growing
from openqueues.pages import sections
from openqueues.runner import run_cell
from tiny import openqueues

TOML = """\
title = "A tiny entry about one LLM"
summary = "One sentence."
statement = "A statement."
answers = ["4.1-a"]
model = "llm"
metrics = [{ name = "mean_latency_s", unit = "s" }]
policies = { floor = "vllm", ceiling = "srpt", references = ["sprpt:mechanism=sarathi", "trail:c=0.5"] }
headline = { experiment = "rates", point = { rate = 4 } }

[[experiments]]
name = "rates"
title = "Rate"
grid = { rate = [1, 4] }
[experiments.tiers]
smoke = { jobs = 300, replications = 2 }

[[anchors]]
name = "Alone"
point = { rate = 0.001, lengths = "fixed:input=100,output=11" }
policy = "vllm"
metric = "mean_latency_s"
value = 0.21
why = "A prompt of 100 tokens takes 10 ms, ten more steps 20 ms each."
"""

PROBLEM = '''\
"""A small server."""

from openqueues.models import llm


def simulate(point, policy, seed, jobs):
    lengths = point.get("lengths", "lognormal:input_mean=100,output_mean=60")
    requests = llm.generated(f"deterministic:rate={point['rate']}", lengths, min(jobs, 2000), seed)
    requests = llm.predicted(requests, "lognormal:sigma=0.5", seed)
    hardware = llm.hardware_law("prefill_token_ms=0.1,decode_step_ms=20")
    return llm.replication(requests, hardware, policy, max_batch=8)
'''

OWN = '''\
"""Shortest prompt first."""

SEES = ("input_tokens",)
SHAPE = "falling order"
PARAMETERS = {"preempt": True}


def rank(input_tokens):
    return input_tokens
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    entry = tmp_path / "tiny-llm"
    (entry / "policies").mkdir(parents=True)
    (entry / "problem.toml").write_text(TOML)
    (entry / "problem.py").write_text(PROBLEM)
    (entry / "policies" / "short-prompt.py").write_text(OWN)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(tmp_path))
    return entry


def test_names_are_those_of_the_entrys_model(folder):
    entry = registry.entry("tiny-llm")
    assert entry.all_policies == ["vllm", "srpt", "sprpt:mechanism=sarathi", "trail:c=0.5", "short-prompt"]
    assert set(registry.builtin_policies(entry)) == set(llm.policy_names())
    files = {registry.policy_file(entry, name) for name in entry.all_policies}
    assert {file.parent.parts[-2:] for file in files} == {("llm", "policies"), ("tiny-llm", "policies")}
    told = {name: registry.information(entry, name) for name in entry.all_policies}
    assert told["vllm"] == told["short-prompt"] == "blind"
    assert told["srpt"] == "oracle"
    assert told["sprpt:mechanism=sarathi"] == told["trail:c=0.5"] == "predictions"
    assert registry.information(entry, "orca:reserve=pow2") == "oracle"
    listing = sections.policies(entry)
    assert "Shortest prompt first." in listing and 'SEES = ("left",)' in listing and "**vLLM**" not in listing
    queue = entry.folder / "problem.toml"
    queue.write_text(TOML.replace('model = "llm"\n', ""))
    with pytest.raises(InputError, match="vllm"):
        registry.entry("tiny-llm")
    queue.write_text(TOML.replace('"llm"', '"gpu"'))
    with pytest.raises(InputError, match="'gpu' is not allowed here"):
        registry.entry("tiny-llm")
    queue.write_text(TOML.replace("c=0.5", "d=0.5"))
    with pytest.raises(InputError, match="parameter of policy 'trail' 'd'"):
        registry.entry("tiny-llm")


def test_the_switches_are_those_of_the_engine():
    assert llm.policy("vllm").parameters["mechanism"] == "vllm"
    assert policies.policy("vllm:memory=tail", model="llm").parameters["memory"] == "tail"
    from openqueues.models.llm import policies as of_engine

    assert of_engine.SWITCHES is policies.SWITCHES
    with pytest.raises(InputError, match="memory"):
        policies.policy("srpt:memory=tail")


def test_a_cell_depends_on_the_engine_its_tables_and_its_own_policy_alone(folder):
    entry = registry.entry("tiny-llm")
    known = plan.sources(entry, "srpt")
    for name in (
        "engine.py",
        "engine_kernel.py",
        "state_kernel.py",
        "hardware.toml",
        "data/lmsys.toml",
        "replication.py",
    ):
        assert f"llm/{name}" in known
    assert known["policy/srpt.py"] != plan.sources(entry, "vllm")["policy/vllm.py"]
    assert not {f"llm/policies/{name}.py" for name in llm.policy_names()} & set(known)
    before = {policy: plan.cell(entry, entry.experiments[0], policy, "smoke").hash for policy in entry.all_policies}
    own = entry.folder / "policies" / "short-prompt.py"
    own.write_text(OWN.replace("return input_tokens", "return 2 * input_tokens"))
    plan.forget()
    after = {policy: plan.cell(entry, entry.experiments[0], policy, "smoke").hash for policy in entry.all_policies}
    assert [policy for policy in before if before[policy] != after[policy]] == ["short-prompt"]


def test_it_passes_the_check_and_runs(folder, tmp_path):
    assert check("tiny-llm") == []
    entry = registry.entry("tiny-llm")
    for policy in ("srpt", str(folder / "policies" / "short-prompt.py")):
        outcome = run_cell(entry, entry.experiments[0], policy, "smoke", str(tmp_path / "results"), cores=1)
        assert outcome.state == "made", outcome
        assert outcome.cell.policy == ("srpt" if policy == "srpt" else "short-prompt")


def test_a_new_policy_passes_the_check(folder):
    scaffold.policy("tiny-llm", "mine")
    assert "mine" in registry.entry("tiny-llm").own_policies
    assert check("tiny-llm") == []
    with pytest.raises(InputError, match="built-in"):
        scaffold.policy("tiny-llm", "vllm")
    scaffold.policy("tiny-llm", "fcfs")


def test_the_command_line_runs_a_policy_of_it(folder, tmp_path):
    arguments = ("run", "tiny-llm", "--tier", "smoke", "--policy", "trail:c=0.5", "--results", tmp_path / "out")
    done = openqueues(*arguments, problems=folder.parent)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "smoke" / "tiny-llm" / "rates" / "trail_c=0.5.parquet").is_file()
    done = openqueues(*arguments[:4], "--policy", "fcfs", problems=folder.parent)
    assert done.returncode != 0 and "unknown policy 'fcfs'" in done.stderr


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({'("input_tokens",)': '("input_token",)', "(input_tokens)": "(input_token)"}, "input_token"),
        ({'("input_tokens",)': '("input_tokens", "price")'}, "'price' in SEES and does not use it"),
        ({"return input_tokens": "return float('nan')"}, "not a number"),
        (
            {'("input_tokens",)': '("generated",)', "(input_tokens)": "(generated)", "n input_tokens": "n generated"},
            "rises",
        ),
        (
            {'"input_tokens"': '"left"', "input_tokens": "left", "SHAPE": 'INFORMATION = "blind"\nSHAPE'},
            "what it sees makes it 'oracle'",
        ),
        ({"def rank": "def admit(price):\n    return True\n\n\ndef rank"}, "admit takes 'price'"),
    ],
    ids=["column", "unused", "nan", "rising", "claim", "admit"],
)
def test_what_breaks_the_contract_is_said(folder, change, complaint):
    text = OWN
    for old, new in change.items():
        text = text.replace(old, new)
    (folder / "policies" / "short-prompt.py").write_text(text)
    said = [one for one in check("tiny-llm") if complaint in one]
    assert said, check("tiny-llm")


def test_the_first_tenth_is_not_counted():
    requests = llm.generated("deterministic:rate=0.01", "fixed:input=10,output=5", 20, seed=1)
    served = llm.serve(requests, llm.hardware_law("decode_step_ms=100,prefill_token_ms=1"), "vllm")
    plain = llm.summary(served, requests)
    assert plain["mean_latency_s"] == pytest.approx(0.41) and plain["mean_ttft_s"] == pytest.approx(0.01)
    assert plain["mean_slowdown"] == pytest.approx(0.082)
    served.first_token_s[:2] += 50
    served.finish_s[:2] += 50
    assert llm.summary(served, requests)["mean_latency_s"] == pytest.approx(plain["mean_latency_s"])
    served.finish_s[2] += 18
    assert llm.summary(served, requests)["mean_latency_s"] == pytest.approx(1.41)
    assert llm.summary(served, requests, only=np.arange(20) != 2)["mean_latency_s"] == pytest.approx(0.41)
    assert llm.summary(served, requests, slo_tpot_s=0.2)["slo_share"] == pytest.approx(17 / 18)


def test_a_backlog_that_grows_is_seen_under_any_order():
    hardware = llm.hardware_law("prefill_token_ms=0.1,decode_step_ms=20,decode_seq_ms=1")
    for policy in ("vllm", "srpt"):
        found = {}
        for rate in (8.0, 14.0):
            requests = llm.generated(f"poisson:rate={rate}", "lognormal:input_mean=100,output_mean=50", 4000, seed=3)
            found[rate] = llm.replication(requests, hardware, policy, max_batch=16)["unstable"]
        assert found == {8.0: 0.0, 14.0: 1.0}, policy


def test_growth_needs_all_three_thirds_and_a_share_of_the_arrivals():
    arrival = np.arange(1000.0)
    assert not growing(arrival, arrival + 30)
    assert growing(arrival, arrival + 0.1 * arrival)
    assert not growing(arrival, arrival + np.where(arrival > 700, 60.0, 10.0)), "the second third is like the first"
    assert not growing(arrival, arrival + 0.01 * arrival), "ten requests more are within the noise"
    assert growing(arrival, np.where(arrival % 10 == 0, np.nan, arrival + 5)), "a tenth never finishes"
    assert not growing(np.zeros(5), np.ones(5))


def test_a_point_completes_a_policy(tmp_path):
    assert llm.completed("trail", c=0.5, most=8) == "trail:c=0.5"
    assert llm.completed("trail:c=1", c=0.5, mechanism="sarathi") == "trail:c=1,mechanism=sarathi"
    assert llm.completed("vllm", mechanism="sarathi", memory="tail") == "vllm:memory=tail", "its file sets the other"
    assert llm.completed("srpt", preempt=False) == "srpt"
    file = tmp_path / "mine.py"
    file.write_text(OWN.replace('"preempt": True', '"most": 4'))
    assert llm.completed(str(file), most=8, preempt=True) == f"{file}:most=8,preempt=true"
    assert llm.completed(f"{file}:most=2", most=8) == f"{file}:most=2"
