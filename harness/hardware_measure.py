"""`openqueues hardware measure`: times the steps of a Llama-shaped model on your own device and fits a law to them."""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import step_times
from openqueues.law_file import check_out, write_law
from openqueues.models.errors import InputError, unknown
from openqueues.results import replace, writable
from openqueues.step_times import Step

if TYPE_CHECKING:
    import torch
    from openqueues.llama import Llama, Shape

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
POOR = 0.2  # median error of a fit that hints at times that are not those of the steps
_SMALLER = "give a smaller --model, fewer --layers or a smaller --dtype"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues hardware measure`."""
    add = parser.add_argument
    add("--model", default="llama-3.1-8b", metavar="M", help=f"shape: {', '.join(SHAPES)} (default: llama-3.1-8b)")
    add("--layers", type=int, metavar="N", help="other than the shape's, and so on:")
    for option in ("--hidden", "--heads", "--kv-heads", "--ffn", "--vocabulary", "--head-size"):
        add(option, type=int, metavar="N")
    add("--device", metavar="D", help="as PyTorch names it (default: the accelerator, else cpu)")
    add(
        "--dtype",
        choices=DTYPES,
        help="of weights and KV cache (default: bfloat16 where there is any, on a CPU float32)",
    )
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
    shape, steps = _shape(chosen), grid(*(_numbers(chosen, name) for name in ("prompts", "batches", "contexts")))
    if chosen.repeats < 1:
        raise InputError(f"--repeats is {chosen.repeats}, but must be at least 1.")
    check_out(chosen.out)
    for path in (chosen.steps_out, chosen.out):
        writable(Path(path).parent if path else ".")
    torch = step_times.torch_or_refuse()
    from openqueues.llama import Shape
    from openqueues.models import llm

    shape = Shape(*shape)
    device = step_times.device_of(torch, chosen.device)
    if device.type == "cpu":
        torch.set_num_threads(os.cpu_count() or 1)
    dtype = getattr(torch, chosen.dtype or step_times.default_dtype(torch, device))
    model, kv_tokens = _made(torch, shape, device, dtype)
    possible = [step for step in steps if step.kv_tokens <= kv_tokens]
    times, failed = step_times.measure(torch, model, possible, chosen.repeats, chosen.eager)
    if len(possible) < len(steps):
        print(f"{len(steps) - len(possible)} of {len(steps)} steps do not fit into the memory.", file=sys.stderr)
    if failed:
        first, why = failed[0]
        said = f"{len(failed)} of {len(steps)} steps could not be measured; that of {first.words}: {why}."
        print(said, file=sys.stderr)
    if not times:
        raise InputError(f"no step could be measured on {device}: {_SMALLER}, or smaller --prompts and --contexts.")
    if chosen.steps_out:
        replace(Path(chosen.steps_out), lambda target: Path(target).write_text(_csv(times), encoding="utf-8"))
        print(f"{chosen.steps_out}: {len(times)} steps", file=sys.stderr)
    title = step_times.title(torch, device)
    what = f"{chosen.model}, {shape.weights / 1e9:.3g}e9 random weights in {str(dtype).removeprefix('torch.')}"
    how = ", in CUDA graphs" if device.type == "cuda" and not chosen.eager else ", launched one by one"
    columns = zip(*((*step.counts, ms) for step, ms in times), strict=True)
    fit = llm.fit_law(
        llm.read_steps(dict(zip(llm.STEP_COLUMNS, columns, strict=True))),
        name=chosen.name or f"{chosen.model}-{_name(title)}",
        source=f"Measured by openqueues hardware measure: {what}, on {title}, "
        f"PyTorch {torch.__version__}{how}, {time.strftime('%Y-%m-%d', time.gmtime())}",
        kv_tokens=kv_tokens,
        kv_bytes_per_token=shape.kv_values * dtype.itemsize,
    )
    write_law(fit, chosen.out)
    half = statistics.median(abs(fit.error))
    if half > POOR:
        said = f"The law is {100 * half:.0f}% off at half of the steps: was {device} busy? If not, give more --repeats."
        print(said, file=sys.stderr)
    return 0


def _made(torch, shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[Llama, int]:
    """(the model, tokens of KV cache that fit beside its weights). InputError where these do not fit."""
    from openqueues.llama import Llama

    room, need = step_times.free_bytes(torch, device), shape.weights * dtype.itemsize
    if need > room:
        raise InputError(
            f"the model's weights take {need / 1e9:.1f} GB, of which {device} has {room / 1e9:.1f}: {_SMALLER}."
        )
    try:
        model = Llama(shape, device, dtype)
    except RuntimeError as error:
        raise InputError(f"the model cannot be made on {device}: {step_times.reason(error)}: {_SMALLER}.") from None
    return model, int(KEPT * (room - need) / (shape.kv_values * dtype.itemsize))


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


def _name(title: str) -> str:
    """A device's title as a part of a law's name."""
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
