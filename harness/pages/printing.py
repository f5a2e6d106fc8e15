"""The whole book as one page to print, print.html: a Sphinx extension that the book's _config.yml names.

Joined pages need no second build, no TeX and no browser, and any browser makes a PDF of them. What is folded on a page
(tables of all points, sources of policies) is left out, and of an experiment's metrics the first one is kept.
"""

from __future__ import annotations

import json
import posixpath
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FILE = "print.html"
TAG = re.compile(r"<[a-z][^>]*>")
ATTRIBUTE = re.compile(r'(?<= )(href|src|id|for|name)="([^"]*)"')
TAB = re.compile(r'<input\b(?P<first> checked="checked")?[^>]*>\s*<label\b[^>]*>.*?</label>\s*(?=<div\b)', re.DOTALL)
DIV = re.compile(r"<(/?)div\b")
LEFT_OUT = re.compile(
    r'<details\b.*?</details>|<a class="headerlink".*?</a>|<input\b[^>]*>|<script\b.*?</script>', re.DOTALL
)


def setup(app: Sphinx) -> dict:
    """Called by Sphinx: keep each page's text as it is written, and join them at the end."""
    bodies: dict[str, tuple[str, str]] = {}

    def keep(app: Sphinx, page: str, template: str, context: dict, tree: object) -> None:
        if tree is not None:  # the page has a source: it is not the search or an index
            bodies[page] = (context["title"], context["body"])

    def write(app: Sphinx, error: Exception | None) -> None:
        if error is None and app.builder.format == "html":
            order = _order(app.env.toctree_includes, app.config.root_doc)
            pages = [(page, *bodies[page]) for page in order if page in bodies]
            text = joined(app.config.html_title, pages, app.config.mathjax3_config or {})
            Path(app.outdir, FILE).write_text(text, encoding="utf-8")

    app.connect("html-page-context", keep)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


def _order(children: dict[str, list[str]], page: str) -> list[str]:
    """The pages in the order of the table of contents."""
    return [page, *(below for child in children.get(page, []) for below in _order(children, child))]


def joined(title: str, pages: list[tuple[str, str, str]], mathjax: dict) -> str:
    """One HTML page of many (name, title, body), with a table of contents; links between them stay inside it.

    `mathjax` is what the pages of the book tell MathJax.
    """
    names = [name for name, _, _ in pages]
    contents = "".join(f'<li><a href="#{place(name)}">{heading}</a></li>' for name, heading, _ in pages)
    parts = "\n".join(
        f'<section class="page" id="{place(name)}">{inside(name, body, names)}</section>' for name, _, body in pages
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}: the whole book</title>
<meta name="description" content="All pages of the book as one, for printing.">
<link rel="stylesheet" href="_static/print.css">
<script>window.MathJax = {json.dumps(mathjax)}</script>
<script defer src="_static/mathjax/tex-chtml.js"></script></head><body>
<nav><p class="hint">This is the whole book for printing: of each experiment the main metric, and no folded tables.
Your browser prints it or saves it as PDF; <a href="index.html">the book itself</a> has all.</p>
<ol>{contents}</ol></nav>
{parts}
</body></html>
"""


def place(page: str, target: str = "") -> str:
    """The identifier in the joined page of a page, or of a target inside it."""
    return page.replace("/", "-") + (f"--{target}" if target else "")


def inside(page: str, body: str, pages: list[str]) -> str:
    """The body of a page with identifiers that are its own, and links as they are from the book's folder."""

    def attribute(found: re.Match) -> str:
        name, value = found.groups()
        if name in ("href", "src"):
            return f'{name}="{_link(page, value, pages)}"'
        return f'{name}="{place(page, value)}"'

    return TAG.sub(lambda tag: ATTRIBUTE.sub(attribute, tag[0]), LEFT_OUT.sub("", _first_tabs(body)))


def _first_tabs(body: str) -> str:
    """The body with the first tab of each set only."""
    kept, at = [], 0
    for tab in TAB.finditer(body):
        if tab["first"] or tab.start() < at:
            continue
        kept.append(body[at : tab.start()])
        depth = 0
        for div in DIV.finditer(body, tab.end()):
            depth += -1 if div[1] else 1
            if not depth:
                at = body.index(">", div.end()) + 1
                break
    return "".join([*kept, body[at:]])


def _link(page: str, link: str, pages: list[str]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return link
    if not parts.path:
        return f"#{place(page, parts.fragment)}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), parts.path))
    if path.removesuffix(".html") in pages:
        return f"#{place(path.removesuffix('.html'), parts.fragment)}"
    return path + (f"#{parts.fragment}" if parts.fragment else "")
