"""Small pieces of MyST Markdown. All of it is read by Jupyter Book 1 and by version 2."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence


def escape(text: str) -> str:
    """Text for a table cell or a line: what Markdown would read as markup is shown as it is."""
    return _marked(" ".join(str(text).split()))


def prose(text: str) -> str:
    """A docstring's text for a table cell: as escape does it, but with its `code` as code."""
    parts = re.split(r"(`[^`|]+`)", " ".join(text.split()))
    return "".join(part if place % 2 else _marked(part) for place, part in enumerate(parts))


def _marked(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|$#~^])", r"\\\1", text)


def code(text: str) -> str:
    """Text as code inside a line or a table cell."""
    return f"`{text}`"


def span(text: str, kind: str) -> str:
    """Text with a class that the style sheet colours; without the style sheet it reads as plain text."""
    return f"[{text}]{{.{kind}}}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str | None = None) -> str:
    """A table of Markdown cells; `align` holds l or r for each column (default: first l, rest r)."""
    align = align or "l" + "r" * (len(header) - 1)
    marks = [":--" if letter == "l" else "--:" for letter in align]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, marks, *rows)]
    return "\n".join(lines) + "\n"


def stacked(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of words whose cells stand one below the other where the window is narrow."""
    return directive("container", "stacked", table(header, rows, "l" * len(header)))


def directive(name: str, argument: str, content: str, /, **options: str) -> str:
    """A fenced directive; its fence is longer than any fence inside."""
    longest = max((len(fence) for fence in re.findall(r"^[`:]{3,}", content, re.M)), default=2)
    fence = ":" * max(3, longest + 1)
    head = "".join(f":{key}: {value}\n" for key, value in options.items())
    return f"{fence}{{{name}}} {argument}".rstrip() + f"\n{head}\n{content.strip()}\n{fence}\n"


def figure(path: str, alt: str, caption: str, label: str) -> str:
    """A figure with a caption and a text for those who cannot see it."""
    return directive("figure", path, caption, name=label, alt=" ".join(alt.split()), width="100%")


def front(description: str) -> str:
    """The head of a page's file: what search engines and link previews say of it."""
    return f"---\nmyst:\n  html_meta:\n    description: {json.dumps(description, ensure_ascii=False)}\n---\n\n"


def download(path: str, what: str = "Numbers of this figure") -> str:
    """A line with a link to a file of data, for below the figure that shows them."""
    return f"{what}: {{download}}`CSV <{path}>`\n"


def tabs(items: Sequence[tuple[str, str]]) -> str:
    """Content behind tabs; a single item stands as it is."""
    if len(items) == 1:
        return items[0][1]
    return directive("tab-set", "", "\n".join(directive("tab-item", name, content) for name, content in items))


def fold(title: str, content: str) -> str:
    """Content that is closed until the reader opens it."""
    return directive("dropdown", title, content)


def digits(value: float, halfwidth: float = math.nan) -> str:
    """A number as precise as its interval: two digits of the half-width, else five of the number."""
    if value is None or not math.isfinite(value):
        return "–"
    if halfwidth and math.isfinite(halfwidth) and halfwidth > 0:
        places = min(max(1 - math.floor(math.log10(halfwidth)), 0), 6)
    else:
        places = min(max(4 - math.floor(math.log10(abs(value))), 0), 6) if value else 0
    return f"{value:.{places}f}"


def interval(value: float, halfwidth: float) -> str:
    """`2.353 ± 0.004`, both to the same place; a value without an interval stands alone."""
    if value is None or not math.isfinite(value):
        return "–"
    if halfwidth is None or not math.isfinite(halfwidth) or halfwidth <= 1e-9 * abs(value):  # or one of rounding alone
        return digits(value)
    text = digits(value, halfwidth)
    places = len(text.partition(".")[2])
    return f"{text}\u00a0±\u00a0{halfwidth:.{places}f}"  # kept on one line


def percent(share: float, places: int = 2) -> str:
    """A share as a signed percentage with a true minus sign, and more digits where two would show nothing."""
    if share is None or not math.isfinite(share):
        return "–"
    if share and abs(100 * share) < 0.5 * 10.0**-places:
        places = min(places + 2, 6)
    text = f"{100 * share:+.{places}f}%"
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else f"{0:.{places}f}%"


def comma_separated(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV text with Unix line ends and numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def parameters(chosen: dict) -> str:
    """Parameters as words: `load 0.9, sizes weibull:shape=0.5`."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in chosen.items())
