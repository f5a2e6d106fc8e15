"""The LLM engine against Vidur's schedulers and AISimulate, on the same traces and the same timing law.

    python benchmarks/run.py --only llm_peers

Both wheels are unpacked into build/llm-peers, nothing that they need is installed. CPU time on one core, ours with full
metrics.

Vidur's vLLM and Sarathi-Serve replica schedulers decide what runs in each iteration, and an iteration takes what
our law says (its own predictor of times would make it slower still), without their rule that a decoding request needs
a free block even where it takes none: then every completion must be ours.

AISimulate (Rust) runs its vLLM engine on the law that it can express exactly: a step takes a constant if it only
decodes and another if it computes prompts. It mixes both in a step, as our sarathi does, keeps no watermark, and
every completion must be ours.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from llm import LAW, trace
from measure import WrongResult, table
from openqueues.models.llm.engine import serve
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.metrics import metrics

WHEELS = ("vidur==0.0.26", "aisimulate==0.12.0.dev2")
BLOCK, BATCH = 16, 128
BUDGET = 16_384  # of AISimulate: above the longest prompt
# Mechanism, arrivals a second, KV tokens, token budget.
CASES = (
    ("vllm", 5.0, 400_000, 8192),
    ("vllm", 5.0, 40_000, 8192),
    ("vllm", 5.0, 30_000, 8192),
    ("sarathi", 5.0, 400_000, 512),
    ("sarathi", 4.5, 25_000, 512),
)


class Unneeded(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what Vidur imports but its schedulers do not use."""

    NAMES = "wandb plotly_express plotly ddsketch kaleido fasteners ray sklearn seaborn huggingface_hub click".split()

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in self.NAMES or name.startswith("vidur._native"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module):
        pass


def schedulers(folder: str, needs_free_block: bool) -> dict:
    """Vidur's scheduler classes by mechanism."""
    sys.path.insert(0, folder)
    sys.meta_path.insert(0, Unneeded())
    from vidur.scheduler.replica_scheduler.sarathi_replica_scheduler import SarathiReplicaScheduler
    from vidur.scheduler.replica_scheduler.vllm_replica_scheduler import VLLMReplicaScheduler

    classes = {}
    for name, base in (("vllm", VLLMReplicaScheduler), ("sarathi", SarathiReplicaScheduler)):

        class Patched(base):
            def _can_allocate_request(self, request):
                has = self._allocation_map.get(request.id, 0) * BLOCK
                return 0 < has >= request.num_processed_tokens or super()._can_allocate_request(request)

        classes[name] = base if needs_free_block else Patched
    return classes


