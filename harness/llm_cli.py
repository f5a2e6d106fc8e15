"""`openqueues llm`: requests to one language model, served by one replica or several under one or more policies."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openqueues.models.errors import InputError

if TYPE_CHECKING:
    from openqueues.models.llm import Requests, Served

DIGITS = 13
# What the table shows of the metrics, and how; a metric without a line here is in the JSON only.
SHOWN = {
    "requests": ("requests", ""),
    "completed_share": ("completed", "%"),
    "mean_latency_s": ("latency: mean", "s"),
    "p50_latency_s": ("latency: p50", "s"),
    "p90_latency_s": ("latency: p90", "s"),
    "p99_latency_s": ("latency: p99", "s"),
    "mean_ttft_s": ("time to first token: mean", "s"),
    "p50_ttft_s": ("time to first token: p50", "s"),
    "p90_ttft_s": ("time to first token: p90", "s"),
    "p99_ttft_s": ("time to first token: p99", "s"),
    "mean_tpot_s": ("time per output token: mean", "s"),
    "p50_tpot_s": ("time per output token: p50", "s"),
    "p90_tpot_s": ("time per output token: p90", "s"),
    "p99_tpot_s": ("time per output token: p99", "s"),
    "throughput_per_s": ("throughput, requests", "/s"),
    "output_tokens_per_s": ("throughput, output tokens", "/s"),
    "goodput_per_s": ("goodput, requests", "/s"),
    "makespan_s": ("makespan", "s"),
    "busy_share": ("busy", "%"),
    "iterations": ("iterations", ""),
    "mean_batch": ("batch: mean", ""),
    "preemptions": ("preemptions", ""),
    "recomputed_tokens": ("tokens recomputed", ""),
    "swapped_tokens": ("tokens swapped out", ""),
    "peak_kv_tokens": ("KV tokens: peak", ""),
    "mean_kv_tokens": ("KV tokens: mean", ""),
    "energy_j": ("energy", "J"),
    "cost_usd": ("cost", "$"),
    "wall_s": ("simulated in", "s"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues llm` to its parser."""
    add = parser.add_argument
    add(
        "--trace",
        metavar="FILE",
        help="CSV or Parquet with arrival_s, input_tokens, output_tokens and, where known, predicted_output_tokens,"
        " prefix_blocks, class, deadline_s, price",
    )
    add("--arrivals", metavar="LAW", help="instead of a trace: poisson:rate=8, gamma:rate=8,shape=0.5, closed, ...")
    add("--lengths", metavar="LAW", help="with --arrivals: azure-conv, lognormal:input_mean=900,output_mean=200, ...")
    add("--requests", metavar="N", help="with --arrivals: how many requests")
    add("--hardware", metavar="H", help="name, FILE.toml, name:key=value or decode_step_ms=20,prefill_token_ms=0.1,...")
    add("--policy", action="append", metavar="P", help="policy, like vllm or sprpt, or a file; may be repeated")
    add(
        "--predictions",
        metavar="LAW",
        help="predictions of output length: lognormal:sigma=0.5, trail, rank:tau=0.6, ...",
    )
    add(
        "--instances",
        metavar="N",
        default="1",
        help="servers alike, each with the limits given (default: 1)",
    )
    add(
        "--router",
        metavar="R",
        help="which of them gets a request: jsq (default), powerofd, kv, ..., or a file",
    )
    add("--kv-tokens", metavar="N", help="KV cache in tokens (default: the hardware's; 0: no limit)")
    add("--max-batch", metavar="N", help="most requests in a batch (default: the hardware's)")
    add("--token-budget", metavar="N", help="most prompt tokens of an iteration (default: the mechanism's)")
    add("--block-tokens", metavar="N", default="16", help="tokens of a block of the KV cache (default: 16)")
    add(
        "--watermark", metavar="W", default="0.01", help="share of blocks that an admission leaves free (default: 0.01)"
    )
    add("--slo-ttft-s", metavar="S", help="goodput counts requests whose first token takes at most this, in s")
    add("--slo-tpot-s", metavar="S", help="and whose time per further token is at most this, in s")
    add("--seed", metavar="S", default="1", help="seed of arrivals, lengths and predictions (default: 1)")
    add("--per-request", metavar="OUT.parquet", help="write a row per request (and policy) to this file")
    add("--json", action="store_true", help="JSON instead of a table: an object, or a list for several policies")
    add("--list", action="store_true", help="print the known hardware, arrivals, lengths, predictions and policies")


