"""The chapter on hardware: predicted against measured TTFT and TPOT of every row, from the file that is shipped."""

from __future__ import annotations

import math
import shutil
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import silicon_results
from openqueues.pages import style
from openqueues.pages.markdown import code, download, escape, figure, fold, front, table
from openqueues.silicon_results import TARGETS, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKENDS = {"vllm": "vLLM", "trtllm": "TensorRT-LLM", "sglang": "SGLang"}
MODELS = {"llama-3.1-8b": "Llama-3.1-8B", "llama-3.1-70b": "Llama-3.1-70B", "qwen3-32b": "Qwen3-32B"}
_LOOKS = {"vllm": (style.BLUE, "o"), "trtllm": (style.ORANGE, "s"), "sglang": (style.GREEN, "^")}
_TITLES = {"tpot": "Time per output token", "ttft": "Time to first token"}


_SPLITS = ("clients", "input_tokens", "output_tokens", "tp")
_SAW = """\
* The operators' law of a setting comes from operator times; no serving run has a part in it.
* How much is fitted to a group is chosen by cross-validation within its fitting half: nothing; how it was served; that
  and a factor and a constant of each step; or also a constant of each sequence. The configurations of the half are
  dealt to four folds, and what three of them say predicts the fourth. The least error wins, and that much is fitted to
  the whole half. A group with fewer than four configurations in its half is left as it is.
* The held-out half is looked at after that, for the table above and nothing else: the law in the catalogue is the one
  chosen, whatever the table says of it.
* People saw more. What may be chosen was first listed with all rows known; that prompts repeat, that clients send 5 or
  2 requests and the constant of a sequence came later, from the fitting rows of groups that were far off.
"""


def write(folder: Path) -> str:
    """The chapter in Markdown; its figures and the file of all rows are written to `folder`."""
    rows = silicon_results.read()
    *groups, everything = silicon_results.summaries(rows)
    for what in TARGETS:
        style.save(_drawn(rows, what), folder / f"hardware_{what}.svg")
    shutil.copyfile(silicon_results.SHIPPED, folder / silicon_results.SHIPPED.name)
    text = [
        front("Predicted time to first token and time per output token beside measured serving runs.")
        + "# Hardware: predicted against measured\n",
        _lead(rows, everything),
        "## Every row\n",
        *(_figure(rows, what) for what in TARGETS),
        "## By model, GPU and backend\n",
        _errors(groups, everything),
        *_misses(rows, groups),
        "## What saw what\n",
        _SAW,
        "## How a group was served\n",
        _servings(rows),
        "## Repeat it\n",
        _repeat(rows),
    ]
    return "\n".join(text)


def _lead(rows: list[dict], everything: Summary) -> str:
    package = rows[0]["package"]
    return (
        f"How long an iteration takes is a law with fitted coefficients. The laws here are of {len(MODELS)} dense "
        "models on current GPUs and backends: step times are composed of measured times of matrix products, attention "
        f"and all-reduces (the package `aiconfigurator-core` {package}), and a law is fitted to them. Then the engine "
        "runs closed loops as load generators do: each client sends its next request when its last one has ended.\n\n"
        f"The package also holds {len(rows)} end-to-end measurements of these models on H100 and H200. Half of the "
        "configurations of each group, by a hash of model, GPU, backend and lengths, say how it was served and what "
        f"corrects its times; on the **{everything.held_out} rows of the other half**, which had no say in that, the "
        f"median error is **{100 * everything.tpot:.1f}% of TPOT and {100 * everything.ttft:.1f}% of TTFT** (wanted: "
        f"{100 * TARGETS['tpot']:.0f}% and {100 * TARGETS['ttft']:.0f}%). There is no measurement on A100: its laws "
        "are of the operators alone. The laws are in the catalogue: `openqueues llm --list`. The measurements are "
        "NVIDIA's, under the Apache licence 2.0.\n"
    )


def _figure(rows: list[dict], what: str) -> str:
    out = [row for row in rows if row["half"] == "held-out"]
    drawn = figure(
        f"hardware_{what}.svg",
        f"{_TITLES[what]}, predicted against measured, a panel for each GPU and model, on logarithmic axes",
        f"{_TITLES[what]}, mean of a run: predicted by the engine against measured, {len(out)} rows that nothing was "
        f"fitted to (filled) and {len(rows) - len(out)} of the fitting half (pale). On the line they are equal; the "
        f"band is {100 * TARGETS[what]:.0f}% to either side.",
        f"hardware-{what}",
    )
    return drawn + "\n" + download(silicon_results.SHIPPED.name)