def vidur(scheduler_class, requests, kv_tokens: int, budget: int) -> tuple[np.ndarray, int, int]:
    """(completion times in s, iterations, restarts) of Vidur's scheduler under our law."""
    from vidur.entities.request import Request

    scheduler = object.__new__(scheduler_class)
    blocks = kv_tokens // BLOCK
    scheduler._config = SimpleNamespace(batch_size_cap=BATCH, max_tokens_in_batch=budget, chunk_size=budget)
    scheduler._cache_config = SimpleNamespace(num_blocks=blocks, block_size=BLOCK)
    scheduler._replica_config = SimpleNamespace(enable_sequence_pipeline_parallel=False)
    scheduler._replica_id, scheduler._num_stages, scheduler._max_micro_batch_size = 0, 1, BATCH
    scheduler._watermark_blocks = int(0.01 * blocks)
    scheduler._request_queue, scheduler._preempted_requests, scheduler._allocation_map = [], [], {}
    scheduler._num_allocated_blocks = scheduler._num_running_stages = 0
    columns = (requests.arrival_s * 1000.0, requests.input_tokens, requests.output_tokens)
    jobs = [Request(float(a), int(s), int(o)) for a, s, o in zip(*columns, strict=True)]
    now, coming, iterations, done = jobs[0].arrived_at, 0, 0, 0
    while done < len(jobs):
        while coming < len(jobs) and jobs[coming].arrived_at <= now:
            scheduler.add_request(jobs[coming])
            coming += 1
        batch = scheduler._get_next_batch(now)
        if not batch:
            now = jobs[coming].arrived_at
            continue
        new = squares = decoding = attended = 0
        for job, tokens in zip(batch.requests, batch.num_q_tokens, strict=True):
            held = job.num_processed_tokens
            if job.is_prefill_complete:
                decoding, attended = decoding + 1, attended + held
            else:
                new, squares = new + tokens, squares + (held + tokens) ** 2 - held**2
        now += LAW.step_ms(new, squares, decoding, attended)
        iterations += 1
        for job, tokens in zip(batch.requests, batch.num_q_tokens, strict=True):
            # Its restart leaves the counters of pipeline stages as they were, which trips an assertion.
            job._num_stage_processed_tokens = job._num_processed_tokens
            job._is_prefill_stage_complete = job._is_prefill_complete
            job.on_batch_schedule(now)
            job.on_batch_stage_end(now, 0, 0, 0, tokens)
            job.on_batch_end(now, tokens)
            done += job.completed
        scheduler._num_running_batches = 1
        scheduler.on_batch_end(batch)
    return np.array([job.completed_at for job in jobs]) / 1000.0, iterations, sum(job.num_restarts for job in jobs)


