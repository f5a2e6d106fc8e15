"""`openqueues hardware measure`: refusals in one sentence; where PyTorch is there, a model that really works."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from openqueues import step_times
from openqueues.cli import main
from openqueues.hardware_measure import SHAPES, grid
from openqueues.models.llm import hardware_law
from openqueues.models.llm.fitting import COLUMNS
from openqueues.step_times import Step

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
    assert Step(64, 200, 4, 100).words == "64 prompt tokens after 200 beside 4 sequences of 100 tokens"


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


class FakeCuda:
    """What step_times asks of torch, with a record of what was done, in order."""

    def __init__(self):
        self.done, self.cuda, self.accelerator = [], self, self
        self.current = "default"

    class OutOfMemoryError(RuntimeError):
        pass

    def Stream(self, device):  # noqa: N802
        return FakeStream(self, "aside")

    def current_stream(self, device):
        return FakeStream(self, "default")

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream.name
        yield
        self.current = before

    def CUDAGraph(self):  # noqa: N802
        return SimpleNamespace(replay=lambda: self.done.append("replay"))

    @contextmanager
    def graph(self, graph):
        before, self.current = self.current, "capture"
        yield
        self.current = before

    def synchronize(self, device):
        self.done.append("wait")

    def empty_cache(self):
        self.done.append("empty")


class FakeStream:
    def __init__(self, torch, name):
        self.torch, self.name = torch, name

    def wait_stream(self, other):
        self.torch.done.append(f"{self.name} waits for {other.name}")


def test_on_a_gpu_a_step_runs_aside_before_it_is_captured_and_then_is_replayed_only():
    torch = FakeCuda()
    device = SimpleNamespace(type="cuda")
    model = SimpleNamespace(device=device, step=lambda: torch.done.append(torch.current))
    launch = step_times._launch(torch, model, (), eager=False)
    ran = ["aside"] * step_times.WARM_UP
    assert torch.done == ["aside waits for default", *ran, "default waits for aside", "capture"]
    launch()
    assert torch.done[-1] == "replay" and torch.done.count("capture") == 1
    step_times._launch(torch, model, (), eager=True)()
    assert torch.done[-1] == "default"


def test_a_step_that_does_not_fit_is_left_out_with_the_reason_and_its_memory_given_back(monkeypatch):
    torch = FakeCuda()
    small, large = Step(16, 0, 1, 16), Step(8192, 0, 1, 16)

    def time_ms(torch, model, step, repeats, eager):
        if step is large:
            # While an error is handled, it keeps all that the step had allocated.
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nGPU 0 has ...")
        assert sys.exc_info() == (None, None, None)
        return 2.5

    monkeypatch.setattr(step_times, "_time_ms", time_ms)
    monkeypatch.setattr(torch, "empty_cache", lambda: torch.done.append(sys.exc_info()[0]))
    model = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    times, failed = step_times.measure(torch, model, [small, large, small], 1, False)
    assert times == [(small, 2.5), (small, 2.5)]
    assert failed == [(large, "CUDA out of memory. Tried to allocate 9 GiB")]
    assert torch.done == [None]


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
    monkeypatch.setattr(step_times, "WARM_UP", 1)
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


def test_where_no_step_can_be_measured_that_is_said_and_nothing_is_written(torch, capsys, monkeypatch, tmp_path):
    def fails(*arguments):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(step_times, "_time_ms", fails)
    law = tmp_path / "mine.toml"
    assert main([*MEASURE, "--prompts", "8", "--batches", "1", "--contexts", "16", "--out", str(law)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "4 of 4 steps could not be measured; that of 8 prompt tokens: out of memory."
    assert "no step could be measured on cpu: give a smaller --model" in said[1] and not law.exists()


def test_a_model_that_is_larger_than_the_memory_is_refused(torch, capsys):
    refused(capsys, "of which cpu has", "--layers", "1000000")
    refused(capsys, "5 heads are no multiple of 2 KV heads", "--heads", "5", "--head-size", "16")
    refused(capsys, "--device nowhere cannot be used", "--device", "nowhere")
