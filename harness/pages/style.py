"""How figures look: one colour, marker and name per policy, and files that are the same on every run."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openqueues.models.spec import parse_spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, safe for colour-blind readers; its yellow is too pale for lines on white.
BLACK, GREY, LIGHT = "#1b1b1b", "#7a7a7a", "#a8a8a8"
ORANGE, SKY, GREEN, BLUE = "#e69f00", "#56b4e9", "#009e73", "#0072b2"
VERMILION, PURPLE, OLIVE = "#d55e00", "#cc79a7", "#8f8b1e"
# Tol's muted palette, for policies without a colour of their own; again safe for colour-blind readers.
PALETTE = ("#332288", "#44aa99", "#999933", "#cc6677", "#882255", "#aa4499", "#117733")
SPARE = (ORANGE, SKY, BLUE, VERMILION, GREY, BLACK)  # for entries with more of these, where nothing else has them
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
OTHERS = ("X", "h", "p", "d", "*", "<", ">", "P")
INK, RULE = "#2b2b2b", "#e4e4e4"

# Greys for blind policies, blues and black for true sizes, warm colours for predictions, green for bits.
FIXED = {
    "fcfs": (GREY, "o"),
    "lcfs": (LIGHT, "X"),
    "ps": (LIGHT, "s"),
    "las": (GREY, "v"),
    "sjf": (SKY, "D"),
    "psjf": (BLUE, "s"),
    "srpt": (BLACK, "^"),
    "spjf": (ORANGE, "D"),
    "pspjf": (OLIVE, "s"),
    "sprpt": (VERMILION, "^"),
    "vllm": (GREY, "s"),
    "sarathi": (LIGHT, "o"),
    "rad": (PALETTE[0], "D"),
    "bounce": (PURPLE, "P"),
    "onebit": (GREEN, "o"),
    "onebit-true": ("#66c2a5", "o"),
}
BITS = ("#a6dba0", "#7fc97f", "#4daf6a", "#1b9e77", "#0b7a5b", "#00543d", "#003626")
# By what a policy is told, where the policies are too many to name.
CLASSES = {
    "blind": (GREY, "o"),
    "one bit": (GREEN, "s"),
    "predictions": (VERMILION, "^"),
    "distributions": (PURPLE, "D"),
    "oracle": (BLACK, "v"),
}
NAMES = {
    "las": "LAS",
    "bounce": "SPRPT with bounce",
    "onebit": "one bit",
    "onebit-true": "one bit of the true size",
    "kbit": "k bits",
    "serpt": "SERPT",
    "mserpt": "M-SERPT",
    "gittins": "Gittins",
    "robust": "robust Gittins",
    "trail": "TRAIL",
    "vllm": "vLLM",
    "sarathi": "Sarathi-Serve",
    "orca": "Orca",
    "fastertransformer": "FasterTransformer",
    "hedge": "hedging",
    "scaled": "scaled estimates",
    "skippredict": "SkipPredict",
    "delaypredict": "DelayPredict",
    "mcsf": "MC-SF",
    "pastfuture": "Past-Future",
    "fastserve": "FastServe",
    "multibin": "multi-bin",
    "fastserve-swap": "FastServe, swapping ahead",
    "lightllm": "Past-Future, sampled",
    "rad": "RAD",
    "slai": "SLAI",
    "s3": "S3",
    "wait": "WAIT",
    "nestedwait": "Nested WAIT",
    "elis": "ELIS",
    "amax": "A_max",
    "amin": "A_min",
    "dai": "work-conserving",
    "dynamicbatch": "dynamic batch",
    "prefixvolume": "prefix-aware volume",
    "infercept": "InferCept",
    "inferceptoracle": "InferCept, true times",
    "lamps": "LAMPS",
    "autellix": "Autellix",
    "criticalpath": "shortest path",
    "fairprogram": "fair by program",
}


class Look(NamedTuple):
    """Colour, marker and line of a policy. Non-preemptive variants are dashed and their markers hollow."""

    colour: str
    marker: str
    dashed: bool

    @property
    def line(self) -> str | tuple:
        return (0, (4, 2)) if self.dashed else "-"

    @property
    def face(self) -> str:
        return "white" if self.dashed else self.colour


@cache
def look(policy: str) -> Look:
    """The look of a policy: a function of its specification and, where `distinguish` was called, of the entry."""
    if policy in _chosen:
        return _chosen[policy]
    base, arguments = parse_spec(policy, "policy")
    dashed = str(arguments.get("preemptive", "")).lower() == "false" or base in ("sjf", "spjf")
    if base == "kbit":
        if "bits" not in arguments:  # the entry's grid says how many
            return Look(*(("#a6d96a", "X") if arguments.get("thresholds") == "equal" else ("#0b7a5b", "h")), dashed)
        bits = int(arguments["bits"])
        return Look(BITS[min(max(bits, 1), len(BITS)) - 1], MARKERS[bits % len(MARKERS)], dashed)
    if base in FIXED:
        return Look(*FIXED[base], dashed)
    return Look(*_hashed(policy), dashed)


_chosen: dict[str, Look] = {}


def distinguish(policies: list[str]) -> None:
    """Choose looks for an entry's policies so that no two of them are alike; those chosen before are forgotten.

    A fixed look is kept, of several variants of a policy by the one with the fewest parameters. Others keep the look
    that their name gives them, unless one before them in the alphabet has it; then they take the next colour that is
    free, one of those that policies elsewhere have, or the next marker where none is.
    """
    look.cache_clear()
    _chosen.clear()
    taken, others = set(), []
    for policy in sorted(set(policies), key=lambda one: (len(parse_spec(one, "policy")[1]), one)):
        fixed = parse_spec(policy, "policy")[0] in (*FIXED, "kbit")
        if fixed and look(policy) not in taken:
            taken.add(look(policy))
        else:
            others.append(policy)
    for policy in sorted(others):
        colour, marker = _hashed(policy)
        first, second = PALETTE.index(colour), OTHERS.index(marker)
        used = {one.colour for one in taken}
        colours = [PALETTE[(first + step) % len(PALETTE)] for step in range(len(PALETTE))]
        colours = [one for one in (*colours, *SPARE) if one not in used] or colours
        markers = [OTHERS[(second + step) % len(OTHERS)] for step in range(len(OTHERS))]
        dashed = look(policy).dashed
        free = (Look(one, other, dashed) for other in markers for one in colours)
        _chosen[policy] = next((one for one in free if one not in taken), Look(colour, marker, dashed))
        taken.add(_chosen[policy])
    look.cache_clear()


def _hashed(policy: str) -> tuple[str, str]:
    number = int.from_bytes(hashlib.blake2b(policy.encode(), digest_size=4).digest(), "big")
    return PALETTE[number % len(PALETTE)], OTHERS[number // 64 % len(OTHERS)]


@cache
def name(policy: str) -> str:
    """A policy's name for readers: `SRPT`, `one bit, non-preemptive`; an entry's own file keeps its name."""
    base, arguments = parse_spec(policy, "policy")
    arguments = dict(arguments)
    words = NAMES.get(base, base.upper() if base in FIXED else base)
    if base == "kbit" and "bits" in arguments:
        bits = f"{arguments.pop('bits'):g}"
        words = f"{bits} bit" if bits == "1" else f"{bits} bits"
    tail = []
    for key, value in arguments.items():
        text = f"{value:g}" if isinstance(value, float) else str(value).lower()
        if key == "preemptive":
            tail.append("preemptive" if text == "true" else "non-preemptive")
        elif key == "thresholds":
            tail.append(f"{text} thresholds")
        elif text == "optimal":
            tail.append(f"best {key}")
        else:
            tail.append(f"{key} {text}")
    return ", ".join([words, *tail])


def figure(width: float, height: float) -> Figure:
    """An empty figure in the book's style, sizes in inches; identifiers inside its SVG are fixed."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(
        {
            "font.family": "DejaVu Sans",  # shipped with matplotlib, so the same on every machine
            "font.size": 9.5,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 9.5,
            "axes.labelcolor": INK,
            # Ticks say what they mean, not differences from one that stands above the axis.
            "axes.formatter.useoffset": False,
            "text.color": INK,
            "axes.edgecolor": "#9a9a9a",
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": RULE,
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "xtick.color": "#555555",
            "ytick.color": "#555555",
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "lines.linewidth": 1.6,
            "lines.markersize": 5,
            "legend.frameon": False,
            "legend.fontsize": 8.8,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "svg.hashsalt": "openqueues",
            "svg.fonttype": "path",
        }
    )
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(made)
    return made


def save(drawn: Figure, path: Path) -> None:
    """Write an SVG without a date, so that the same figure has the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.08)


def legend(drawn: Figure, policies: list[str], lines: bool = True) -> None:
    """The policies, in the order given, below the panels; without lines where the figure has marks only."""
    from matplotlib.lines import Line2D

    handles = []
    for policy in policies:
        own = look(policy)
        kind = own.line if lines else "none"
        handles.append(
            Line2D(
                [],
                [],
                color=own.colour,
                marker=own.marker,
                linestyle=kind,
                markerfacecolor=own.face,
                label=name(policy),
            )
        )
    longest = max(len(name(policy)) for policy in policies)
    columns = max(1, min(5, len(policies), int(100 / (longest + 8))))
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.6, handlelength=2.2)


def legend_of_classes(drawn: Figure, classes: list[str]) -> None:
    """What policies are told, below the panels."""
    from matplotlib.lines import Line2D

    handles = []
    for told in classes:
        colour, marker = CLASSES[told]
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", label=told))
    drawn.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.6)