def run(chosen: argparse.Namespace) -> int:
    """Print what came out under each policy; all of them serve the same requests."""
    if chosen.list:
        print(_known())
        return 0
    for option in ("hardware", "policy"):
        if getattr(chosen, option) is None:
            raise InputError(f"the following arguments are required: --{option}: see `openqueues llm --help`.")
    whole = {name: _whole(chosen, name, low) for name, low in _WHOLE.items()}
    limits = {name: _above_zero(chosen, name) for name in ("slo_ttft_s", "slo_tpot_s")}
    watermark = _number(chosen, "watermark")
    if not 0 <= watermark < 1:
        raise InputError(f"--watermark is {watermark:g}: give a share from 0 to below 1.")
    out = _out(chosen.per_request)
    from openqueues.models import llm

    hardware = llm.hardware_law(chosen.hardware)
    requests = _requests(chosen, whole)
    if chosen.predictions is not None:
        requests = llm.predicted(requests, chosen.predictions, whole["seed"])
    setting = {name: whole[name] for name in ("kv_tokens", "max_batch", "token_budget", "block_tokens", "seed")}
    rows, parts = [], []
    for policy in chosen.policy:
        many = {"instances": whole["instances"], "router": chosen.router, "watermark": watermark}
        _warm(requests, hardware, policy, setting | many)
        begun = time.perf_counter()
        served, costs = _serve(requests, hardware, policy, **many, **setting)
        wall = time.perf_counter() - begun
        row = {"policy": policy, "hardware": hardware.name}
        row |= llm.metrics(served, requests, **limits) | costs | {"wall_s": wall}
        rows.append(row)
        if out is not None:
            parts.append(_columns(policy, requests, served))
    if out is not None:
        _write(parts, out)
    if chosen.json:
        rounded = [{key: _rounded(value) for key, value in row.items()} for row in rows]
        print(json.dumps(rounded[0] if len(rounded) == 1 else rounded, indent=1))
    else:
        print(_table(rows))
    return 0


_WHOLE = {
    "requests": 1,
    "instances": 1,
    "kv_tokens": 0,
    "max_batch": 1,
    "token_budget": 1,
    "block_tokens": 1,
    "seed": 0,
}


def _requests(chosen: argparse.Namespace, whole: dict[str, int | None]) -> Requests:
    from openqueues.models import llm

    laws = [option for option in ("arrivals", "lengths", "requests") if getattr(chosen, option) is not None]
    if chosen.trace is not None:
        if laws:
            raise InputError(f"--trace and --{laws[0]} were both given: a trace brings its own requests, so drop one.")
        if chosen.trace.endswith(".parquet"):
            return _read_parquet(chosen.trace)
        return llm.read_trace(chosen.trace)
    for option in ("arrivals", "lengths"):
        if option not in laws:
            other = "--trace FILE" if not laws else f"--{option} LAW with --{laws[0]}"
            raise InputError(f"there are no requests to serve: give {other}, or --arrivals and --lengths.")
    return llm.generated(chosen.arrivals, chosen.lengths, whole["requests"], whole["seed"])


def _read_parquet(path: str) -> Requests:
    """The requests of a Parquet file with the columns of a trace."""
    import pyarrow
    import pyarrow.parquet
    from openqueues.models import llm

    where = f"the trace '{path}'"
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        llm.check_columns(names, where)
        table = file.read(columns=[name for name in names if name in llm.COLUMNS])
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror or error}.") from None
    except pyarrow.ArrowException:
        raise InputError(f"{where} is not readable as Parquet: give a CSV or Parquet file.") from None
    columns = {}
    for name in table.column_names:
        column = table[name]
        numbers = pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)
        columns[name] = column.to_numpy() if numbers else column.to_pylist()
    return llm.from_columns(columns, where)


def _serve(requests: Requests, hardware, policy: str, *, instances: int, router: str | None, **setting):
    """(what came out, costs) of one server, or of a cluster as if it were one."""
    from openqueues.models import llm

    if instances == 1 and router is None:
        served = llm.serve(requests, hardware, policy, **setting)
        return served, _costs(hardware, served)
    limits = {name: setting.pop(name) for name in ("kv_tokens", "max_batch", "token_budget")}
    cluster = llm.Cluster([llm.Instance(hardware, instances, **limits)])
    many = llm.serve_cluster(requests, cluster, policy, router or "jsq", **setting)
    served = llm.as_one(many)
    return served, {name: instances * value for name, value in _costs(hardware, served).items()}


def _warm(requests: Requests, hardware, policy: str, setting: dict[str, Any]) -> None:
    """Serve the first request alone, so that the time of the run is that of the simulation without compilation."""
    try:
        _serve(requests.first(1), hardware, policy, **setting)
    except InputError:
        # What is wrong is said of the whole run, where it can name the request.
        return


