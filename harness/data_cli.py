"""`openqueues data`: the public traces that runs may read: what they are, fetching them, checking them."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import tomllib
from datetime import datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from openqueues.models.errors import InputError, unknown
from openqueues.results import replace, writable

CATALOGUE = Path(__file__).parent / "data.toml"
TIMEOUT_S = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `openqueues data` to its parser."""
    kinds = parser.add_subparsers(metavar="ACTION", dest="action", required=True, parser_class=type(parser))
    kind = kinds.add_parser("list", help="the traces, their sources and licences", allow_abbrev=False)
    kind.add_argument("--json", action="store_true", help="JSON with all that is known, instead of a table")
    folder = "folder of the files (default: OPENQUEUES_DATA)"
    kind = kinds.add_parser("fetch", help="download, convert and verify traces", allow_abbrev=False)
    kind.add_argument("names", nargs="+", metavar="FILE", help="names of `openqueues data list`, or all")
    kind.add_argument("--folder", metavar="DIR", help=folder)
    kind = kinds.add_parser("verify", help="check files against their SHA-256", allow_abbrev=False)
    kind.add_argument("names", nargs="*", metavar="FILE", help="names (default: all that are there)")
    kind.add_argument("--folder", metavar="DIR", help=folder)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line asks; 1 where a file differs, is absent though named, or cannot be fetched."""
    known = catalogue()
    if chosen.action == "list":
        print(json.dumps(known, indent=1, ensure_ascii=False) if chosen.json else _table(known))
        return 0
    names = list(known) if chosen.names == ["all"] else chosen.names
    for name in names:
        if name not in known:
            raise unknown("file", name, known)
    folder = _folder(chosen.folder)
    if chosen.action == "verify":
        return _verify(known, names, folder)
    return _fetch(known, names, folder, all_of_them=chosen.names == ["all"])


def catalogue() -> dict[str, dict]:
    """What is known of each file, by its name in the folder; the keys are explained at the head of data.toml."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def _folder(given: str | None) -> Path:
    name = given or os.environ.get("OPENQUEUES_DATA")
    if not name:
        raise InputError("there is no folder of data: give --folder DIR, or set OPENQUEUES_DATA to one.")
    return Path(name)


def _table(known: dict[str, dict]) -> str:
    from openqueues.listing import columns

    rows = [["file", "fetch", "kB", "licence", "title"]]
    for name, file in known.items():
        licence = file["licence"] if len(file["licence"]) < 16 else "see --json"
        rows.append([name, "yes" if "url" in file else "no", str(-(-file["bytes"] // 1000)), licence, file["title"]])
    note = "`openqueues data fetch FILE --folder DIR` downloads one, and OPENQUEUES_DATA=DIR lets runs read it."
    return "\n".join([columns(rows, right=(2,)), "", note])


def _verify(known: dict[str, dict], names: list[str], folder: Path) -> int:
    if not folder.is_dir():
        raise InputError(f"the folder '{folder}' is not there: name one, or fetch into it first.")
    failed, seen = False, 0
    for name in names or known:
        path = folder / name
        if not path.is_file():
            if names:
                print(f"{name}: absent")
                failed = True
            continue
        seen += 1
        try:
            right = hashlib.sha256(path.read_bytes()).hexdigest() == known[name]["sha256"]
        except OSError as error:
            raise InputError(f"cannot read '{path}': {error.strerror or error}.") from None
        print(f"{name}: {'ok' if right else 'differs from the catalogue: fetch it again'}")
        failed = failed or not right
    if not seen and not names:
        raise InputError(f"the folder '{folder}' holds none of the {len(known)} files of the catalogue.")
    return 1 if failed else 0


def _fetch(known: dict[str, dict], names: list[str], folder: Path, all_of_them: bool) -> int:
    writable(folder)
    failed = False
    for name in names:
        file, path = known[name], folder / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]:
            said = "is there already"
        elif "url" not in file:
            said = f"cannot be fetched: from {file['source']}, {file['why']}"
            failed = failed or not all_of_them
        else:
            content = convert(file["conversion"], _download(file["url"], name), name)
            found = hashlib.sha256(content).hexdigest()
            if found != file["sha256"]:
                right = "the source has changed, or something changed it on the way"
                raise InputError(f"'{name}' from {file['url']} is not the file of the catalogue: {right}.")
            replace(path, lambda target, content=content: Path(target).write_bytes(content))
            said = f"fetched, {len(content)} bytes, {file['licence']}; please cite {file['cite']}"
        print(f"{name}: {said}", flush=True)
    return 1 if failed else 0


def _download(url: str, name: str) -> bytes:
    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer:
            return answer.read()
    except (URLError, OSError) as error:
        why = getattr(error, "reason", None) or error
        raise InputError(f"cannot download '{name}' from {url}: {why}; is there a network?") from None


def convert(conversion: str, content: bytes, name: str) -> bytes:
    """The bytes of a file of the catalogue from those of its original; InputError where that is another file.

    none: as it is. azure: clock times become seconds from the first row, rounded to ms. mooncake: lines of JSON
    become CSV. lengths: the first two columns. Converted files have the line ends of the csv module, CR LF.
    """
    if conversion == "none":
        return content
    try:
        lines = list(_CONVERSIONS[conversion](io.StringIO(content.decode("utf-8-sig"), newline="")))
        if len(lines) < 2:
            raise ValueError
    except (ValueError, KeyError, IndexError, StopIteration, RuntimeError, UnicodeDecodeError, csv.Error):
        raise InputError(f"what was downloaded as '{name}' is not its original: the source has changed.") from None
    return "".join(f"{line}\r\n" for line in lines).encode()


def _azure(stream):
    yield "t_s,context_tokens,generated_tokens"
    first = None
    for row in csv.DictReader(stream):
        # Seven digits of a second: the seventh is beyond what datetime reads, and always 0.
        clock = datetime.strptime(row["TIMESTAMP"][:26], "%Y-%m-%d %H:%M:%S.%f")
        first = first or clock
        seconds = (clock - first).total_seconds()
        yield f"{seconds:.3f},{int(row['ContextTokens'])},{int(row['GeneratedTokens'])}"


def _mooncake(stream):
    yield "t_ms,input_tokens,output_tokens,hash_ids_512"
    for line in stream:
        if line.strip():
            row = json.loads(line)
            lengths = (row["timestamp"], row["input_length"], row["output_length"])
            yield ",".join([*map(str, lengths), " ".join(map(str, row["hash_ids"]))])


def _lengths(stream):
    for row in csv.reader(stream):
        yield ",".join(row[:2])


_CONVERSIONS = {"azure": _azure, "mooncake": _mooncake, "lengths": _lengths}
