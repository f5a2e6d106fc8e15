"""Iteration-time laws: the catalogue against the published numbers, and every form of step by hand."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import generated, serve, timing
from openqueues.models.llm.hardware import LAYOUT, Hardware, hardware_law, names

DATA = os.environ.get("OPENQUEUES_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="OPENQUEUES_DATA is not set")

# Typed from the published tables: ms, in the digits printed there.
# name: prefill (step, per token, per squared token), decode (step, per sequence, per KV token), same from batch 95.
ADDITIVE = {
    "llama2-70b-2xa100-mcsf": ("44.6 0.378 0", "44.6 0.52 0.0027", ""),
    "opt-13b-a100-tp1": ("18.10 0.10191 7.12e-6", "19.93 0.0385 6.27e-4", "7.17 0.1583 5.80e-4"),
    "opt-13b-a100-tp2": ("14.74 0.06858 2.45e-6", "13.29 0.0630 3.41e-4", "10.64 0.0856 3.12e-4"),
    "opt-13b-a100-tp4": ("12.06 0.03808 5.2e-7", "10.26 0.0327 1.88e-4", "10.48 0.0457 1.71e-4"),
    "opt-66b-a100-tp2": ("43.06 0.27423 2.25e-5", "48.29 0.1276 9.42e-4", "28.73 0.2962 4.74e-4"),
    "opt-66b-a100-tp4": ("29.44 0.15135 8.3e-6", "30.76 0.0633 4.52e-4", "27.47 0.1248 4.05e-4"),
    "opt-66b-a100-tp8": ("25.49 0.10659 3.4e-6", "23.16 0.0480 2.27e-4", "21.72 0.0898 3.76e-4"),
    "llama2-70b-a100-tp4": ("-87 0.329 0", "43.4 0.224 3.4e-4", ""),
    "llama2-70b-h100-tp4": ("6.9 0.1073 0", "28.8 0.282 9.4e-5", ""),
    "llama2-70b-a100-tp8": ("-73 0.231 0", "44.1 0.211 3.2e-4", ""),
    "llama2-70b-h100-tp8": ("10.1 0.0910 0", "29.8 0.208 1.7e-4", ""),
    "bloom-176b-a100-tp8": ("20.5 0.352 0", "47.8 0.465 4.4e-4", ""),
    "bloom-176b-h100-tp8": ("6.6 0.154 0", "35.5 0.317 1.8e-4", ""),
    "gptj-6b-a100-infercept": ("10 0.0463 0", "10 0.0463 0", ""),
    "vicuna-13b-2xa100-infercept": ("15.4 0.0279 0", "15.4 0.0279 0", ""),
    "gptj-6b-a100-mars": ("16.92 0.0408 0", "16.92 0.0408 0", ""),
    "llama2-7b-a100-yang": ("22.5 0 0", "22.5 0 0", ""),
    "vicuna-13b-ssjf": ("120 0 0", "20 0 0", ""),
    "v100-inoue": ("1.8874 0.1438 0", "1.8874 0.1438 0", ""),
    "p4-int8-inoue": ("1.4284 0.5833 0", "1.4284 0.5833 0", ""),
    "codellama-34b-a100-dai": ("11.28 0 0", "11.28 0 0", ""),
    "mistral-7b-rtx6000ada-slai": ("0 0 0", "0 0 0", ""),
    "unit-slots": ("1000 0 0", "1000 0 0", ""),
}
PLACES = (
    ("prefill_step_ms", "prefill_token_ms", "prefill_token2_ms"),
    ("decode_step_ms", "decode_seq_ms", "kv_token_ms"),
    ("decode2_step_ms", "decode2_seq_ms", "kv2_token_ms"),
)
KV_BYTES = {
    "opt-66b": 2_359_296,
    "opt-13b": 819_200,
    "vicuna-13b": 819_200,
    "llama2-7b": 524_288,
    "gptj-6b": 458_752,
    "llama2-70b": 327_680,
    "codellama-34b": 196_608,
    "mistral-7b": 131_072,
    "bloom-176b": 2 * 70 * 14_336 * 2,
}
CAPACITY = {
    "llama2-70b-2xa100-mcsf": 16_492,
    "opt-13b-a100-tp1": 66_144,
    "opt-13b-a100-tp2": 163_008,
    "opt-13b-a100-tp4": 356_736,
    "opt-66b-a100-tp2": 11_600,
    "opt-66b-a100-tp4": 78_496,
    "opt-66b-a100-tp8": 212_304,
}


def printed(text: str, value: float) -> bool:
    """Whether the value rounds to the printed number, in its digits."""
    mantissa, _, exponent = text.partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return abs(value - float(text)) <= 0.5000001 * 10.0**-digits


def test_the_catalogues_have_the_published_laws_and_those_fitted_to_measured_operators():
    fitted = [name for name in names() if name.endswith(("-vllm", "-trtllm", "-sglang"))]
    assert set(names()) == set(ADDITIVE) | set(fitted)
    for name in names():
        law = hardware_law(name)
        assert law.name == name and law.source
        assert hardware_law(law) is law
    every = ("llama-3.1-8b", "llama-3.1-70b", "qwen3-32b"), ("a100", "h100", "h200"), ("vllm", "sglang", "trtllm")
    for model, gpu, backend in itertools.product(*every):
        assert [name for name in fitted if name.startswith(f"{model}-{gpu}-tp") and name.endswith(f"-{backend}")]


def test_fitted_laws_say_what_they_were_compared_with_and_tables_never_let_a_larger_batch_be_faster():
    for name in names()[len(ADDITIVE) :]:
        law = hardware_law(name)
        compared = ("median errors on", "no end-to-end measurement", "differ too much")
        assert "aiconfigurator-core" in law.source and any(words in law.source for words in compared)
        times = [law.step_ms(0, 0, batch, 1000 * batch) for batch in (1, 2, 8, 32, 64, 128, 256)]
        assert times == sorted(times) and times[0] > 1.0
        assert law.kv_tokens > 0 and law.kv_bytes_per_token > 0


@pytest.mark.parametrize("name", ADDITIVE)
def test_coefficients_are_the_published_ones(name):
    law = hardware_law(name)
    assert law.from_batch == (95 if ADDITIVE[name][2] else 0)
    for text, keys in zip(ADDITIVE[name], PLACES, strict=True):
        for number, key in zip(text.split() or ["0", "0", "0"], keys, strict=True):
            assert printed(number, getattr(law, key)), (key, number, getattr(law, key))


def test_a_printed_number_allows_no_more_than_its_rounding():
    assert printed("2.45e-6", 2.44957e-6) and not printed("2.45e-6", 2.456e-6)
    assert printed("-87", -86.98) and not printed("0.0630", 0.0631)


@pytest.mark.parametrize("name", ADDITIVE)
def test_memory_is_the_published_one(name):
    law = hardware_law(name)
    known = [value for model, value in KV_BYTES.items() if name.startswith(f"{model}-")]
    assert law.kv_bytes_per_token == (known[0] if known else 0)
    assert law.kv_tokens == CAPACITY.get(name, 0)


def test_an_additive_step_by_hand():
    law = hardware_law("llama2-70b-2xa100-mcsf")
    # (0.0027 avg_ctx + 0.52) B + 44.6 + 0.378 prompt_tokens with avg_ctx = 150, B = 4, 200 prompt tokens
    assert law.step_ms(200, 200**2, 4, 600) == pytest.approx((0.0027 * 150 + 0.52) * 4 + 44.6 + 0.378 * 200)
    assert law.step_ms(0, 0, 4, 600) == pytest.approx((0.0027 * 150 + 0.52) * 4 + 44.6)
    assert law.step_ms(200, 200**2, 0, 0) == pytest.approx(44.6 + 0.378 * 200)


def test_squared_prompts_and_the_second_regime_by_hand():
    law = hardware_law("opt-13b-a100-tp1")
    prefill = 18.1025 + 0.101912 * 300 + 7.12226e-6 * (100**2 + 200**2)
    assert law.step_ms(300, 100**2 + 200**2, 0, 0) == pytest.approx(prefill)
    assert law.step_ms(0, 0, 94, 10_000) == pytest.approx(19.9347 + 0.038507 * 94 + 6.26936e-4 * 10_000)
    assert law.step_ms(0, 0, 95, 10_000) == pytest.approx(7.16619 + 0.158311 * 95 + 5.798e-4 * 10_000)
    # A step that prefills too is no step of the second regime.
    mixed = prefill + 0.038507 * 95 + 6.26936e-4 * 10_000
    assert law.step_ms(300, 100**2 + 200**2, 95, 10_000) == pytest.approx(mixed)


def test_prefill_may_be_free():
    law = hardware_law("decode_step_ms=1")
    assert law.step_ms(500, 500**2, 0, 0) == 0 and law.step_ms(0, 0, 3, 60) == 1


def test_squares_of_chunks_add_up_to_those_of_the_prompt():
    law = hardware_law("prefill_token2_ms=0.5,prefill_step_ms=1,decode_step_ms=1")
    whole = law.step_ms(30, 30**2, 0, 0)
    chunks = [law.step_ms(b - a, b * b - a * a, 0, 0) for a, b in ((0, 7), (7, 20), (20, 30))]
    assert sum(chunks) - 2 * law.prefill_step_ms == pytest.approx(whole)


def test_a_staircase_by_hand():
    law = hardware_law("codellama-34b-a100-dai")
    for tokens, tiles in ((1, 1), (128, 1), (129, 2), (512, 4)):
        assert law.step_ms(0, 0, tokens, 0) == pytest.approx(11.28 + 35.47 * tiles)
        assert law.step_ms(tokens, tokens**2, 0, 0) == pytest.approx(11.28 + 35.47 * tiles)
    assert law.step_ms(100, 100**2, 29, 0) == pytest.approx(11.28 + 35.47 * 2)
    # 512 tokens in 153.16 ms: 3.3429 tokens/ms, and 16.71 requests/s of 100 + 100 tokens.
    assert 512 / law.step_ms(0, 0, 512, 0) == pytest.approx(3.3429, abs=5e-5)
    assert 1000 * 512 / law.step_ms(0, 0, 512, 0) / 200 == pytest.approx(16.71, abs=5e-3)


def test_a_table_by_hand():
    law = hardware_law("mistral-7b-rtx6000ada-slai")
    points = {64: 22.72, 128: 24.07, 256: 28.82, 384: 37.80, 512: 46.51, 768: 57.08, 1024: 74.69}
    assert dict(zip(law.table_tokens, law.table_ms, strict=True)) == points
    for tokens, ms in points.items():
        assert law.step_ms(0, 0, tokens, 10**6) == pytest.approx(ms)
    assert law.step_ms(100, 100**2, 92, 0) == pytest.approx((24.07 + 28.82) / 2)
    assert law.step_ms(0, 0, 1, 1) == 22.72
    assert law.step_ms(0, 0, 1280, 0) == pytest.approx(74.69 + (74.69 - 57.08))


def test_a_roofline_by_hand():
    law = hardware_law("decode_step_ms=2,kv_token_ms=0.001,prefill_step_ms=1,compute_step_ms=3,compute_token_ms=0.01")
    assert law.step_ms(0, 0, 10, 500) == pytest.approx(3.1)
    assert law.step_ms(0, 0, 10, 5000) == pytest.approx(7.0)
    assert law.step_ms(900, 0, 100, 0) == pytest.approx(13.0)


def test_a_negative_constant_has_a_floor():
    law = hardware_law("llama2-70b-a100-tp4")
    assert law.step_ms(100, 100**2, 0, 0) == law.decode_step_ms
    assert law.step_ms(1000, 1000**2, 0, 0) == pytest.approx(-86.9804 + 0.328933 * 1000)


@pytest.mark.parametrize("name", ADDITIVE)
def test_a_step_that_also_computes_prompts_is_no_shorter_than_one_that_only_decodes(name):
    law = hardware_law(name)
    for prompt, batch in itertools.product((1, 16, 128, 512, 4096), (1, 8, 64)):
        mixed, decoding = (law.step_ms(tokens, tokens**2, batch, 500 * batch) for tokens in (prompt, 0))
        # DistServe's constants of decoding are up to 12% above those of prefill, measured in steps of their own.
        assert mixed > (0.89 if law.from_batch else 1.0) * decoding - 1e-9


def test_prompts_of_a_mixed_step_take_the_least_time():
    law = hardware_law("llama2-70b-a100-tp4")
    decoding = 0.224251 * 8 + 0.000336568 * 4000
    assert law.step_ms(100, 100**2, 8, 4000) == pytest.approx(43.4186 + decoding)
    assert law.step_ms(1000, 1000**2, 8, 4000) == pytest.approx(-86.9804 + 328.933 + decoding)
    assert law.step_ms(0, 0, 8, 4000) == pytest.approx(43.4186 + decoding)


@pytest.mark.parametrize("seed", range(12))
def test_the_engine_takes_the_time_of_the_readable_steps(seed):
    """A batch of equal requests: one step for all prompts, then decoding together, on random laws of all forms."""
    rng = np.random.default_rng(seed)
    values = {key: float(rng.uniform(0, 1)) for pair in PLACES for key in pair}
    values |= {"from_batch": int(rng.integers(1, 8)), "tile_tokens": int(rng.integers(1, 9)), "tile_ms": 0.3}
    values |= {"compute_step_ms": float(rng.uniform(0, 60)), "compute_token_ms": float(rng.uniform(0, 1))}
    if seed % 2:
        values |= {"table_tokens": (3, 10, 30), "table_ms": (1.0, 2.0, 9.0)}
    law = Hardware(**values)
    n, prompt, answer = (int(k) for k in rng.integers(1, 9, 3))
    requests = generated("closed", f"fixed:input={prompt},output={answer}", n, seed=1)
    served = serve(requests, law, "vllm", block_tokens=1)
    first = law.step_ms(n * prompt, n * prompt**2, 0, 0)
    later = [law.step_ms(0, 0, n, n * (prompt + made)) for made in range(1, answer)]
    assert served.first_token_s == pytest.approx(np.full(n, first / 1000), rel=1e-12)
    assert served.finish_s == pytest.approx(np.full(n, (first + sum(later)) / 1000), rel=1e-12)
    assert served.iterations == answer


def test_the_engine_reads_coefficients_by_their_names():
    assert set(timing.COEFFICIENTS) == set(LAYOUT)
    line, _, _ = Hardware(prefill_step_ms=1.0, decode_step_ms=2.0, tile_tokens=4, tile_ms=3.0).coefficients()
    assert [line[LAYOUT.index(name)] for name in ("prefill_step_ms", "decode_step_ms", "tile_tokens")] == [1, 2, 4]


def test_energy_and_price():
    law = hardware_law("llama2-70b-a100-tp4")
    assert law.energy_j(busy_s=10.0, makespan_s=100.0) == pytest.approx(10 * 987)
    assert law.usd(makespan_s=1800.0) == pytest.approx(4 * 2.21 / 2)
    idle = hardware_law("decode_step_ms=1,prefill_step_ms=1,power_busy_w=300,power_idle_w=100")
    assert idle.energy_j(busy_s=10.0, makespan_s=100.0) == pytest.approx(10 * 300 + 90 * 100)
    plain = hardware_law("decode_step_ms=1,prefill_step_ms=1")
    assert plain.energy_j(1.0, 2.0) is None and plain.usd(1.0) is None


def test_a_law_from_a_file_is_that_of_the_same_text(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("prefill_step_ms = 1\ndecode_step_ms = 2.5\ntable_tokens = [1, 2]\ntable_ms = [0.5, 1]\n")
    text = hardware_law("prefill_step_ms=1,decode_step_ms=2.5,table_tokens=1|2,table_ms=0.5|1")
    law = hardware_law(str(path))
    assert law.name == "mine"
    assert [np.array_equal(a, b) for a, b in zip(law.coefficients(), text.coefficients(), strict=True)] == [True] * 3


def test_a_name_with_keys_changes_these_only():
    law, changed = hardware_law("opt-13b-a100-tp1"), hardware_law("opt-13b-a100-tp1:kv_tokens=20000,max_batch=64")
    assert (changed.kv_tokens, changed.max_batch) == (20_000, 64)
    assert np.array_equal(law.coefficients()[0], changed.coefficients()[0])


BAD = [
    ("opt-13b", "unknown hardware 'opt-13b'"),
    ("", "hardware must be a name, a TOML file or a text"),
    ("nope.toml", "cannot read the hardware file 'nope.toml'"),
    ("decode_step_ms", "unknown hardware 'decode_step_ms'"),
    ("decode_step=20", "unknown key of hardware 'inline' 'decode_step': did you mean 'decode_step_ms'?"),
    ("decode_step_ms=20,decode_step_ms=3", "gives 'decode_step_ms' twice"),
    ("decode_step_ms=fast,prefill_step_ms=1", "has decode_step_ms=fast"),
    ("decode_step_ms=-1,prefill_step_ms=1", "below 0 only with compute_step_ms above 0"),
    ("decode_step_ms=1,prefill_step_ms=inf", "has prefill_step_ms=inf"),
    ("decode_step_ms=1,prefill_token_ms=nan", "has prefill_token_ms=nan"),
    ("decode_step_ms=1,prefill_token_ms=-0.1", "prefill_token_ms must be a finite number of at least 0"),
    ("prefill_token_ms=1", "a step of decode that takes 0 ms"),
    ("prefill_step_ms=1", "a step of decode that takes 0 ms"),
    ("prefill_step_ms=1,decode_step_ms=1,from_batch=4", "decode in the second regime that takes 0 ms"),
    ("prefill_step_ms=1,decode_step_ms=1,decode2_step_ms=4", "no from_batch"),
    ("prefill_step_ms=1,decode_step_ms=1,from_batch=1.5", "from_batch must be a whole number"),
    ("prefill_step_ms=1,decode_step_ms=1,tile_tokens=8", "give both"),
    ("prefill_step_ms=1,decode_step_ms=1,table_tokens=1|2,table_ms=1", "2 table_tokens and 1 table_ms"),
    ("table_tokens=1,table_ms=1", "a table of one point"),
    ("table_tokens=2|1,table_ms=1|2", "table_tokens that do not ascend"),
    ("table_tokens=1|2,table_ms=2|1", "table_ms that fall"),
    ("table_tokens=1|x,table_ms=1|2", "must be a list of finite numbers"),
    ("unit-slots:kv_tokens=-1", "has kv_tokens=-1"),
    ("unit-slots:kv_token=1", "unknown key of hardware 'unit-slots' 'kv_token'"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD, ids=[text or "empty" for text, _ in BAD])
def test_a_bad_law_gets_a_sentence(text, sentence):
    with pytest.raises(InputError, match=r"^[^\n]*[.?]$") as caught:
        hardware_law(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("decode_step_ms = ", "is not valid TOML"),
        ("decode_step_ms = true\nprefill_step_ms = 1", "has decode_step_ms=True"),
        ("decode_step_ms = 1\nprefill_step_ms = 1\nsource = 3", "has source=3, but it must be a text"),
        ("table_tokens = 3", "0 table_ms"),
        ("[mine]\ndecode_step_ms = 1", "unknown key of hardware 'bad' 'mine'"),
    ],
)
def test_a_bad_file_gets_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "bad.toml"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        hardware_law(str(path))
    assert sentence in str(caught.value)


@needs_data
def test_the_fits_are_those_of_the_measurements():
    """The Splitwise entries, refitted from the 105 measurements of each by normal equations."""
    with open(Path(DATA, "splitwise_perf_model.csv"), newline="") as stream:
        rows = list(csv.DictReader(stream))
    quality = {"prefill": {}, "decode": {}}
    for name in ADDITIVE:
        law = hardware_law(name)
        if not law.source.startswith("Fit to Splitwise"):
            continue
        model, gpu, tp = name.rsplit("-", 2)
        mine = [
            row
            for row in rows
            if (row["model"], row["hardware"], row["tensor_parallel"])
            == (f"{'llama2-70b' if 'llama' in model else model}", f"{gpu}-80gb", tp[2:])
        ]
        assert len(mine) == 105
        value = {
            key: np.array([float(row[key]) for row in mine]) for key in mine[0] if key not in ("model", "hardware")
        }
        batch, prompt = value["batch_size"], value["prompt_size"]
        context = batch * (prompt + value["token_size"] / 2)
        for part, y, columns, wanted in (
            ("prefill", value["prompt_time"], [prompt * batch], [law.prefill_step_ms, law.prefill_token_ms]),
            ("decode", value["token_time"], [batch, context], [law.decode_step_ms, law.decode_seq_ms, law.kv_token_ms]),
        ):
            a = np.column_stack([np.ones(len(y)), *columns])
            fitted = np.linalg.solve(a.T @ a, a.T @ y)
            assert fitted == pytest.approx(wanted, rel=1e-5)
            quality[part][name] = 1 - np.var(y - a @ fitted) / np.var(y)
            assert f"{part} R2 {quality[part][name]:.3f}" in law.source
        if law.power_busy_w:
            share = value["average_power"][(value["average_power"] > 0) & (batch >= 2) & (batch <= 16)].mean()
            assert law.power_busy_w == pytest.approx(400 * int(tp[2:]) * share, rel=1e-3)
    assert len(quality["decode"]) == 6


@needs_data
def test_distserve_entries_are_those_of_its_file():
    content = json.loads(Path(DATA, "distserve_a100_coefficients_distserve.json").read_text())
    with open(Path(DATA, "distserve_max_num_tokens.csv"), newline="") as stream:
        capacity = {(r["model"], r["tp"]): int(r["max_num_tokens"]) for r in csv.DictReader(stream) if r["pp"] == "1"}
    seen = 0
    for name in ADDITIVE:
        law = hardware_law(name)
        if not law.source.startswith("DistServe"):
            continue
        seen += 1
        model, _, tp = name.rsplit("-", 2)
        entry = content[f"facebook/{model}"][tp[2:]]
        assert law.from_batch == entry["decoding_large_small_bs_threshold"]
        # The file has constant, per token of context, per sequence.
        for keys, place in zip(PLACES, ("prefill", "decoding_smallbs", "decoding_largebs"), strict=True):
            constant, second, third = entry[place]
            right = (constant, second, third) if place == "prefill" else (constant, third, second)
            assert [getattr(law, key) for key in keys] == pytest.approx(right, rel=1e-5)
        assert law.kv_tokens == capacity[f"facebook/{model}", tp[2:]]
    assert seen == 6


def test_first_tokens_of_one_request_at_a_time():
    """SSJF's 100 + 20 n and Yang's 22.5 n ms: a prefill makes the first token, then n - 1 decoding steps."""
    for name, total in (("vicuna-13b-ssjf", lambda n: 100 + 20 * n), ("llama2-7b-a100-yang", lambda n: 22.5 * n)):
        law = hardware_law(name)
        for n in (1, 2, 50):
            steps = law.step_ms(300, 300**2, 0, 0) + sum(law.step_ms(0, 0, 1, 300 + k) for k in range(1, n))
            assert math.isclose(steps, total(n))
