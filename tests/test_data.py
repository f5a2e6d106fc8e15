"""`openqueues data`: the catalogue of public traces, fetching and verifying; the network is played by files."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from urllib.error import URLError

import pytest
from openqueues import cli, data_cli
from openqueues.models.errors import InputError
from openqueues.models.laws import ssjf
from openqueues.models.llm import measured

DATA = os.environ.get("OPENQUEUES_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="OPENQUEUES_DATA is not set")

# The first rows of the originals.
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0781490,110,27
2023-11-16 18:17:04.1206440,7433,14
2023-11-16 18:17:33.4590290,1555,19
"""
AZURE_OURS = "\r\n".join(
    ["t_s,context_tokens,generated_tokens", "0.000,4808,10", "0.052,3180,8", "0.098,110,27", "0.141,7433,14"]
    + ["29.479,1555,19", ""]
)
MOONCAKE = """{"timestamp": 0, "input_length": 2290, "output_length": 316, "hash_ids": [0, 42, 43, 44, 45]}
{"timestamp": 3000, "input_length": 915, "output_length": 355, "hash_ids": [0, 462]}
"""
MOONCAKE_OURS = "t_ms,input_tokens,output_tokens,hash_ids_512\r\n0,2290,316,0 42 43 44 45\r\n3000,915,355,0 462\r\n"
LENGTHS = "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n3772,54,3826,69.85\n2015,156,2171,12.9\n"
LENGTHS_OURS = "num_prefill_tokens,num_decode_tokens\r\n3772,54\r\n2015,156\r\n"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    monkeypatch.delenv("OPENQUEUES_DATA", raising=False)


