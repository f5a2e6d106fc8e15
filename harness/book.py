"""The book: pages of one entry, and the whole book from the pages of all; each is put in place at once."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from openqueues import registry, results
from openqueues.entry import TIERS, Entry
from openqueues.models.errors import InputError

CHAPTERS = "book"
SUMMARY = "summary.json"  # beside a page: what other pages say of its entry, and the digests of its files
MATHJAX = "sphinx-mathjax-offline"
# What a page needs to set formulas; the package's other files would triple the size of the book.
MATHJAX_FILES = ("static/mathjax/tex-chtml.js", "static/mathjax/output/chtml/fonts/woff-v2/")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `openqueues book` to its parser."""
    steps = parser.add_subparsers(metavar="STEP", dest="step", required=True, parser_class=type(parser))
    for name, text in (
        ("pages", "page, figures and CSV files of one entry"),
        ("build", "the book, from all pages"),
    ):
        step = steps.add_parser(name, help=text, allow_abbrev=False)
        if name == "pages":
            step.add_argument("entry", metavar="ENTRY", help="name of an entry, or id of the question it answers")
        else:
            step.add_argument("entries", metavar="ENTRY", nargs="*", help="entries to show (default: all)")
        step.add_argument("--tier", choices=TIERS, default="standard", help="whose results (default: standard)")
        step.add_argument("--results", default="results", metavar="DIR", help="folder for results (default: results)")


def run(chosen: argparse.Namespace) -> int:
    """Carry out `openqueues book pages ENTRY` or `openqueues book build`."""
    folder = Path(chosen.results) / chosen.tier
    if chosen.step == "pages":
        pages(registry.entry(chosen.entry), chosen.tier, Path(chosen.results))
    else:
        named = {registry.entry(name).slug for name in chosen.entries}
        shown = [entry for entry in registry.entries() if not named or entry.slug in named]
        print(build(folder, Path(CHAPTERS), shown))
    return 0


