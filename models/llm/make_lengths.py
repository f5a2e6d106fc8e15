"""Make the tables of lengths in data/ from the traces in a folder.

python -m openqueues.models.llm.make_lengths FOLDER OUT
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import measured

CLASSES = 24
ORIGINS = {
    "azure-conv": "Azure/AzurePublicDataset AzureLLMInferenceTrace_conv.csv at b469a11, CC-BY 4.0 (Splitwise, ISCA'24)",
    "azure-code": "Azure/AzurePublicDataset AzureLLMInferenceTrace_code.csv at b469a11, CC-BY 4.0 (Splitwise, ISCA'24)",
    "mooncake": "kvcache-ai/Mooncake FAST25-release/traces/conversation_trace.jsonl at 3b5a59413, Apache-2.0",
    "servegen-r1": "alibaba/ServeGen at f891d11, DeepSeek-R1 workload of 10 requests/s and 1 h, seed 0, Apache-2.0",
    "sharegpt": "agrimUT/SLAI data/processed_traces (ShareGPT lengths, Llama-2 tokens) at 5098a7a, Apache-2.0",
    "arxiv": "microsoft/vidur data/processed_traces (arXiv summarisation, Llama-2 tokens) at 7d47513, MIT",
    "lmsys": "LMSYS-Chat-1M, aggregate counts of 100,000 pairs (inputs to 500, outputs below 600) by bins",
}


def pairs(name: str, folder: Path) -> np.ndarray:
    """(input, output) of every request, int64; of a histogram, spread evenly at random over each bin."""
    if name != "lmsys":
        os.environ["OPENQUEUES_DATA"] = str(folder)
        requests = measured.full(name)
        return np.stack((requests.input_tokens, requests.output_tokens), axis=1)
    rng = np.random.default_rng(0)
    found = []
    with open(folder / measured.HISTOGRAM, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            low, high = ([int(row[f"{side}_{end}"]) for side in ("input", "output")] for end in ("lo", "hi"))
            found.append(rng.integers(np.maximum(low, 1), high, size=(int(row["count"]), 2)))
    return np.concatenate(found)


def text(name: str, lengths: np.ndarray) -> str:
    """The table of the pairs, as the text of a TOML file."""
    n = len(lengths)
    rng = np.random.default_rng(0)
    ranks = []
    for column in lengths.T:
        # Equal lengths are ordered at random, so that each class of ranks holds as many requests.
        order = np.lexsort((rng.random(n), column))
        rank = np.empty(n, dtype=np.int64)
        rank[order] = np.arange(n) * CLASSES // n
        ranks.append(rank)
    counts = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(counts, tuple(ranks), 1)
    place = np.minimum((measured.LEVELS * n).astype(np.int64), n - 1)
    quantiles = np.sort(lengths, axis=0)[place].T
    means, deviations = lengths.mean(axis=0), lengths.std(axis=0)
    lines = [
        f"# Lengths of the trace '{name}': quantiles of {n} requests at the levels of measured.LEVELS, and how many",
        f"# requests are in each of {CLASSES} equal classes of input (rows) and output length (columns), short first.",
        f"# Source: {ORIGINS[name]}.",
        "# Made by: python -m openqueues.models.llm.make_lengths FOLDER OUT",
        f"mean = [{means[0]:.6g}, {means[1]:.6g}]",
        f"cv = [{deviations[0] / means[0]:.6g}, {deviations[1] / means[1]:.6g}]",
        f"correlation = {np.corrcoef(lengths.T)[0, 1]:.6g}",
        *(f"{side}_tokens = [{_list(row)}]" for side, row in zip(("input", "output"), quantiles, strict=True)),
        "ranks = [",
        *(f"  [{_list(row)}]," for row in counts),
        "]",
    ]
    return "\n".join(lines) + "\n"


def _list(numbers) -> str:
    return ",".join(map(str, numbers))


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for name in measured.NAMES:
            content = text(name, pairs(name, Path(arguments[0])))
            (Path(arguments[1]) / f"{name}.toml").write_text(content, encoding="utf-8", newline="\n")
    except (InputError, OSError, KeyError, ValueError) as error:
        print(f"make_lengths: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
