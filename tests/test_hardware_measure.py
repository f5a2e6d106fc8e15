"""`openqueues hardware measure`: refusals in one sentence; where PyTorch is there, a model that really works."""

from __future__ import annotations

import csv
import sys

import pytest
from openqueues import hardware_measure
from openqueues.cli import main
from openqueues.hardware_measure import SHAPES, Step, grid
from openqueues.models.llm import hardware_law
from openqueues.models.llm.fitting import COLUMNS

MEASURE = ["hardware", "measure", "--model", "tiny"]


def refused(capsys, sentence: str, *options: str) -> None:
    assert main([*MEASURE, *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1, said


def test_the_grid_has_steps_of_all_kinds_and_counts_them_as_the_law_does():
    steps = grid([16, 64], [1, 4], [100, 200])
    assert Step(64, 0, 0, 0) in steps and Step(64, 200, 0, 0) in steps
    assert Step(0, 0, 4, 200) in steps and Step(16, 0, 1, 100) in steps
    assert len(set(steps)) == len(steps) == 4 + 4 + 1
    assert Step(64, 200, 4, 100).counts == (64, 264**2 - 200**2, 4, 400)
    assert Step(64, 200, 4, 100).kv_tokens == 264 + 400


def test_what_makes_no_sense_is_refused_before_anything_is_loaded(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(capsys, "unknown model 'llama-3.1-8': did you mean 'llama-3.1-8b'?", "--model", "llama-3.1-8")
    refused(capsys, "--prompts is '16,x': give whole numbers of at least 1", "--prompts", "16,x")
    refused(capsys, "--batches is '0': give whole numbers of at least 1", "--batches", "0")
    refused(capsys, "--repeats is 0, but must be at least 1", "--repeats", "0")
    refused(capsys, "--out is 'law.txt': give a file that ends in .toml", "--out", "law.txt")
    (tmp_path / "file").touch()
    refused(capsys, "cannot be written", "--out", str(tmp_path / "file" / "law.toml"))


def test_without_pytorch_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(capsys, "needs PyTorch, which is not installed: `uv sync --extra measure`")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="needs the extra `measure`")


def tiny(torch, **sizes):
    from openqueues.llama import Llama, Shape

    names = ("layers", "hidden", "heads", "kv_heads", "ffn", "vocabulary", "head_size")
    shape = Shape(**(dict(zip(names, SHAPES["tiny"], strict=True)) | sizes))
    return Llama(shape, torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_a_prompt_in_one_step_in_chunks_and_token_by_token_give_the_same_logits(torch, kv_heads):
    model = tiny(torch, kv_heads=kv_heads)
    tokens = torch.arange(20) * 7 % 256
    none = tokens[:0]
    whole = model.step(tokens, model.cache(1, 20), none, model.cache(0, 1))

    first = model.cache(1, 12)
    model.step(tokens[:12], first, none, model.cache(0, 1))
    cache = model.cache(1, 19)
    cache[..., :12, :] = first
    model.step(tokens[12:19], cache, none, model.cache(0, 1))
    # The last token is decoded by two sequences at once, beside a prompt that has nothing to do with them.
    both = torch.zeros_like(model.cache(2, 20))
    both[..., :19, :] = cache
    other = torch.arange(5)
    mixed = model.step(other, model.cache(1, 5), tokens[[19, 19]], both)
    alone = model.step(other, model.cache(1, 5), none, model.cache(0, 1))
    torch.testing.assert_close(mixed[1:], whole.expand(2, -1))
    torch.testing.assert_close(mixed[:1], alone)


def test_weights_and_cache_are_as_many_as_said(torch):
    model = tiny(torch)
    held = [model.embedding, model.unembedding, *(matrix for layer in model.layers for matrix in layer)]
    assert sum(matrix.numel() for matrix in held) == model.shape.weights
    assert model.cache(3, 5).numel() == 15 * model.shape.kv_values
    from openqueues.llama import Shape

    assert Shape(*SHAPES["llama-3.1-8b"]).weights == pytest.approx(8.03e9, rel=1e-3)  # as its model card says
    assert Shape(*SHAPES["llama-3.1-70b"]).weights == pytest.approx(70.6e9, rel=1e-3)


def test_a_tiny_model_is_timed_and_the_law_is_one_that_the_engine_reads(torch, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hardware_measure, "WARM_UP", 1)
    law, steps = tmp_path / "mine.toml", tmp_path / "steps.csv"
    options = ["--prompts", "8,32,128", "--batches", "1,4,16", "--contexts", "16,256", "--repeats", "3"]
    assert main([*MEASURE, *options, "--name", "mine", "--out", str(law), "--steps-out", str(steps)]) == 0
    rows = list(csv.DictReader(steps.read_text().splitlines()))
    assert len(rows) == len(grid([8, 32, 128], [1, 4, 16], [16, 256])) and set(COLUMNS) <= set(rows[0])
    assert all(float(row["time_ms"]) > 0 for row in rows)
    made = hardware_law(str(law))
    assert made.name == "mine" and "tiny" in made.source and made.kv_bytes_per_token == 512
    # The same steps, fitted again by hand, give the same law.
    capsys.readouterr()
    assert main(["hardware", "fit", "--steps", str(steps), "--name", "mine"]) == 0
    again = tmp_path / "again.toml"
    again.write_text(capsys.readouterr().out)
    step = (128, 128**2, 16, 4096)
    assert hardware_law(str(again)).step_ms(*step) == pytest.approx(made.step_ms(*step), rel=1e-5)


def test_a_model_that_is_larger_than_the_memory_is_refused(torch, capsys):
    refused(capsys, "of which cpu has", "--layers", "1000000")
    refused(capsys, "5 heads are no multiple of 2 KV heads", "--heads", "5", "--head-size", "16")
    refused(capsys, "--device nowhere cannot be used", "--device", "nowhere")
