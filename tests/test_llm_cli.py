"""`openqueues llm`: what it prints and writes, and what it says about bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from openqueues import cli

HEAD = "arrival_s,input_tokens,output_tokens"
TRACE = f"{HEAD}\n0,10,3\n0.5,20,1\n100,5,4\n"
HARDWARE = "prefill_step_ms=10,prefill_token_ms=1,decode_step_ms=20,decode_seq_ms=2,kv_token_ms=0.1"
KEYS = (
    *("requests", "completed", "mean_latency_s", "p50_latency_s", "p90_latency_s", "p99_latency_s", "mean_ttft_s"),
    *("p99_ttft_s", "mean_tpot_s", "makespan_s", "iterations", "preemptions", "output_tokens", "wall_s"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENQUEUES_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("trace.csv").write_text(TRACE)
    return tmp_path


def printed(capsys, line: str) -> str:
    code = cli.main(["llm", *line.split()])
    said = capsys.readouterr()
    assert code == 0 and said.err == "", said.err
    return said.out


def test_a_trace_by_hand(folder, capsys):
    result = json.loads(printed(capsys, f"--trace trace.csv --hardware {HARDWARE} --policy vllm --json"))
    assert set(KEYS) <= set(result)
    # Alone, one after the other: a prefill of 10 + tokens, then steps of 20 + 2 + 0.1 (prompt + made) ms.
    ttft = [0.020, 0.030, 0.015]
    later = [(22 + 0.1 * 11) + (22 + 0.1 * 12), 0, (22 + 0.1 * 6) + (22 + 0.1 * 7) + (22 + 0.1 * 8)]
    latency = np.array(ttft) + np.array(later) / 1000
    assert result["requests"] == result["completed"] == 3
    assert result["output_tokens"] == 8 and result["iterations"] == 3 + 2 + 0 + 3
    assert result["preemptions"] == 0
    assert result["mean_ttft_s"] == pytest.approx(np.mean(ttft))
    assert result["mean_latency_s"] == pytest.approx(latency.mean())
    assert result["p50_latency_s"] == pytest.approx(np.quantile(latency, 0.5))
    assert result["p99_latency_s"] == pytest.approx(np.quantile(latency, 0.99))
    assert result["mean_tpot_s"] == pytest.approx(np.mean([later[0] / 2, later[2] / 3]) / 1000)
    assert result["makespan_s"] == pytest.approx(100 + latency[2])
    assert "energy_j" not in result and "cost_usd" not in result


def test_two_servers_share_the_requests(folder, capsys):
    """Both at 0: on one server in one batch, on two each as if alone."""
    Path("trace.csv").write_text(f"{HEAD}\n0,10,1\n0,10,1\n")
    line = f"--trace trace.csv --hardware {HARDWARE},price_per_hour=3600 --policy vllm --json"
    one = json.loads(printed(capsys, line))
    two = json.loads(printed(capsys, f"{line} --instances 2 --router roundrobin"))
    assert (one["mean_ttft_s"], two["mean_ttft_s"]) == pytest.approx((0.030, 0.020))
    assert (one["cost_usd"], two["cost_usd"]) == pytest.approx((0.030, 2 * 0.020))
    assert two["busy_share"] == pytest.approx(1)


def test_parquet_and_csv_are_the_same_trace(folder, capsys):
    rows = {"arrival_s": [100.0, 0.0, 0.5], "input_tokens": [5, 10, 20], "output_tokens": [4, 3, 1]}
    more = {"class": ["batch", None, None], "prefix_blocks": ["1 2", "", None], "note": ["a", "b", "c"]}
    pyarrow.parquet.write_table(pyarrow.table(rows | more), "trace.parquet")
    pyarrow.parquet.write_table(pyarrow.table(rows | {"prefix_blocks": [[1, 2], [], None]}), "lists.parquet")
    results = []
    for trace in ("trace.csv", "trace.parquet", "lists.parquet"):
        result = json.loads(printed(capsys, f"--trace {trace} --hardware {HARDWARE} --policy vllm --json"))
        del result["wall_s"]
        results.append(result)
    assert results[0] == results[1] == results[2]


def test_laws_policies_and_the_file_of_requests(folder, capsys):
    line = (
        "--arrivals poisson:rate=2 --lengths lmsys --requests 300 --hardware llama2-70b-a100-tp4 --kv-tokens 3000"
        " --policy vllm --policy spjf --predictions lognormal:sigma=0.5 --slo-ttft-s 2 --slo-tpot-s 0.2"
        " --max-batch 16 --token-budget 2048 --block-tokens 8 --watermark 0.02 --seed 7 --per-request out.parquet"
    )
    rows = json.loads(printed(capsys, f"{line} --json"))
    assert [row["policy"] for row in rows] == ["vllm", "spjf"]
    assert {row["hardware"] for row in rows} == {"llama2-70b-a100-tp4"}
    assert rows[0]["mean_latency_s"] != rows[1]["mean_latency_s"]
    table = pyarrow.parquet.read_table("out.parquet").to_pandas()
    assert [path.name for path in folder.iterdir() if path.suffix == ".parquet"] == ["out.parquet"]
    for row in rows:
        mine = table[table.policy == row["policy"]]
        assert list(mine.request) == list(range(300))
        assert mine.latency_s.mean() == pytest.approx(row["mean_latency_s"])
        assert mine.ttft_s.quantile(0.99) == pytest.approx(row["p99_ttft_s"])
        assert mine.tpot_s.mean() == pytest.approx(row["mean_tpot_s"])
        assert mine.preemptions.sum() == row["preemptions"]
        good = (mine.ttft_s <= 2) & ~(mine.tpot_s > 0.2)
        assert row["goodput_per_s"] == pytest.approx(good.sum() / row["makespan_s"])
        assert row["cost_usd"] == pytest.approx(4 * 2.21 * row["makespan_s"] / 3600)
        assert row["energy_j"] == pytest.approx(987 * row["busy_share"] * row["makespan_s"])
    both = [table[table.policy == name].reset_index(drop=True) for name in ("vllm", "spjf")]
    for column in ("arrival_s", "input_tokens", "output_tokens", "predicted_output_tokens"):
        assert both[0][column].equals(both[1][column])
    again = json.loads(printed(capsys, f"{line} --json"))
    assert [{**row, "wall_s": 0} for row in again] == [{**row, "wall_s": 0} for row in rows]
    other = json.loads(printed(capsys, f"{line.replace('--seed 7', '--seed 8')} --json"))
    assert other[0]["mean_latency_s"] != rows[0]["mean_latency_s"]


def test_the_table_has_a_column_per_policy(folder, capsys):
    out = printed(capsys, f"--trace trace.csv --hardware {HARDWARE} --policy vllm --policy vllm:mechanism=orca")
    lines = out.splitlines()
    assert lines[0].split() == ["vllm", "vllm:mechanism=orca"]
    assert any(line.split()[:2] == ["latency:", "mean"] for line in lines)
    assert "nan" not in out and "energy" not in out


def test_predictions_of_the_trace_are_used_and_replaced(folder, capsys):
    # Two requests that arrive together, one slot: the one that is said to be shorter is first.
    Path("told.csv").write_text(f"{HEAD},predicted_output_tokens\n0,10,50,1\n0,10,2,9\n")
    line = f"--trace told.csv --hardware {HARDWARE} --max-batch 1 --policy spjf --json"
    wrong = json.loads(printed(capsys, line))
    right = json.loads(printed(capsys, f"{line} --predictions perfect"))
    assert wrong["mean_latency_s"] > right["mean_latency_s"]


def test_names_are_listed(folder, capsys):
    out = printed(capsys, "--list")
    assert all(name in out for name in ("opt-13b-a100-tp1", "poisson", "azure-conv", "trail", "sarathi"))


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["llm", "--help"])
    out = capsys.readouterr().out
    options = "trace arrivals lengths requests hardware policy predictions kv-tokens max-batch token-budget json seed"
    assert ended.value.code == 0 and all(f"--{name} " in out for name in options.split())


GOOD = f"--trace trace.csv --hardware {HARDWARE} --policy vllm"
LAW = f"--hardware {HARDWARE} --policy vllm --arrivals poisson:rate=1 --requests 10 --lengths lmsys"
BAD = [
    ("", "the following arguments are required: --hardware"),
    ("--hardware unit-slots", "the following arguments are required: --policy"),
    ("--hardware unit-slots --policy vllm", "there are no requests to serve: give --trace FILE"),
    (f"{GOOD} --polcy x", "unrecognized arguments: --polcy x"),
    (f"{GOOD} --kv-tokens", "argument --kv-tokens: expected one argument"),
    (f"{GOOD} --arrivals closed", "--trace and --arrivals were both given"),
    (f"{GOOD} --lengths lmsys", "--trace and --lengths were both given"),
    (f"{GOOD} --requests 3", "--trace and --requests were both given"),
    ("--hardware unit-slots --policy vllm --arrivals closed", "give --lengths LAW with --arrivals"),
    ("--hardware unit-slots --policy vllm --lengths lmsys", "give --arrivals LAW with --lengths"),
    ("--hardware unit-slots --policy vllm --arrivals closed --lengths lmsys", "say how many requests"),
    (LAW.replace("10", "0"), "--requests is 0: give a whole number of at least 1"),
    (LAW.replace("10", "many"), "--requests is 'many'"),
    (LAW.replace("rate=1", "rate=-1"), "has rate=-1"),
    (LAW.replace("poisson", "poison"), "did you mean 'poisson'?"),
    (LAW.replace("lmsys", "lmsis"), "did you mean 'lmsys'?"),
    (LAW.replace("poisson:rate=1", "replay"), "need lengths measured with times"),
    (GOOD.replace("trace.csv", "none.csv"), "cannot read the trace 'none.csv'"),
    (GOOD.replace("trace.csv", "none.parquet"), "cannot read the trace 'none.parquet'"),
    (GOOD.replace("trace.csv", "bad.parquet"), "the trace 'bad.parquet' is not readable as Parquet"),
    (GOOD.replace("trace.csv", "short.parquet"), "the trace 'short.parquet' has no column 'output_tokens'"),
    (GOOD.replace("trace.csv", "nan.parquet"), "has nan in row 2, column 'output_tokens'"),
    (GOOD.replace("trace.csv", "bool.parquet"), "has True in row 1, column 'input_tokens'"),
    (GOOD.replace("trace.csv", "nan.csv"), "has 'nan' in line 3, column 'output_tokens'"),
    (GOOD.replace("trace.csv", "half.csv"), "has '1.5' in line 2, column 'input_tokens'"),
    (GOOD.replace("trace.csv", "empty.csv"), "the trace 'empty.csv' is empty"),
    (f"--trace trace.csv --policy vllm --hardware {HARDWARE}".replace("decode_step_ms", "decode_step"), "did you mean"),
    ("--trace trace.csv --policy vllm --hardware opt-13b-a100", "did you mean 'opt-13b-a100-tp4'?"),
    ("--trace trace.csv --policy vllm --hardware none.toml", "cannot read the hardware file 'none.toml'"),
    ("--trace trace.csv --policy vllm --hardware bad.toml", "is not valid TOML"),
    ("--trace trace.csv --policy vllm --hardware prefill_step_ms=20", "a step of decode that takes 0 ms"),
    ("--trace trace.csv --policy vllm --hardware decode_step_ms=fast", "has decode_step_ms=fast"),
    (GOOD.replace("vllm", "vlm"), "unknown policy 'vlm'"),
    (GOOD.replace("vllm", "none.py"), "none.py"),
    (GOOD.replace("vllm", "vllm:c=1"), "unknown parameter of policy 'vllm' 'c'"),
    (GOOD.replace("vllm", "vllm:mechanism=orka"), "did you mean 'orca'?"),
    (GOOD.replace("vllm", "vllm:memory=swap"), "memory=swap needs kv_bytes_per_token and swap_bytes_per_s"),
    (GOOD.replace("vllm", "spjf"), "looks at predictions, but the requests have none"),
    (f"{GOOD} --policy spjf", "looks at predictions, but the requests have none"),
    (f"{GOOD} --predictions perfct", "unknown predictor 'perfct': did you mean 'perfect'?"),
    (f"{GOOD} --predictions lognormal:sigma=-1", "has sigma=-1"),
    (f"{GOOD} --predictions trail:mae=0.1", "has errors from"),
    (f"{GOOD} --kv-tokens -1", "--kv-tokens is -1: give a whole number of at least 0"),
    (f"{GOOD} --kv-tokens 1e3", "--kv-tokens is '1e3'"),
    (f"{GOOD} --kv-tokens 99999999999999999999", "below 2^62"),
    (f"{GOOD} --kv-tokens 16", "can never fit"),
    (f"{GOOD} --max-batch 0", "--max-batch is 0"),
    (f"{GOOD} --token-budget 0", "--token-budget is 0"),
    (f"{GOOD} --block-tokens 0", "--block-tokens is 0"),
    (f"{GOOD} --watermark 1", "--watermark is 1: give a share from 0 to below 1"),
    (f"{GOOD} --watermark nan", "--watermark is nan"),
    (f"{GOOD} --watermark low", "--watermark is 'low', which is not a number"),
    (f"{GOOD} --slo-ttft-s 0", "--slo-ttft-s is 0: give a number of seconds above 0"),
    (f"{GOOD} --slo-tpot-s soon", "--slo-tpot-s is 'soon', which is not a number"),
    (f"{GOOD} --slo-tpot-s inf", "--slo-tpot-s is inf"),
    (f"{GOOD} --seed -1", "--seed is -1"),
    (f"{GOOD} --per-request out.csv", "give a file that ends in .parquet"),
    (f"{GOOD} --per-request trace.csv/out.parquet", "cannot be written"),
    (f"{GOOD} --per-request folder.parquet", "which is a folder"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), BAD, ids=[f"{k}: {s[:50]}" for k, (_, s) in enumerate(BAD)])
def test_bad_input_gets_one_sentence(folder, capsys, line, sentence):
    for name, text in (
        ("nan.csv", f"{HEAD}\n0,1,1\n0,1,nan\n"),
        ("half.csv", f"{HEAD}\n0,1.5,1\n"),
        ("empty.csv", ""),
        ("bad.toml", "decode_step_ms ="),
        ("bad.parquet", "this is no Parquet"),
    ):
        Path(name).write_text(text)
    Path("folder.parquet").mkdir()
    columns = {"arrival_s": [0.0, 1.0], "input_tokens": [3, 4]}
    pyarrow.parquet.write_table(pyarrow.table(columns), "short.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns | {"output_tokens": [1, None]}), "nan.parquet")
    bools = columns | {"input_tokens": [True, False], "output_tokens": [1, 2]}
    pyarrow.parquet.write_table(pyarrow.table(bools), "bool.parquet")
    before = sorted(path.name for path in folder.rglob("*"))
    code = cli.main(["llm", *line.split(), *(["--per-request", "left.parquet"] if "--per-request" not in line else [])])
    said = capsys.readouterr()
    assert code == 2 and said.out == ""
    assert sentence in said.err, said.err
    assert said.err.startswith("openqueues: ") and said.err.count("\n") == 1 and said.err.rstrip()[-1] in ".?"
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_policy_that_fails_after_another_leaves_the_old_file_alone(folder, capsys):
    printed(capsys, f"{GOOD} --per-request out.parquet --json")
    before = Path("out.parquet").read_bytes()
    line = f"{GOOD.replace('trace.csv', 'more.csv')} --policy spjf --per-request out.parquet"
    Path("more.csv").write_text(f"{TRACE}200,9,9\n")
    assert cli.main(["llm", *line.split()]) == 2
    assert "looks at predictions" in capsys.readouterr().err
    assert Path("out.parquet").read_bytes() == before
    assert [path.name for path in folder.glob("*out*")] == ["out.parquet"]