def _drawn(rows: list[dict], what: str) -> Figure:
    """A panel for each GPU and model, in the order of the groups."""
    places = sorted({(row["gpu"], row["model"]) for row in rows})
    drawing = style.figure(8.0, 2.7 * math.ceil(len(places) / 2) + 0.4)
    axes = drawing.subplots(math.ceil(len(places) / 2), 2, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, (gpu, model) in zip(axes, places, strict=False):
        _panel(axis, [row for row in rows if (row["gpu"], row["model"]) == (gpu, model)], what)
        axis.set_title(f"{MODELS[model]}, {gpu.upper()}")
    for axis in axes[len(places) - 2 : len(places)]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(f"measured {what.upper()} [ms]")
    for axis in axes[0 : len(places) : 2]:
        axis.set_ylabel(f"predicted {what.upper()} [ms]")
    for axis in axes[len(places) :]:
        axis.set_axis_off()
    _legend(axes[-1] if len(places) % 2 else drawing, sorted({row["backend"] for row in rows}))
    return drawing


def _panel(axis: Axes, rows: list[dict], what: str) -> None:
    low, high = (4, 300) if what == "tpot" else (30, 500_000)
    ends = [low, high]
    band = TARGETS[what]
    axis.fill_between(
        ends, [one / (1 + band) for one in ends], [one * (1 + band) for one in ends], color="#d4d4d0", lw=0
    )
    axis.plot(ends, ends, color=style.INK, linewidth=0.9)
    for row in rows:
        colour, marker = _LOOKS[row["backend"]]
        fresh = row["half"] == "held-out"
        axis.plot(
            [row[f"{what}_ms"]], [row[f"predicted_{what}_ms"]],
            marker=marker, color=colour, markersize=4.2 if fresh else 3.4, alpha=0.85 if fresh else 0.3,
            markeredgewidth=0, linestyle="none", zorder=3 if fresh else 2,
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_formatter("{x:,.0f}")


def _legend(place: Axes | Figure, backends: list[str]) -> None:
    """The backends, in the panel that is left over, or below all."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_LOOKS[one][0], marker=_LOOKS[one][1], linestyle="none", label=BACKENDS[one])
        for one in backends
    ]
    handles.append(Line2D([], [], color=style.GREY, marker="o", linestyle="none", label="held out", markersize=5))
    handles.append(Line2D([], [], color=style.GREY, marker="o", linestyle="none", label="fitting half", alpha=0.3))
    if hasattr(place, "set_axis_off"):
        place.legend(handles=handles, loc="center")
    else:
        place.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.6)


def _group(name: tuple[str, ...]) -> str:
    """Model, GPU, backend and weights of a group in one cell of a table."""
    if name == ("all",):
        return "**all**"
    model, gpu, backend, precision = name
    return f"{MODELS[model]}, {gpu.upper()}, {BACKENDS[backend]}, {code(precision)}"


def _errors(groups: list[Summary], everything: Summary) -> str:
    header = ["group", "fitting", "held out"]
    for what, target in TARGETS.items():
        header += [f"{what.upper()}: expected", "found", f"within {100 * target:.0f}%"]
    lines = [[_group(one.name), str(one.fitting), str(one.held_out), *one.shares] for one in [*groups, everything]]
    failed = f"{everything.failed} rows cannot run" if everything.failed else "All rows can run"
    return (
        "Rows of the two halves, the median error found on the held-out half, and the share of its rows within what we "
        "want. Expected: the median error in cross-validation, which the fitting half gives before the other half is "
        f"looked at. {failed}.\n\n" + table(header, lines, "lrrrrrrrr")
    )


def _misses(rows: list[dict], groups: list[Summary]) -> list[str]:
    """What the residuals of the groups look like that are not within what we want."""
    bad = [one for one in groups if not one.good]
    if not bad:
        return []
    names = "; ".join(_group(one.name) for one in bad)
    measured = silicon_results.grouped(rows)
    lines = []
    for one in bad:
        some = measured[one.name]
        for what in TARGETS:
            sides = [text for key in _SPLITS for text in _ratios(some, key, what)]
            lines.append([_group(one.name), what.upper(), *sides])
    header = ["group", "", "few clients", "many", "short prompts", "long", "short answers", "long", "few GPUs", "many"]
    return [
        f"Not within what we want: {names}. Predicted over measured, median of the rows of both halves below the "
        "group's median and from there on:\n",
        table(header, lines, "llrrrrrrrr"),
    ]


def _ratios(rows: list[dict], key: str, what: str) -> tuple[str, str]:
    middle = statistics.median(row[key] for row in rows)
    sides = [row for row in rows if row[key] < middle], [row for row in rows if row[key] >= middle]
    ratios = [[1.0 + silicon_results.error(row, what) for row in side] for side in sides]
    few, many = (f"{statistics.median(side):.2f}" if side else "–" for side in ratios)
    return few, many


def _servings(rows: list[dict]) -> str:
    lines = []
    for name, some in silicon_results.grouped(rows).items():
        one = some[0]
        versions = ", ".join(sorted({row["version"] or "not said" for row in some}))
        lines.append([_group(name), escape(versions), escape(_served(one)), _correction(one)])
    header = ["group", "version", "served", "times of the operators"]
    return (
        "A source says model, GPU, backend, lengths and clients, and mostly the precision of the weights; where it "
        "does not, 16 bits are assumed. It does not say how the backend formed batches, nor what exactly the load "
        "generator sent. Of each group the fitting half chooses among:\n\n"
        "* for vLLM prompts in chunks beside decoding; for TensorRT-LLM the same, with memory reserved for the whole "
        "answer; for SGLang steps of prompts first, or chunks;\n"
        "* 2048, 4096 or 8192 prompt tokens a step;\n"
        "* a mean think time, from an answer to the next request at the server, of 0, 3 or 10 ms, exponential;\n"
        "* for TensorRT-LLM as many running requests as clients or one fewer;\n"
        "* a KV cache in 16 bits, or in 8 where the weights have 8;\n"
        "* 10, 5 or 2 requests of each client, the first all at once; means are over all;\n"
        "* for vLLM and SGLang prompts that are all different, or drawn from 100 (as many as NVIDIA's AIPerf makes by "
        "default), so that the prefix cache has those that were sent before.\n\n"
        "Then it fits a factor of all times, a constant of each step and, where that helps, one of each sequence that "
        "decodes in it: no time of the processor that launches the operators is in their tables. Lengths are those of "
        "the row; the 70B rows are of a benchmark that draws them, which is taken as uniform from 80% to 100%. The "
        "operators were measured with newer versions than most rows. For Llama-3.1-70B under TensorRT-LLM with 1024 "
        "and 1024 tokens on 1, 2 and 4 GPUs the measured time to first token is about that of the 20th: the backend "
        "seems to have streamed 20 tokens at a time, which the engine does not.\n\n" + table(header, lines, "llll")
    )


def _served(one: dict) -> str:
    lost = f", {one['places_lost']:.0f} request fewer at once than clients" if one["places_lost"] else ""
    drawn = f", drawn from {one['prompts']:.0f} prompts" if one["prompts"] else ""
    return (
        f"{one['policy']}, {one['token_budget']:.0f} tokens a step, think time {one['think_ms']:g} ms{lost}, KV in "
        f"{one['kv']}, {one['rounds']:.0f} requests a client{drawn}"
    )


def _correction(one: dict) -> str:
    if (one["scale"], one["step_ms"], one["seq_ms"]) == (1, 0, 0):
        return "as they are"
    sequence = f", {1000 * one['seq_ms']:+.1f} µs a sequence" if one["seq_ms"] else ""
    return f"× {one['scale']:.3f}, {one['step_ms']:+.2f} ms a step{sequence}"


def _repeat(rows: list[dict]) -> str:
    worst = sorted(
        rows, key=lambda row: -max(abs(silicon_results.error(row, what)) / TARGETS[what] for what in TARGETS)
    )
    lines = [
        [
            escape(row["id"]), f"{row['ttft_ms']:.0f}", f"{row['predicted_ttft_ms']:.0f}",
            f"{row['tpot_ms']:.1f}", f"{row['predicted_tpot_ms']:.1f}", escape(row["failed"]) or "–",
        ]
        for row in worst[:20]
    ]  # fmt: skip
    header = ["row of the package", "TTFT [ms]", "predicted", "TPOT [ms]", "predicted", "cannot run"]
    return (
        "```\nuv sync --extra hardware\nopenqueues hardware validate --out rows.csv --laws laws.toml\n"
        "openqueues hardware fit --model llama-3.1-8b --gpu h100 --backend vllm --out mine.toml\n"
        "openqueues llm --hardware mine.toml --lengths azure-conv --arrivals poisson:rate=3 --requests 2000 "
        "--policy sarathi\n```\n\n"
        "The first makes all of this page in some ten minutes: `rows.csv` has every row with what was predicted. All "
        "rows as shipped: {download}`CSV <silicon.csv>`\n\n"
        + fold("The 20 rows that are furthest off", table(header, lines, "lrrrrl"))
    )