def ask(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.main(["data", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def network(monkeypatch):
    """Addresses and what is there; everything else has no answer."""
    there = {}

    def answer(url, timeout):
        if url not in there:
            raise URLError("Name or service not known")
        return io.BytesIO(there[url])

    monkeypatch.setattr(data_cli, "urlopen", answer)
    return there


@pytest.fixture
def small(monkeypatch):
    """A catalogue of small files, one per conversion, one that cannot be fetched."""
    files = {
        "azure.csv": ("azure", AZURE, AZURE_OURS),
        "mooncake.csv": ("mooncake", MOONCAKE, MOONCAKE_OURS),
        "lengths.csv": ("lengths", LENGTHS, LENGTHS_OURS),
        "plain.json": ("none", "{}", "{}"),
    }
    common = {"title": "t", "source": "s", "licence": "MIT", "cite": "c"}
    known = {
        name: common
        | {"url": f"https://x.org/{name}", "conversion": how, "bytes": len(ours)}
        | {"sha256": hashlib.sha256(ours.encode()).hexdigest()}
        for name, (how, _, ours) in files.items()
    }
    known["closed.csv"] = common | {"why": "ask them", "bytes": 1, "sha256": "0" * 64}
    monkeypatch.setattr(data_cli, "catalogue", lambda: known)
    return {f"https://x.org/{name}": original.encode() for name, (_, original, _) in files.items()}


def test_the_catalogue_says_what_is_needed_of_every_file():
    known = data_cli.catalogue()
    for name, file in known.items():
        assert {"title", "source", "licence", "cite", "bytes", "sha256"} <= set(file), name
        assert len(file["sha256"]) == 64 and file["bytes"] > 0
        if "url" in file:
            assert file["url"].startswith("https://") and file["conversion"] in ("none", *data_cli._CONVERSIONS)
            assert file["conversion"] != "none" or file["original_sha256"] == file["sha256"]
        else:
            assert file["why"] and "conversion" not in file
    # What the models read from OPENQUEUES_DATA.
    assert {ssjf.FULL, measured.HISTOGRAM, *(trace.file for trace in measured.TRACES.values())} <= set(known)


def test_the_list(capsys):
    code, out, err = ask(capsys, "list")
    assert code == 0 and err == "" and all(name in out for name in data_cli.catalogue())
    code, out, _ = ask(capsys, "list", "--json")
    assert json.loads(out) == data_cli.catalogue()


def test_files_are_fetched_converted_and_verified(small, network, tmp_path, capsys):
    network |= small
    folder = tmp_path / "new" / "data"
    code, out, err = ask(capsys, "fetch", "all", "--folder", str(folder))
    assert code == 0 and err == ""
    assert "closed.csv: cannot be fetched: from s, ask them" in out and "azure.csv: fetched" in out
    assert (folder / "azure.csv").read_bytes() == AZURE_OURS.encode()
    assert sorted(path.name for path in folder.iterdir()) == ["azure.csv", "lengths.csv", "mooncake.csv", "plain.json"]
    assert ask(capsys, "verify", "--folder", str(folder))[0] == 0
    network.clear()
    code, out, _ = ask(capsys, "fetch", "azure.csv", "--folder", str(folder))
    assert code == 0 and "is there already" in out


def test_the_folder_may_come_from_the_environment(small, network, tmp_path, capsys, monkeypatch):
    network |= small
    monkeypatch.setenv("OPENQUEUES_DATA", str(tmp_path))
    assert ask(capsys, "fetch", "plain.json")[0] == 0 and (tmp_path / "plain.json").is_file()
    assert ask(capsys, "verify")[:2] == (0, "plain.json: ok\n")


def test_a_changed_file_is_found(small, tmp_path, capsys):
    (tmp_path / "plain.json").write_text("{ }")
    code, out, _ = ask(capsys, "verify", "--folder", str(tmp_path))
    assert code == 1 and "plain.json: differs" in out
    code, out, _ = ask(capsys, "verify", "azure.csv", "--folder", str(tmp_path))
    assert code == 1 and out == "azure.csv: absent\n"


def refused(capsys, sentence: str, *words: str) -> None:
    code, _, err = ask(capsys, *words)
    assert code == 2 and sentence in err, err
    assert err.startswith("openqueues: ") and err.count("\n") == 1


def test_what_goes_wrong_gets_a_sentence(small, network, tmp_path, capsys):
    folder = ("--folder", str(tmp_path / "d"))
    refused(capsys, "Name or service not known; is there a network?", "fetch", "azure.csv", *folder)
    network["https://x.org/azure.csv"] = b"<html>not found</html>"
    refused(capsys, "is not its original", "fetch", "azure.csv", *folder)
    network["https://x.org/azure.csv"] = AZURE.replace("4808", "4809").encode()
    refused(capsys, "is not the file of the catalogue", "fetch", "azure.csv", *folder)
    network["https://x.org/mooncake.csv"] = b"{]"
    refused(capsys, "is not its original", "fetch", "mooncake.csv", *folder)
    assert not (tmp_path / "d").exists()
    code, out, _ = ask(capsys, "fetch", "closed.csv", *folder)
    assert code == 1 and "cannot be fetched" in out
    refused(capsys, "did you mean 'azure.csv'?", "fetch", "azur.csv", *folder)
    refused(capsys, "unknown file 'no'", "verify", "no", *folder)
    refused(capsys, "is not there", "verify", *folder)
    refused(capsys, "holds none of the 5 files", "verify", "--folder", str(tmp_path))
    refused(capsys, "there is no folder of data", "fetch", "azure.csv")
    refused(capsys, "there is no folder of data", "verify")
    refused(capsys, "the following arguments are required: ACTION")
    refused(capsys, "the following arguments are required: FILE", "fetch")
    refused(capsys, "unknown ACTION 'lst': did you mean 'list'?", "lst")
    (tmp_path / "file").write_text("")
    refused(capsys, "cannot be written", "fetch", "plain.json", "--folder", str(tmp_path / "file"))


def test_an_answer_that_breaks_off_leaves_nothing(small, monkeypatch, tmp_path, capsys):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(data_cli, "urlopen", lambda url, timeout: Broken())
    refused(capsys, "Connection reset", "fetch", "plain.json", "--folder", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@needs_data
def test_the_files_here_are_those_of_the_catalogue(capsys):
    code, out, _ = ask(capsys, "verify", "--folder", DATA)
    assert code == 0 and out.count(": ok\n") == len(data_cli.catalogue())


@needs_data
def test_conversions_begin_like_the_files_here():
    begin = {"azure2023_code.csv": ("azure", "\n".join(AZURE.split("\n")[:5]) + "\n")}
    begin["arxiv_summarization_lengths_llama2.csv"] = ("lengths", LENGTHS)
    for name, (how, original) in begin.items():
        ours = data_cli.convert(how, original.encode(), name)
        assert Path(DATA, name).read_bytes().startswith(ours)
    with pytest.raises(InputError):
        data_cli.convert("azure", b"", "x")
