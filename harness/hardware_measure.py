"""`openqueues hardware measure`: times the steps of a Llama-shaped model on your own device and fits a law to them."""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues.models.errors import InputError, unknown
from openqueues.results import replace, writable

if TYPE_CHECKING:
    import torch
    from openqueues.llama import Llama

# Layers, hidden, heads, KV heads, feed-forward, vocabulary, head size, as in the config.json of the published model.
SHAPES = {
    "tiny": (2, 64, 4, 2, 128, 256, 16),
    "llama-3.2-1b": (16, 2048, 32, 8, 8192, 128256, 64),
    "llama-3.1-8b": (32, 4096, 32, 8, 14336, 128256, 128),
    "qwen3-32b": (64, 5120, 64, 8, 25600, 151936, 128),
    "llama-3.1-70b": (80, 8192, 64, 8, 28672, 128256, 128),
}
PROMPTS = (16, 64, 256, 512, 1024, 2048, 4096, 8192)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXTS = (128, 1024, 4096, 16384)
COLUMNS = ("prompt_tokens", "prompt_context", "batch", "context")
DTYPES = ("bfloat16", "float16", "float32")
KEPT = 0.9  # share of the memory beside the weights that engines give to the KV cache
WARM_UP = 2


@dataclass(frozen=True)
class Step:
    """A step to time: the last `prompt` tokens of a prompt after `prompt_context` others, and `batch` sequences decode
    one token each that attends to `context` tokens."""

    prompt: int
    prompt_context: int
    batch: int
    context: int

    @property
    def kv_tokens(self) -> int:
        return self.prompt_context + self.prompt + self.batch * self.context

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """What the law counts of it: prefill tokens, prefill squares, decoding, resident tokens."""
        end = self.prompt_context + self.prompt
        return self.prompt, end**2 - self.prompt_context**2, self.batch, self.batch * self.context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues hardware measure`."""
    add = parser.add_argument
    add("--model", default="llama-3.1-8b", metavar="M", help=f"shape: {', '.join(SHAPES)} (default: llama-3.1-8b)")
    add("--layers", type=int, metavar="N", help="other than the shape's, and so on:")
    for option in ("--hidden", "--heads", "--kv-heads", "--ffn", "--vocabulary", "--head-size"):
        add(option, type=int, metavar="N")
    add("--device", metavar="D", help="as PyTorch names it (default: the accelerator, else cpu)")
    add("--dtype", choices=DTYPES, help="of weights and KV cache (default: bfloat16, on a CPU float32)")
    add("--eager", action="store_true", help="launch each operation by itself (default on CUDA: a graph for each step)")
    for option, what, values in (
        ("--prompts", "tokens of prompts in a step", PROMPTS),
        ("--batches", "sequences that decode", BATCHES),
        ("--contexts", "tokens that each of these attends to", CONTEXTS),
    ):
        text = ",".join(map(str, values))
        add(option, default=text, metavar="N,...", help=f"{what} (default: {text})")
    add("--repeats", type=int, default=5, metavar="N", help="times a step is timed; the median counts (default: 5)")
    add("--name", metavar="NAME", help="the law's name (default: model and device)")
    add("--steps-out", metavar="FILE.csv", help="write the measured steps to this file, too")
    add("--out", metavar="FILE.toml", help="write the law to this file (default: print it)")


def run(chosen: argparse.Namespace) -> int:
    """Measure, fit, write: the law as TOML, and the steps where asked for."""
    from openqueues.hardware_cli import check_out, write_law

    shape, steps = _shape(chosen), grid(*(_numbers(chosen, name) for name in ("prompts", "batches", "contexts")))
    if chosen.repeats < 1:
        raise InputError(f"--repeats is {chosen.repeats}, but must be at least 1.")
    check_out(chosen.out)
    for path in (chosen.steps_out, chosen.out):
        writable(Path(path).parent if path else ".")
    torch = _torch()
    from openqueues.llama import Llama, Shape
    from openqueues.models import llm

    shape = Shape(*shape)
    device = _device(torch, chosen.device)
    if device.type == "cpu":
        torch.set_num_threads(os.cpu_count() or 1)
    dtype = getattr(torch, chosen.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    room = _room(torch, device)
    need = shape.weights * dtype.itemsize
    if need > room:
        raise InputError(
            f"the model's weights take {need / 1e9:.1f} GB, of which {device} has {room / 1e9:.1f}: "
            "give a smaller --model, fewer --layers or a smaller --dtype."
        )
    model = Llama(shape, device, dtype)
    kv_bytes = shape.kv_values * dtype.itemsize
    kv_tokens = int(KEPT * (room - need) / kv_bytes)
    times = measure(torch, model, [step for step in steps if step.kv_tokens <= kv_tokens], chosen.repeats, chosen.eager)
    if len(times) < len(steps):
        print(f"{len(steps) - len(times)} of {len(steps)} steps do not fit into the memory.", file=sys.stderr)
    if chosen.steps_out:
        replace(Path(chosen.steps_out), lambda target: Path(target).write_text(_csv(times), encoding="utf-8"))
        print(f"{chosen.steps_out}: {len(times)} steps", file=sys.stderr)
    what = f"{chosen.model}, {shape.weights / 1e9:.3g}e9 random weights in {str(dtype).removeprefix('torch.')}"
    how = ", in CUDA graphs" if device.type == "cuda" and not chosen.eager else ", launched one by one"
    columns = zip(*((*step.counts, ms) for step, ms in times), strict=True)
    fit = llm.fit_law(
        llm.read_steps(dict(zip(llm.STEP_COLUMNS, columns, strict=True))),
        name=chosen.name or f"{chosen.model}-{_device_name(torch, device)}",
        source=f"Measured by openqueues hardware measure: {what}, on {_device_title(torch, device)}, "
        f"PyTorch {torch.__version__}{how}, {time.strftime('%Y-%m-%d', time.gmtime())}",
        kv_tokens=kv_tokens,
        kv_bytes_per_token=kv_bytes,
    )
    write_law(fit, chosen.out)
    return 0


def grid(prompts: list[int], batches: list[int], contexts: list[int]) -> list[Step]:
    """The steps to time: prompts alone and after a context, decoding alone, and both in every second value of each."""
    found = [Step(prompt, before, 0, 0) for prompt in prompts for before in (0, contexts[-1])]
    found += [Step(0, 0, batch, context) for batch in batches for context in contexts]
    found += [
        Step(prompt, 0, batch, context)
        for prompt in prompts[::2]
        for batch in batches[::2]
        for context in contexts[::2]
    ]
    return found


def measure(torch, model: Llama, steps: list[Step], repeats: int, eager: bool) -> list[tuple[Step, float]]:
    """Steps with the median of their times in ms, but for those that need more memory than there is."""
    times = []
    for number, step in enumerate(steps, start=1):
        _say(f"step {number} of {len(steps)}: {step.prompt} prompt tokens, {step.batch} x {step.context} decoding")
        try:
            times.append((step, _time_ms(torch, model, step, repeats, eager)))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    _say("")
    return times


def _time_ms(torch, model: Llama, step: Step, repeats: int, eager: bool) -> float:
    device = model.device
    draw = torch.Generator().manual_seed(1)
    prompt, latest = (
        torch.randint(model.shape.vocabulary, (count,), generator=draw).to(device)
        for count in (step.prompt, step.batch)
    )
    caches = model.cache(1, step.prompt_context + step.prompt), model.cache(step.batch, max(step.context, 1))
    launch = _launch(torch, model, (prompt, caches[0], latest, caches[1]), eager)
    taken = []
    for _ in range(WARM_UP + repeats):
        _wait(torch, device)
        begin = time.perf_counter()
        launch()
        _wait(torch, device)
        taken.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(taken[WARM_UP:])


def _launch(torch, model: Llama, arguments: tuple[torch.Tensor, ...], eager: bool):
    """What computes the step: on a GPU one CUDA graph, as engines do, else it is launched operation by operation."""
    if eager or model.device.type != "cuda":
        return lambda: model.step(*arguments)
    # Before a step is captured it has to have run, on a stream of its own.
    aside = torch.cuda.Stream(model.device)
    aside.wait_stream(torch.cuda.current_stream(model.device))
    with torch.cuda.stream(aside):
        model.step(*arguments)
    torch.cuda.current_stream(model.device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model.step(*arguments)
    return graph.replay


def _wait(torch, device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _torch():
    try:
        import torch
    except ImportError:
        raise InputError(
            "measuring needs PyTorch, which is not installed: `uv sync --extra measure`, or pip install torch."
        ) from None
    return torch


def _device(torch, name: str | None) -> torch.device:
    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"--device {name} cannot be used: {reason}.") from None
    return device


def _room(torch, device: torch.device) -> float:
    """Bytes of the device's memory that are free."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _device_title(torch, device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    return f"{device.type}{threads}"


def _device_name(torch, device: torch.device) -> str:
    title = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def _shape(chosen: argparse.Namespace) -> tuple[int, ...]:
    if chosen.model not in SHAPES:
        raise unknown("model", chosen.model, SHAPES)
    names = ("layers", "hidden", "heads", "kv_heads", "ffn", "vocabulary", "head_size")
    given = [getattr(chosen, name) for name in names]
    # The head's size follows from a hidden size or a number of heads that is not the shape's.
    follows = given[-1] is None and (chosen.hidden is not None or chosen.heads is not None)
    known = (*SHAPES[chosen.model][:-1], 0) if follows else SHAPES[chosen.model]
    return tuple(old if new is None else new for new, old in zip(given, known, strict=True))


def _numbers(chosen: argparse.Namespace, name: str) -> list[int]:
    text = getattr(chosen, name)
    try:
        values = sorted({int(word) for word in text.split(",")})
    except ValueError:
        values = [0]
    if values[0] < 1:
        raise InputError(f"--{name} is '{text}': give whole numbers of at least 1 with commas between, as 16,64,256.")
    return values


def _csv(times: list[tuple[Step, float]]) -> str:
    from openqueues.models import llm

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*COLUMNS, *llm.STEP_COLUMNS))
    for step, ms in times:
        writer.writerow((step.prompt, step.prompt_context, step.batch, step.context, *step.counts, f"{ms:.6g}"))
    return stream.getvalue()


def _say(text: str) -> None:
    """Show progress in one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