def _costs(hardware, served: Served) -> dict[str, float]:
    """Energy and price, where the hardware law has them."""
    costs = {
        "energy_j": hardware.energy_j(served.busy_s, served.makespan_s),
        "cost_usd": hardware.usd(served.makespan_s),
    }
    return {name: value for name, value in costs.items() if value is not None}


def _columns(policy: str, requests: Requests, served: Served) -> dict[str, Any]:
    """Columns of the file of requests, by name."""
    import numpy as np

    tokens = requests.output_tokens
    with np.errstate(invalid="ignore", divide="ignore"):
        tpot = np.where(tokens > 1, (served.finish_s - served.first_token_s) / (tokens - 1), np.nan)
    columns = {
        "policy": [policy] * len(requests),
        "request": np.arange(len(requests)),
        "arrival_s": requests.arrival_s,
        "input_tokens": requests.input_tokens,
        "output_tokens": tokens,
        "first_token_s": served.first_token_s,
        "finish_s": served.finish_s,
        "ttft_s": served.first_token_s - requests.arrival_s,
        "latency_s": served.finish_s - requests.arrival_s,
        "tpot_s": tpot,
        "preemptions": served.preemptions_of,
    }
    if requests.predicted_output_tokens is not None:
        columns["predicted_output_tokens"] = requests.predicted_output_tokens
    return columns


def _out(name: str | None) -> Path | None:
    """The file of requests; InputError before the simulation where it could not be written after it."""
    if name is None:
        return None
    from openqueues.results import writable

    if not name.endswith(".parquet"):
        raise InputError(f"--per-request is '{name}': give a file that ends in .parquet.")
    path = Path(name)
    if path.is_dir():
        raise InputError(f"--per-request is '{name}', which is a folder: give a file in it.")
    writable(path.parent)
    return path


def _write(parts: list[dict[str, Any]], path: Path) -> None:
    """Write the columns of all policies as one Parquet table, whole or not at all."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    from openqueues.results import column, replace

    arrays = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        kind = "string" if name == "policy" else np.asarray(values[0]).dtype.name
        joined = sum(values, []) if kind == "string" else np.concatenate(values)
        arrays[name] = column(joined, kind)
    table = pyarrow.table(arrays)
    replace(path, lambda target: pyarrow.parquet.write_table(table, target, compression="zstd", version="2.6"))


def _given(chosen: argparse.Namespace, name: str) -> tuple[str, str | None]:
    return f"--{name.replace('_', '-')}", getattr(chosen, name)


def _whole(chosen: argparse.Namespace, name: str, low: int) -> int | None:
    option, text = _given(chosen, name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"{option} is '{text}': give a whole number of at least {low}.") from None
    if not low <= value < 2**62:
        raise InputError(f"{option} is {value}: give a whole number of at least {low} and below 2^62.")
    return value


def _number(chosen: argparse.Namespace, name: str) -> float | None:
    option, text = _given(chosen, name)
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} is '{text}', which is not a number.") from None


def _above_zero(chosen: argparse.Namespace, name: str) -> float | None:
    value = _number(chosen, name)
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise InputError(f"{_given(chosen, name)[0]} is {value:g}: give a number of seconds above 0.")
    return value


def _rounded(value: Any) -> Any:
    """Floats to DIGITS digits; NaN, which JSON lacks, as null."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _table(rows: list[dict[str, Any]]) -> str:
    """A line per metric, a column per policy."""
    from openqueues.listing import columns

    table = [["", *(row["policy"] for row in rows), ""]]
    for name, (title, unit) in SHOWN.items():
        if name in rows[0]:
            table.append([title, *(_shown(row[name], unit) for row in rows), unit])
    return columns(table, right=range(1, len(rows) + 1))


def _shown(value: float | int, unit: str) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "-"
    return f"{100 * value:.2f}" if unit == "%" else f"{value:.4g}"


def _known() -> str:
    """The names that the options take, a line of them each."""
    from openqueues.models import llm

    measured = ", ".join(llm.MEASURED)
    lines = {
        "--hardware": ", ".join(llm.hardware_names()),
        "--arrivals": ", ".join(llm.ARRIVALS),
        "--lengths": f"{', '.join(llm.LENGTHS)}, {measured}",
        "--predictions": ", ".join(llm.PREDICTORS),
        "--policy": ", ".join(llm.policy_names()),
        "--router": ", ".join(llm.router_names()),
    }
    return "\n\n".join(f"{option}\n  {names}" for option, names in lines.items())
