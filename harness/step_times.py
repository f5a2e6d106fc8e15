"""Times steps of a model on a device with PyTorch: which device, how much room it has, and how long a step takes there.

A time is by the wall clock, from the launch until the device is done, as an engine waits for it.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openqueues.models.errors import InputError

if TYPE_CHECKING:
    import torch
    from openqueues.llama import Llama

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
    def words(self) -> str:
        after = f" after {self.prompt_context}" if self.prompt_context else ""
        prompt = f"{self.prompt} prompt tokens{after}" if self.prompt else ""
        decoding = f"{self.batch} sequences of {self.context} tokens" if self.batch else ""
        return " beside ".join(part for part in (prompt, decoding) if part)

    @property
    def kv_tokens(self) -> int:
        return self.prompt_context + self.prompt + self.batch * self.context

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """What the law counts of it: prefill tokens, prefill squares, decoding, resident tokens."""
        end = self.prompt_context + self.prompt
        return self.prompt, end**2 - self.prompt_context**2, self.batch, self.batch * self.context


def measure(
    torch, model: Llama, steps: list[Step], repeats: int, eager: bool
) -> tuple[list[tuple[Step, float]], list[tuple[Step, str]]]:
    """(steps with the median of their times in ms, steps that failed, mostly for want of memory, and why)."""
    times, failed = [], []
    for number, step in enumerate(steps, start=1):
        _say(f"step {number} of {len(steps)}: {step.words}")
        try:
            times.append((step, _time_ms(torch, model, step, repeats, eager)))
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            failed.append((step, reason(error)))
        if failed and failed[-1][0] is step:
            # Not before the error is gone, which keeps what the step had in memory.
            _empty(torch, model.device)
    _say("")
    return times, failed


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
    # Before a step is captured it has to have run, on a stream of its own: libraries make their workspaces then.
    aside = torch.cuda.Stream(model.device)
    aside.wait_stream(torch.cuda.current_stream(model.device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
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


def torch_or_refuse():
    try:
        import torch
    except ImportError:
        raise InputError(
            "measuring needs PyTorch, which is not installed: `uv sync --extra measure`, or pip install torch."
        ) from None
    return torch


def device_of(torch, name: str | None) -> torch.device:
    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name} cannot be used: {reason(error)}.") from None
    if device.type == "cuda" and device.index is not None:
        # Graphs are captured on the current device, whatever device the tensors are on.
        torch.cuda.set_device(device)
    return device


def default_dtype(torch, device: torch.device) -> str:
    """What engines take by default: 16 bits, as bfloat16 where the device computes in it, but 32 on a CPU."""
    if device.type == "cpu":
        return "float32"
    emulated = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return "float16" if emulated else "bfloat16"


def free_bytes(torch, device: torch.device) -> float:
    """Bytes of the device's memory that are free."""
    if device.type in ("cuda", "xpu"):
        return float(getattr(torch, device.type).mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    # macOS does not say how many pages are free.
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return float(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE"))


def _empty(torch, device: torch.device) -> None:
    """Give memory back that PyTorch keeps for later; after some errors a device answers nothing any more."""
    with contextlib.suppress(AttributeError, RuntimeError):
        getattr(torch, device.type).empty_cache()


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def title(torch, device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    return f"{device.type}{threads}"


def _say(text: str) -> None:
    """Show progress in one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