def pages(entry: Entry, tier: str, results: Path) -> Path:
    """Write an entry's page, figures and CSV files to RESULTS/TIER/book_pages/SLUG; returns that folder."""
    from openqueues import attacks
    from openqueues.pages import data, question, reproduction, style

    found = data.load(entry, tier, results)
    shown = [*entry.all_policies, *(one for e in entry.experiments for one in entry.policies_of(e))]
    style.distinguish([*shown, *(one.policy for one in attacks.read(entry))])
    target = results / tier / "book_pages" / entry.slug
    with replaced(target) as folder:
        facts = (question if entry.kind == "question" else reproduction).write(found, folder)
        facts |= {"files": _digests(folder)}
        text = json.dumps(_plain(facts), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    return target


def _digests(folder: Path) -> dict[str, str]:
    """Digest of each file of an entry's page, but for the one that holds them."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != SUMMARY)
    return {file.relative_to(folder).as_posix(): results.digest(file.read_bytes()) for file in files}


def _facts(entry: Entry, folder: Path) -> dict:
    """What an entry's page says of it; a page that is damaged, or lacks a file, is made again first."""
    made = folder / "book_pages" / entry.slug
    try:
        facts = json.loads((made / SUMMARY).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{made} holds no page: `openqueues book pages {entry.slug}` makes it.") from error
    except ValueError:
        facts = {}
    if facts.get("files") != _digests(made):
        pages(entry, folder.name, folder.parent)
        facts = json.loads((made / SUMMARY).read_text(encoding="utf-8"))
    return facts


def _plain(value):
    """NaN, which JSON does not have, as null; the rest as it is."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def build(folder: Path, chapters: Path, entries: list[Entry]) -> Path:
    """Build the book of these entries from the pages below `folder`; returns the path of its index.html.

    Sources stay in FOLDER/book_source, the book in FOLDER/book. Raises InputError when Jupyter Book warns.
    """
    with replaced(folder / "book_source") as source:
        _sources(folder, chapters, entries, source)
        with replaced(folder / "book") as target:
            scratch = target / ".scratch"
            _jupyter_book(source, scratch)
            html = scratch / "_build" / "html"
            shutil.rmtree(html / "_sources", ignore_errors=True)
            (html / ".buildinfo").unlink(missing_ok=True)
            for template in (html / "_static").rglob("*.html"):  # the theme leaves its own there
                template.unlink()
            for made in html.iterdir():
                made.rename(target / made.name)
            shutil.rmtree(scratch)
    return folder / "book" / "index.html"


def _sources(folder: Path, chapters: Path, entries: list[Entry], source: Path) -> None:
    """Lay out everything that Jupyter Book reads: chapters, entries' pages, generated pages, MathJax."""
    from openqueues import scaffold
    from openqueues.pages import citation, hardware, machines, site, standing

    if not (chapters / "_config.yml").is_file():
        raise InputError(f"{chapters.resolve()} holds no chapters of the book: run this in the repository's root.")
    shutil.copytree(chapters, source, dirs_exist_ok=True)
    facts, cited = {}, citation.software(Path("CITATION.cff"))
    for entry in entries:
        facts[entry.slug] = _facts(entry, folder)
        target = source / "entries" / entry.slug
        shutil.copytree(folder / "book_pages" / entry.slug, target)
        (target / SUMMARY).unlink()
        text = (target / "index.md").read_text(encoding="utf-8")
        cite = citation.section(entry, cited, target)
        (target / "index.md").write_text(text.replace(citation.MARK, cite), encoding="utf-8")
    _mathjax(source / "vendor" / "mathjax")
    generated = {
        "chart": standing.chart(entries, facts),
        "summary": site.summary(entries, facts, folder.name),
        "template": _template(),
        "machines-tiers": machines.tiers(entries),
        "machines-dearest": machines.dearest(entries),
        "machines-constants": machines.constants(),
        "policy": f"```python\n{scaffold.POLICY.strip()}\n```",
    }
    for page in sorted(source.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name, content in generated.items():
            text = text.replace(f"<!-- {name} -->", content)
        page.write_text(text, encoding="utf-8")
    (source / "paper.md").write_text(site.paper(entries, facts), encoding="utf-8")
    (source / "coverage.md").write_text(site.coverage(entries, facts, source), encoding="utf-8")
    (source / "hardware.md").write_text(hardware.write(source), encoding="utf-8")
    (source / "performance.md").write_text(site.performance(Path("benchmarks/results.json")), encoding="utf-8")
    contents = source / "_toc.yml"
    contents.write_text(site.contents(contents.read_text(encoding="utf-8"), entries), encoding="utf-8")


def _template() -> str:
    """The files that `openqueues new problem` writes, which tests run, as a worked example."""
    from openqueues import scaffold

    files = {
        "problem.toml": ("toml", scaffold.PROBLEM_TOML.format(title="My question", question="2.1-c")),
        "problem.py": ("python", scaffold.PROBLEM_PY),
        "policies/mine.py": ("python", scaffold.POLICY),
    }
    return "\n".join(f"`{name}`\n\n```{kind}\n{text.strip()}\n```\n" for name, (kind, text) in files.items())


def _mathjax(target: Path) -> None:
    """Copy MathJax out of its package, so that no page asks another host for it."""
    package = metadata.distribution(MATHJAX)
    for file in package.files or []:
        inside = file.as_posix().partition("/")[2]
        if inside.startswith(MATHJAX_FILES):
            place = target / inside.removeprefix("static/mathjax/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), place)


def _jupyter_book(source: Path, scratch: Path) -> None:
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(source), "--path-output", str(scratch)]
    # Warnings are errors, unknown references are warnings, and all of them are shown.
    done = subprocess.run(
        [*command, "-W", "-n", "--keep-going", "-q"], capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = [
            line.strip() for line in (done.stdout + done.stderr).splitlines() if "WARNING" in line or "ERROR" in line
        ]
        raise InputError("Jupyter Book does not accept the pages: " + ("; ".join(said) or done.stderr[-2000:].strip()))


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`: it takes the place when the block ends well, else it vanishes."""
    prefix = f".{target.name}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f"{prefix}*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    except OSError as error:
        raise InputError(f"{target} cannot be written: {results.why(error)}.") from error
    try:
        yield folder
        mask = os.umask(0)
        os.umask(mask)
        folder.chmod(0o777 & ~mask)
        old = folder.with_name(folder.name + "-old")
        if target.exists():
            target.rename(old)
        folder.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if error.errno not in results.FULL:
            raise
        raise InputError(f"{target} cannot be written: {results.why(error)}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