def aisimulate(folder: str, requests, kv_tokens: int, prefill_ms: float, decode_ms: float, each: bool):
    """(latencies in s or None, preemptions, CPU seconds) of AISimulate's vLLM engine; `each` records every request."""
    path = next(Path(folder).glob("aisimulate/_runtime*.so"))
    spec = importlib.util.spec_from_file_location("_runtime", path)
    runtime = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runtime)
    rank = {"backend": "vllm", "block_size": BLOCK, "num_gpu_blocks": kv_tokens // BLOCK, "max_num_seqs": BATCH}
    rank |= {"max_num_batched_tokens": BUDGET, "enable_prefix_caching": False, "max_model_len": 1 << 17}
    rank["timing_model"] = {"type": "fixed", "prefill_ms": prefill_ms, "decode_ms": decode_ms}
    none = {"provider": "none", "config": None}
    columns = zip(
        requests.arrival_s.tolist(), requests.input_tokens.tolist(), requests.output_tokens.tolist(), strict=True
    )
    payload = {
        "version": 1,
        "topology": {"kind": "aggregated", "workers": {"initial_workers": 1, "startup_delay_ms": 0.0}},
        "engine": {"dp_size": 1, "tensor_parallel_size": 1, "num_gpu_blocks_is_explicit": True, "rank": rank},
        "adapters": {"placement": {"provider": "round_robin", "config": None}, "scaling": none},
        "max_sim_time_ms": None,
        "max_in_flight": None,
        "record_per_request": each,
        "sla": {},
        "requests": [
            {"id": f"{i}", "arrival_time_ms": a * 1000.0, "input_tokens": s, "output_tokens": o, "metadata": None}
            for i, (a, s, o) in enumerate(columns)
        ],
    }
    text = json.dumps(payload)
    begin = time.process_time()
    report = runtime.run_replay_json(text)
    took = time.process_time() - begin
    if not each:
        return None, 0, took
    latency = np.empty(len(requests))
    rows = json.loads(report)["per_request"]
    for row in rows:
        latency[int(row["request_id"])] = row["e2e_latency_ms"] / 1000.0
    return latency, sum(row["readmission_count"] for row in rows), took


def held(who: str, theirs: np.ndarray, ours: np.ndarray) -> float:
    """The farthest that two programs' times of the same requests are apart, in s; WrongResult beyond rounding."""
    apart = float(np.max(np.abs(theirs - ours)))
    if not apart <= 1e-6:
        raise WrongResult(f"{who} and openqueues differ by {apart:.3g} s on the same requests.")
    return apart


def timed(requests, law, mechanism: str, given: dict) -> tuple[float, Any]:
    """Median CPU seconds of six runs with full metrics after one to warm up, and what came out."""
    times = []
    for _ in range(7):
        begin = time.process_time()
        served = serve(requests, law, mechanism, **given)
        metrics(served, requests)
        times.append(time.process_time() - begin)
    return statistics.median(times[1:]), served


def aisimulate_rows(folder: str, n: int) -> list[dict[str, Any]]:
    """Beside AISimulate's vLLM engine; every latency must be ours."""
    prefill_ms, decode_ms = 30.0, 20.0
    law = Hardware(name="fixed", prefill_step_ms=prefill_ms + decode_ms, decode_step_ms=decode_ms)
    rows = []
    for kv_tokens in (400_000, 40_000, 25_000):
        requests = trace(4.0, n, 1, False)
        theirs, restarts, _ = aisimulate(folder, requests, kv_tokens, prefill_ms, decode_ms, True)
        took = aisimulate(folder, requests, kv_tokens, prefill_ms, decode_ms, False)[2]
        given = {"kv_tokens": kv_tokens, "max_batch": BATCH, "token_budget": BUDGET, "watermark": 0.0}
        mine, served = timed(requests, law, "sarathi", given)
        apart = held("AISimulate", theirs, served.finish_s - requests.arrival_s)
        row = {"program": "AISimulate 0.12.0.dev2", "mechanism": "vLLM v1", "rate": 4.0, "KV tokens": kv_tokens}
        row |= {"requests": n, "preemptions": restarts, "farthest apart, s": f"{apart:.0e}"}
        rows.append(row | {"its requests/s": n / took, "ours": n / mine, "ours is faster by": took / mine})
    return rows


def vidur_rows(folder: str, n: int) -> list[dict[str, Any]]:
    """Beside Vidur's schedulers without their rule on free blocks: then every completion must be ours."""
    rows = []
    classes = schedulers(folder, False)
    for mechanism, rate, kv_tokens, budget in CASES:
        requests = trace(rate, n, 1, False)
        given = {"kv_tokens": kv_tokens, "max_batch": BATCH, "token_budget": budget}
        mine, ours = timed(requests, LAW, mechanism, given)
        begin = time.process_time()
        theirs, _, restarts = vidur(classes[mechanism], requests, kv_tokens, budget)
        took = time.process_time() - begin
        apart = held("Vidur", theirs, ours.finish_s)
        row = {"program": "Vidur 0.0.26, schedulers", "mechanism": mechanism, "rate": rate, "KV tokens": kv_tokens}
        row |= {"requests": n, "preemptions": restarts, "farthest apart, s": f"{apart:.0e}"}
        rows.append(row | {"its requests/s": n / took, "ours": n / mine, "ours is faster by": took / mine})
    return rows


def llm_peers(quick: bool) -> list[dict[str, Any]]:
    """Language model serving beside other simulators, on the same requests and the same law of the iteration time:
    AISimulate's engine (Rust), and the schedulers of Vidur (Python) without Vidur's predictor of times. Requests a
    second of CPU time on one core, ours with full metrics; all times of all requests agree, or there is no row."""
    folder = Path(__file__).with_name("build") / "llm-peers"
    if not folder.is_dir():
        uv = shutil.which("uv") or str(Path(__file__).parents[1] / ".uv" / "bin" / "uv")
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
        subprocess.run([*install, *WHEELS], check=True)
    # In a process of its own, for Vidur is given stand-ins for packages that others need.
    sizes = ["--requests", "500"] if quick else []
    child = [sys.executable, __file__, str(folder), "--json", *sizes]
    return json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = aisimulate_rows(options.folder, 20_000) + vidur_rows(options.folder, options.requests)
    print(json.dumps(rows) if options.json else table(rows))


if __name__ == "__main__":
    main()
