"""Laws from measured operators, and the engine against measured rows: a small made-up package, and the real one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from openqueues import hardware_validate, operators, silicon, silicon_fit, silicon_results
from openqueues.cli import main
from openqueues.models.errors import InputError
from openqueues.models.llm import Hardware, hardware_law
from openqueues.operators import Operators, Setting

SETTING = Setting("llama-3.1-8b", "h100", "vllm", 2, "fp8")
LAYERS, HIDDEN, INNER, WORDS = 3, 256, 512, 1024


def write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def mesh(*axes):
    return [column.ravel() for column in np.meshgrid(*axes, indexing="ij")]


@pytest.fixture
def package(tmp_path):
    """Tables in which a product takes m (n + k) 1e-6 ms, attention 2e-6 ms a token: sums can be done by hand."""
    config = {"num_hidden_layers": LAYERS, "hidden_size": HIDDEN, "intermediate_size": INNER, "vocab_size": WORDS}
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs/meta-llama--Meta-Llama-3.1-8B_config.json").write_text(
        json.dumps(config | {"num_attention_heads": 4, "num_key_value_heads": 2})
    )
    data = tmp_path / "systems/data/h100_sxm"
    data.mkdir(parents=True)
    (tmp_path / "systems/h100_sxm.yaml").write_text(
        "gpu:\n  mem_bw: 1.0e+12 # B/s\n  mem_bw_empirical_scaling_factor: 0.5\n"
        "  mem_empirical_constant_latency: 0.000001\n  mem_capacity: 85899345920\n"
    )
    m, n, k = mesh([1, 64, 4096, 16384], [32, 512, 2048], [32, 512, 2048])
    for version, factor in (("0.9.0", 5.0), ("0.24.0", 1.0)):
        columns = {"m": np.tile(m, 2), "n": np.tile(n, 2), "k": np.tile(k, 2)}
        columns["gemm_dtype"] = np.repeat(["fp8", "bfloat16"], len(m))
        write(
            data / f"gemm/vllm/{version}/gemm_perf.parquet", latency=factor * np.tile(m * (n + k), 2) * 1e-6, **columns
        )
    heads = {"num_heads": 2, "num_key_value_heads": 1, "head_dim": 128, "window_size": 0}
    for table, length, lengths in (
        ("context", "isl", [1, 4096, 16384]),
        ("generation", "step", [1, 4095, 32767]),
    ):
        batch, tokens = mesh([1, 16, 512], lengths)
        columns = {key: np.full(len(batch), value) for key, value in heads.items()}
        columns |= {"kv_cache_dtype": ["bfloat16"] * len(batch), "batch_size": batch, length: tokens}
        time = batch * (tokens + (table == "generation")) * 2e-6
        write(data / f"attention/vllm/0.24.0/{table}_attention_perf.parquet", latency=time, **columns)
    size, kernel = mesh([128, 1 << 20, 1 << 30], ["custom_eager", "custom_graph"])
    columns = {"num_gpus": np.full(len(size), 2), "message_size": size.astype(int), "kernel_source": kernel}
    latency = np.where(kernel == "custom_eager", 0.02, 0.005) + size.astype(float) * 1e-9
    write(data / "comm/vllm/0.24.0/custom_allreduce_perf.parquet", latency=latency, **columns)
    return tmp_path


def by_hand(prompts: int, length: int, decoding: int, context: int) -> float:
    tokens = prompts * length + decoding
    kernels = [(4 * 128, HIDDEN), (HIDDEN, 2 * 128), (INNER, HIDDEN), (HIDDEN, INNER // 2)]
    products = sum(tokens * (n + k) for n, k in kernels) * 1e-6
    memory = lambda values: 2 * values / 0.5e9 + 0.001  # noqa: E731
    passes = 2 * memory(tokens * 4 * HIDDEN) + memory(tokens * 3 * INNER // 2)
    reduce = 2 * ((0.02 if prompts else 0.005) + 2 * tokens * HIDDEN * 1e-9)
    attention = (prompts * length + decoding * context) * 2e-6
    words = (prompts + decoding) * (WORDS // 2 + HIDDEN) * 1e-6 + memory(2 * tokens * HIDDEN)
    return LAYERS * (products + passes + reduce + attention) + words


@pytest.mark.parametrize("step", [(0, 0, 1, 128), (0, 0, 48, 1000), (2, 512, 0, 0), (1, 900, 31, 2000)])
def test_a_step_is_the_sum_of_its_operators(package, step):
    assert Operators(SETTING, package).step_ms(*step) == pytest.approx(by_hand(*step), rel=1e-9)


def test_the_newest_tables_are_read_and_named(package):
    tables = Operators(SETTING, package)
    tables.step_ms(1, 100, 1, 100)
    assert tables.used == {
        "gemm_perf": "0.24.0",
        "context_attention_perf": "0.24.0",
        "generation_attention_perf": "0.24.0",
        "custom_allreduce_perf": "0.24.0",
    }


def test_a_product_is_never_slower_than_a_larger_one(package):
    path = package / "systems/data/h100_sxm/gemm/vllm/0.24.0/gemm_perf.parquet"
    table = pyarrow.parquet.read_table(path)
    slow = np.where(table["m"].to_numpy() == 64, 1e3, table["latency"].to_numpy())
    pyarrow.parquet.write_table(table.set_column(table.schema.get_field_index("latency"), "latency", [slow]), path)
    tables = Operators(SETTING, package)
    assert tables.product_ms(64, 512, 512, "fp8") == tables.product_ms(4096, 512, 512, "fp8")


def test_what_was_not_measured_is_no_step(package):
    assert math.isnan(Operators(SETTING, package).step_ms(0, 0, 1, 100_000))
    with pytest.raises(InputError, match="no table gemm_perf of sglang"):
        Operators(Setting("llama-3.1-8b", "h100", "sglang", 2, "fp8"), package).product_ms(1, 32, 32, "fp8")


def test_a_law_of_the_tables_holds_at_steps_between_them(package, monkeypatch):
    monkeypatch.setattr(operators, "package_version", lambda: "0")
    fit = silicon.operator_fit(SETTING, package)
    # Attention here is linear in tokens, which the law can say exactly; so it is everywhere in the range.
    assert np.abs(fit.error).max() < 0.01
    assert fit.law.step_ms(900, 900**2, 31, 31 * 2000) == pytest.approx(by_hand(1, 900, 31, 2000), rel=0.02)
    assert "gemm_perf 0.24.0" in fit.law.source and fit.law.kv_tokens > 0


def rows_of(package, **changes) -> list[silicon.Row]:
    row = {
        "id": "a", "silicon_data_source": "source_file=2026.csv; silicon_concurrency=8; x", "backend": "vllm",
        "backend_version": "", "model_path": "meta-llama/Llama-3.1-70B", "system": "h100_sxm", "mode": "agg",
        "isl": "1024", "osl": "128", "gemm_quant_mode": "fp8", "batch_size": "9", "tp_size": "4.0", "pp_size": "1.0",
        "silicon_ttft_ms": "100.5", "silicon_tpot_ms": "10.25",
    } | changes  # fmt: skip
    (package / "systems" / "silicon_sample.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    return silicon.measured_rows(package)


def test_rows_are_read_as_they_are_meant(package):
    (row,) = rows_of(package)
    assert row.setting == Setting("llama-3.1-70b", "h100", "vllm", 4, "fp8")
    assert (row.input_tokens, row.output_tokens, row.clients, row.varied) == (1024, 128, 8, True)
    assert (row.ttft_ms, row.tpot_ms) == (100.5, 10.25)
    (row,) = rows_of(package, silicon_data_source="source_file=/home/x.csv", gemm_quant_mode="")
    assert (row.clients, row.varied, row.setting.precision) == (9, False, "bf16")


@pytest.mark.parametrize(
    "other", [{"mode": "disagg"}, {"model_path": "a/moe"}, {"system": "b200_sxm"}, {"pp_size": "2"}]
)
def test_rows_of_other_things_are_left_out(package, other):
    assert rows_of(package, **other) == []


def test_half_of_the_configurations_of_a_group_may_be_fitted_to_whatever_their_order():
    setting = Setting("llama-3.1-8b", "h200", "vllm", 1, "fp8")
    rows = [
        silicon.Row(f"{tokens}-{clients}", setting, "", tokens, 100, clients, False, 1.0, 1.0)
        for tokens in range(100, 110)
        for clients in (1, 2)
    ]
    half = silicon.fitting_half(rows)
    assert len(half) == 5 and half == silicon.fitting_half(rows[::-1])


LAW = Hardware(prefill_step_ms=2, prefill_token_ms=0.02, decode_step_ms=6, decode_seq_ms=0.1, kv_token_ms=1e-4)


@pytest.fixture
def given_law(monkeypatch):
    """Stands in for all laws of operators."""
    forget = [silicon.law_of.cache_clear, silicon._predicted.cache_clear]
    given = {"law": LAW}
    monkeypatch.setattr(silicon, "operator_law", lambda setting: given["law"])
    for clear in forget:
        clear()
    yield given
    for clear in forget:
        clear()


def measured(serving: silicon.Serving, shapes, backend: str = "vllm") -> list[silicon.Row]:
    """Rows as the engine itself serves them."""
    setting, rows = Setting("qwen3-32b", "h100", backend, 2), []
    for tokens, clients in shapes:
        row = silicon.Row(f"{tokens}-{clients}", setting, "", tokens, 64, clients, False, 1.0, 1.0)
        ttft, tpot = silicon.predictions([row], serving)[0][0]
        rows.append(replace(row, ttft_ms=float(ttft), tpot_ms=float(tpot)))
    return rows


SHAPES = [(512, 2), (512, 64), (1024, 8), (1024, 32), (1536, 4), (1536, 16), (2048, 2), (2048, 32)]


def test_the_correction_of_rows_that_a_slowed_law_made_is_found(given_law):
    true = silicon.Serving("sarathi", 4096, 0.0, 0, "bf16", scale=1.3, step_ms=1.5, seq_ms=0.15)
    rows = measured(true, SHAPES)
    one = silicon_fit.found(("qwen3-32b", "h100", "vllm", "bf16"), rows)
    assert one.freedom == "serving, scale, step, sequence" and one.corrects
    assert one.tpot < 0.05 and one.ttft < 0.05, "rows left out are predicted, which the law as it was is 30% off"
    assert one.serving.prompts == 0 and one.serving.rounds == 10
    wanted = np.array([[row.ttft_ms, row.tpot_ms] for row in rows])
    assert silicon.predictions(rows, one.serving)[0] == pytest.approx(wanted, rel=0.02)


def test_repeated_prompts_are_seen_and_the_times_are_then_left_as_they_are(given_law):
    true = silicon.Serving("sarathi", 8192, 0.0, 0, "bf16", prompts=100)
    rows = measured(true, [(tokens, clients) for tokens in (512, 1024, 2048, 4096) for clients in (16, 64)])
    one = silicon_fit.found(("qwen3-32b", "h100", "vllm", "bf16"), rows)
    assert (one.freedom, one.corrects, one.tpot, one.ttft) == ("serving", False, 0.0, 0.0)
    assert one.serving == true


def test_a_repeated_prompt_is_computed_once_and_never_less_than_its_last_token(given_law):
    row = silicon.Row("x", Setting("qwen3-32b", "h100", "vllm", 2), "", 1024, 64, 4, False, 1.0, 1.0)
    fresh = silicon.Serving("sarathi", 8192, 0.0, 0, "bf16")
    times = [silicon.run_row(row, LAW, replace(fresh, prompts=count))[0] for count in (0, 1000, 4, 1)]
    assert times == sorted(times, reverse=True) and times[-1] < times[0] / 3
    assert times[-1] > LAW.prefill_step_ms


def test_what_the_held_out_rows_say_changes_nothing(given_law, package, monkeypatch):
    monkeypatch.setattr(operators, "package_version", lambda: "0")
    true = silicon.Serving("sarathi", 8192, 0.0, 0, "bf16", scale=1.2)
    rows = measured(true, [(tokens, 4) for tokens in range(512, 512 + 16 * 64, 64)])
    half = silicon.fitting_half(rows)
    far_off = [row if row.configuration in half else replace(row, tpot_ms=50 * row.tpot_ms) for row in rows]
    (found,), (other,) = (list(hardware_validate.validated(some, str)[1].values()) for some in (rows, far_off))
    assert found == other and found.corrects
    errors = [silicon_results.summaries(hardware_validate.validated(some, str)[0])[0] for some in (rows, far_off)]
    assert errors[0].good and not errors[1].good
    laws = [hardware_validate.law_of(rows[0].setting, found, error) for error in errors]
    assert laws[0].decode_step_ms == laws[1].decode_step_ms == pytest.approx(1.2 * LAW.decode_step_ms, rel=0.05)
    assert "TPOT 98.0%" in laws[1].source


def test_a_group_with_few_configurations_is_left_as_it_is(given_law):
    rows = measured(silicon.Serving("sarathi", 2048, 0.0, 0, "bf16", scale=3.0), SHAPES[:3])
    one = silicon_fit.found(("qwen3-32b", "h100", "vllm", "bf16"), rows)
    assert one.freedom == "nothing" and not one.corrects and math.isnan(one.tpot)
    assert (one.serving.scale, one.serving.step_ms, one.serving.seq_ms) == (1.0, 0.0, 0.0)


def test_a_row_that_cannot_run_is_kept_with_the_reason(given_law):
    given_law["law"] = Hardware(decode_step_ms=5, kv_tokens=500)
    row = silicon.Row("x", Setting("qwen3-32b", "h100", "vllm", 2), "", 1024, 64, 4, False, 1.0, 1.0)
    times, (reason,) = silicon.predictions([row], silicon.Serving("sarathi", 2048, 0.0, 0, "bf16"))
    assert np.isnan(times).all() and "request 0 of 1024 input" in reason


def result(half: str, tpot: float, ttft: float = 100.0, failed: str = "") -> dict:
    row = dict.fromkeys(silicon_results.COLUMNS, "") | dict.fromkeys(silicon_results.NUMBERS, 1.0)
    row |= {"half": half, "tpot_ms": 10.0, "ttft_ms": 100.0, "model": "m"}
    return row | {"predicted_tpot_ms": tpot, "predicted_ttft_ms": ttft, "failed": failed}


def test_errors_are_of_the_held_out_rows_and_one_that_cannot_run_is_the_worst(tmp_path):
    rows = [result("fitting", 90.0), result("held-out", 10.5), result("held-out", 8.0)]
    rows.append(result("held-out", math.nan, math.nan, "too long"))
    one, everything = silicon_results.summaries(rows)
    assert (one.fitting, one.held_out, one.failed) == (1, 3, 1)
    assert one.tpot == pytest.approx(0.2) and one.tpot_within == pytest.approx(1 / 3) and not one.good
    assert everything.name == ("all",) and one.ttft == 0
    silicon_results.write(rows, tmp_path / "rows.csv")
    again = silicon_results.read(tmp_path / "rows.csv")
    assert silicon_results.summary(one.name, again) == one


def test_the_shipped_rows_keep_what_they_promise():
    everything = silicon_results.summaries(silicon_results.read())[-1]
    assert everything.held_out > 350
    assert everything.good, (everything.tpot, everything.ttft)
    readme = " ".join((Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").split())
    assert f"{everything.fitting + everything.held_out} measured serving runs" in readme
    assert f"within {100 * everything.tpot:.1f}% of the measured time per output token and " in readme
    assert f"and {100 * everything.ttft:.1f}% of the time to first token" in readme


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(operators, "find_spec", lambda name: None)
    for command in (["fit", "--model", "llama-3.1-8b"], ["validate"]):
        assert main(["hardware", *command]) == 2
        said = capsys.readouterr().err
        assert "uv sync --extra hardware" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "--model", "gpt-9"], "gpt-9"),
        (["fit", "--model", "llama-3.1-8b", "--gpu", "a100", "--precision", "fp8"], "A100 has no products in fp8"),
        (["fit", "--model", "llama-3.1-8b", "--tp", "3"], "tp is 3"),
        (["fit"], "either --steps FILE.csv or --model M"),
        (["validate", "--out", "rows.json"], "ends in .csv"),
    ],
)
def test_wrong_options_are_named(arguments, said, capsys):
    assert main(["hardware", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(find_spec("aiconfigurator_core") is None, reason="the extra `hardware` is not installed")
def test_a_real_model_is_fitted_from_the_package(tmp_path, capsys):
    out = tmp_path / "law.toml"
    options = ["--model", "llama-3.1-8b", "--gpu", "h100", "--backend", "vllm", "--precision", "fp8"]
    assert main(["hardware", "fit", *options, "--out", str(out)]) == 0
    law = hardware_law(str(out))
    # 8 billion weights of a byte at 3.35 TB/s take 2.4 ms, and a prompt of 4096 tokens 33 ms at 1979 TFLOP/s.
    assert 2.4 < law.step_ms(0, 0, 1, 500) < 6
    assert 33 < law.step_ms(4096, 4096**2, 0, 0) < 100
