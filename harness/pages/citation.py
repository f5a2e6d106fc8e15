"""How to cite an entry: BibTeX from CITATION.cff and from what the entry says of itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from openqueues.models.errors import InputError
from openqueues.pages.markdown import directive

if TYPE_CHECKING:
    from openqueues.entry import Entry

MARK = "<!-- citation -->"
"""Stands on the page of an entry where the section belongs; the book puts it there."""
NAME = "cite.bib"


def software(file: Path) -> dict:
    """What CITATION.cff says of openqueues and of the survey; InputError where it cannot be read."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as a citation file ({error}): restore it.") from error


def section(entry: Entry, cited: dict, folder: Path) -> str:
    """The section on how to cite an entry; a file that has its references, too, goes into `folder`."""
    own, survey = _own(entry, cited), _survey(cited["references"][0])
    others = [_other(one) for one in entry.references if cited["references"][0]["doi"] not in one.url]
    (folder / NAME).write_text("\n".join([own, survey, *others]), encoding="utf-8")
    return (
        "## How to cite\n\n"
        "The entry and the survey that asks the question; say with a number its tier and the entry's version.\n\n"
        + directive("code-block", "bibtex", f"{own}\n{survey}")
        + f"\nWith the references of this page: {{download}}`BibTeX <{NAME}>`\n"
    )


def _own(entry: Entry, cited: dict) -> str:
    asked = f", question {' and '.join(entry.answers)} of the survey" if entry.answers else ""
    fields = {
        "author": " and ".join(_author(one) for one in cited["authors"]),
        "title": f"{{{_tex(entry.title)}}}",
        "version": f"{cited['version']}, version {entry.version} of the entry",
        "note": f"Entry {entry.slug} of {cited['title']}{asked}",
    }
    if entry.status:
        fields["year"] = str(entry.status.date.year)
    return _record("software", f"{cited['title']}-{entry.slug}", fields)


def _survey(cited: dict) -> str:
    fields = {
        "author": " and ".join(_author(one) for one in cited["authors"]),
        "title": f"{{{_tex(cited['title'])}}}",
        "journal": cited["journal"],
        "volume": cited["volume"],
        "number": cited["issue"],
        "pages": f"{cited['start']}--{cited['end']}",
        "year": cited["year"],
        "doi": cited["doi"],
    }
    return _record("article", f"{cited['authors'][0]['family-names'].lower()}{cited['year']}", fields)


def _other(reference) -> str:
    """A reference of the entry, whose text is not taken apart."""
    fields = {"note": _tex(reference.text.strip())} | ({"url": reference.url} if reference.url else {})
    return _record("misc", reference.key, fields)


def _author(person: dict) -> str:
    return f"{{{person['name']}}}" if "name" in person else f"{person['family-names']}, {person['given-names']}"


def _record(kind: str, key: str, fields: dict) -> str:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}\n"


def _tex(text: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", " ".join(text.split()))
