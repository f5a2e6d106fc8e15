"""Workloads by law: arrivals and lengths, those of public traces among them, and what they refuse."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import (
    ARRIVALS,
    LENGTHS,
    MEASURED,
    arrivals_law,
    generated,
    lengths_law,
    make_lengths,
    measured,
)

DATA = os.environ.get("OPENQUEUES_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="OPENQUEUES_DATA is not set")


@pytest.fixture(autouse=True)
def fitted(monkeypatch):
    """Every test but those of the full traces runs on what the package carries."""
    monkeypatch.delenv("OPENQUEUES_DATA", raising=False)


N = 100_000


@pytest.mark.parametrize(
    ("law", "cv"),
    [
        ("poisson:rate=8", 1.0),
        ("gamma:rate=8,shape=0.25", 2.0),
        ("gamma:rate=8,shape=4", 0.5),
        ("deterministic:rate=8", 0),
    ],
)
def test_arrivals_have_their_rate_and_variation(law, cv):
    arrival = generated(law, "fixed:input=1,output=1", N, seed=1).arrival_s
    gaps = np.diff(arrival)
    assert np.all(gaps >= 0)
    assert 1 / gaps.mean() == pytest.approx(8, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03, abs=1e-9)


def test_closed_arrivals_are_all_at_zero():
    assert not generated("closed", "fixed:input=3,output=4", 10, seed=1).arrival_s.any()


def test_fixed_and_uniform_lengths():
    requests = generated("closed", "fixed:input=3,output=4", 10, seed=1)
    assert set(requests.input_tokens) == {3} and set(requests.output_tokens) == {4}
    requests = generated("closed", "uniform:input_low=1,input_high=3,output_low=7,output_high=8", N, seed=1)
    for tokens, ends in ((requests.input_tokens, (1, 2, 3)), (requests.output_tokens, (7, 8))):
        values, counts = np.unique(tokens, return_counts=True)
        assert tuple(values) == ends
        assert counts / N == pytest.approx(np.full(len(ends), 1 / len(ends)), abs=0.01)


def test_lognormal_lengths_have_their_moments():
    text = "lognormal:input_mean=900,output_mean=200,input_cv=0.8,output_cv=1.5,correlation=0.6"
    requests = generated("closed", text, N, seed=1)
    for tokens, mean, cv in ((requests.input_tokens, 900, 0.8), (requests.output_tokens, 200, 1.5)):
        assert tokens.mean() == pytest.approx(mean, rel=0.02)
        assert tokens.std() / tokens.mean() == pytest.approx(cv, rel=0.06)
    logs = np.log([requests.input_tokens, requests.output_tokens])
    assert np.corrcoef(logs)[0, 1] == pytest.approx(0.6, abs=0.01)


# Of the traces themselves: mean, median and 99% quantile of both lengths, typed from the published summaries.
PUBLISHED = {
    "azure-conv": ((1154.7, None, None), (211.1, 129, 601)),
    "azure-code": ((2047.8, 1469, 7436), (27.9, 13, 251)),
    "mooncake": ((12035, None, None), (343, None, None)),
    "servegen-r1": ((1037, 63, None), (1366, None, 11169)),
    "sharegpt": ((2340, None, None), (438.7, None, None)),
    "arxiv": ((2588, None, None), (291.4, None, None)),
    "lmsys": ((59.1, 21, None), (159.7, 124, None)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_fitted_lengths_are_like_the_trace(name):
    requests = generated("closed", name, N, seed=1)
    assert lengths_law(name).spec == f"{name}:data=fitted"
    columns = (requests.input_tokens, requests.output_tokens)
    for tokens, (mean, median, high) in zip(columns, PUBLISHED[name], strict=True):
        assert tokens.mean() == pytest.approx(mean, rel=0.025)
        for level, value in ((0.5, median), (0.99, high)):
            if value is not None:
                assert np.quantile(tokens, level) == pytest.approx(value, rel=0.05)
    summary = tomllib.loads((measured.FOLDER / f"{name}.toml").read_text())
    for k, tokens in enumerate(columns):
        assert tokens.mean() == pytest.approx(summary["mean"][k], rel=0.025)
        assert tokens.std() / tokens.mean() == pytest.approx(summary["cv"][k], rel=0.05)
    assert np.corrcoef(*columns)[0, 1] == pytest.approx(summary["correlation"], abs=0.05)


def test_ssjf_lengths_are_those_of_its_histogram():
    requests = generated("closed", "ssjf", N, seed=1)
    # Of the 85,482 answers: mean 176.4, and from 2 to 511 tokens.
    assert requests.output_tokens.mean() == pytest.approx(176.4, rel=0.01)
    assert (requests.output_tokens.min(), requests.output_tokens.max()) == (2, 511)
    assert np.quantile(requests.output_tokens, (0.25, 0.5, 0.75)) == pytest.approx([41, 140, 294], rel=0.05)


LAWS = [
    ("poisson:rate=8", "azure-conv"),
    ("gamma:rate=8,shape=0.5", "lognormal:input_mean=9,output_mean=20"),
    ("closed", "ssjf"),
]


@pytest.mark.parametrize(("arrivals", "lengths"), LAWS)
def test_a_seed_says_all_and_more_requests_begin_alike(arrivals, lengths):
    short, again, long = (generated(arrivals, lengths, n, seed=5) for n in (100, 100, 300))
    other = generated(arrivals, lengths, 100, seed=6)
    for name in ("arrival_s", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(short, name), getattr(again, name))
        assert np.array_equal(getattr(short, name), getattr(long, name)[:100])
    assert not np.array_equal(short.output_tokens, other.output_tokens)


@pytest.mark.parametrize(
    "text",
    ["poisson:rate=8", "gamma:rate=8,shape=0.5", "deterministic:rate=0.25", "closed", "replay", "replay:rate=2"]
    + ["fixed:input=3,output=4", "uniform:input_low=1,input_high=2,output_low=3,output_high=4", "lmsys:data=fitted"]
    + ["lognormal:input_mean=9,output_mean=20,output_cv=2,correlation=-0.5", "ssjf:data=fitted"],
)
def test_a_text_is_canonical(text):
    law = arrivals_law if text.partition(":")[0] in ARRIVALS else lengths_law
    assert law(text).spec == text and law(law(text).spec) == law(text)


def test_every_law_is_named():
    assert set(MEASURED) == {*PUBLISHED, "ssjf"} and set(LENGTHS) == {"fixed", "uniform", "lognormal"}
    assert set(ARRIVALS) == {"poisson", "gamma", "deterministic", "closed", "replay"}


BAD_LAWS = [
    ("poison:rate=8", "closed", "unknown arrivals 'poison': did you mean 'poisson'?"),
    ("poisson", "lmsys", "arrivals 'poisson' needs the parameter 'rate'"),
    ("poisson:rate=0", "lmsys", "rate must be a finite number of requests per second above 0"),
    ("poisson:rate=nan", "lmsys", "has rate=nan"),
    ("poisson:rate=8,shape=2", "lmsys", "unknown parameter of arrivals 'poisson' 'shape'"),
    ("gamma:rate=8,shape=0", "lmsys", "shape must be a number from 0.001"),
    ("closed:rate=1", "lmsys", "takes no parameters"),
    ("closed", "lmsis", "unknown lengths 'lmsis': did you mean 'lmsys'?"),
    ("closed", "fixed:input=3", "needs the parameter 'output'"),
    ("closed", "fixed:input=0,output=1", "input must be a whole number from 1"),
    ("closed", "fixed:input=1.5,output=1", "has input=1.5"),
    ("closed", "uniform:input_low=3,input_high=2,output_low=1,output_high=1", "swap them"),
    ("closed", "lognormal:input_mean=0.5,output_mean=2", "input_mean must be a number from 1"),
    ("closed", "lognormal:input_mean=5,output_mean=2,output_cv=-1", "output_cv must be a number from 0"),
    ("closed", "lognormal:input_mean=5,output_mean=2,correlation=2", "correlation must be a number from -1"),
    ("closed", "lmsys:data=all", "data must be auto, fitted or full"),
    ("closed", "lmsys:data=full", "its rows are not public"),
    ("closed", "azure-conv:data=full", "OPENQUEUES_DATA names no folder that holds 'azure2023_conv.csv'"),
    ("closed", "ssjf:data=full", "OPENQUEUES_DATA names no folder that holds 'ssjf_vicuna13b"),
    ("replay", "lmsys", "need lengths measured with times, not 'lmsys:data=fitted'"),
    ("replay", "fixed:input=3,output=4", "need lengths measured with times"),
    ("replay", "azure-conv", "the trace 'azure-conv' is not here"),
]  # fmt: skip


@pytest.mark.parametrize(("arrivals", "lengths", "sentence"), BAD_LAWS, ids=[law[2][:60] for law in BAD_LAWS])
def test_a_bad_law_gets_a_sentence(arrivals, lengths, sentence):
    with pytest.raises(InputError) as caught:
        generated(arrivals, lengths, 10, seed=1)
    assert sentence in str(caught.value)


def test_how_many_must_be_said():
    with pytest.raises(InputError, match="say how many requests"):
        generated("closed", "lmsys", None, seed=1)
    with pytest.raises(InputError, match="ask for at least 1"):
        generated("closed", "lmsys", 0, seed=1)


def test_a_file_that_is_another_trace_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENQUEUES_DATA", str(tmp_path))
    for content in ("t_s,context_tokens\n0,1\n", "t_s,context_tokens,generated_tokens\n0,1,0\n", ""):
        (tmp_path / "azure2023_conv.csv").write_text(content)
        measured._read.cache_clear()
        with pytest.raises(InputError, match="is not the trace 'azure-conv'"):
            generated("closed", "azure-conv", 10, seed=1)


# The full traces


@needs_data
@pytest.mark.parametrize("name", measured.NAMES)
def test_the_tables_are_those_of_the_traces(name, monkeypatch):
    monkeypatch.setenv("OPENQUEUES_DATA", DATA)
    made = make_lengths.text(name, make_lengths.pairs(name, Path(DATA)))
    assert made == (measured.FOLDER / f"{name}.toml").read_text()


@needs_data
def test_a_trace_is_replayed(monkeypatch):
    monkeypatch.setenv("OPENQUEUES_DATA", DATA)
    requests = generated("replay", "mooncake", None, seed=1)
    assert len(requests) == 12_031 and requests.arrival_s[0] == 0
    assert requests.prefix_blocks[:14].tolist() == list(range(14))
    # Every block but the last is full.
    blocks = np.diff(requests.prefix_start)
    assert np.array_equal(blocks, -(-requests.input_tokens // 512))
    faster = generated("replay:rate=10", "azure-conv", 1000, seed=1)
    plain = generated("replay", "azure-conv", 1000, seed=1)
    assert 999 / faster.arrival_s[-1] == pytest.approx(10)
    scale = faster.arrival_s[-1] / plain.arrival_s[-1]
    assert faster.arrival_s == pytest.approx(plain.arrival_s * scale)
    assert np.array_equal(faster.input_tokens, plain.input_tokens)
    with pytest.raises(InputError, match="has 19366 requests to replay, but 20000 are wanted"):
        generated("replay", "azure-conv", 20_000, seed=1)


@needs_data
def test_rows_of_a_trace_are_drawn_together(monkeypatch):
    monkeypatch.setenv("OPENQUEUES_DATA", DATA)
    assert lengths_law("azure-code").spec == "azure-code:data=full"
    drawn = generated("poisson:rate=8", "azure-code", 2000, seed=1)
    rows = measured.full("azure-code")
    known = set(zip(rows.input_tokens.tolist(), rows.output_tokens.tolist(), strict=True))
    assert set(zip(drawn.input_tokens.tolist(), drawn.output_tokens.tolist(), strict=True)) <= known
