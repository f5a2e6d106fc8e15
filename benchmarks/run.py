"""Run the benchmarks: `python benchmarks/run.py [--quick] [--only NAME ...]`.

Prints each table in Markdown and keeps all of them, with the machine and the versions, in results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cluster
import dispatching
import kernels
import llm
import llm_peers
import startup
from measure import provenance, table

RESULTS = Path(__file__).with_name("results.json")
TABLES: dict[str, Callable[[bool], list[dict[str, Any]]]] = {
    "kernels": kernels.kernels,
    "peers": kernels.peers,
    "plugin": kernels.plugin,
    "threads": kernels.threads,
    "dispatching": dispatching.dispatching,
    "analysis": startup.analysis,
    "start": startup.start,
    "compiling": startup.compiling,
    "llm": llm.llm,
    "llm_peers": llm_peers.llm_peers,
    "llm_memory": llm.llm_memory,
    "cluster": cluster.cluster,
}


# Headings of the page on performance, where the name does not do.
TITLES = {"llm": "LLM serving", "llm_peers": "LLM serving: other simulators", "llm_memory": "LLM serving: memory"}
TITLES["cluster"] = "LLM serving: clusters"


def main() -> int:
    parser = argparse.ArgumentParser(description="Time openqueues against C++ twins and other simulators.")
    parser.add_argument("--quick", action="store_true", help="fewer jobs; does not write results.json")
    parser.add_argument("--only", action="append", choices=TABLES, help="only this table (may be repeated)")
    arguments = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = False
    for name in arguments.only or TABLES:
        measure = TABLES[name]
        print(f"\n## {name}\n\n{measure.__doc__}\n", flush=True)
        try:
            rows = measure(arguments.quick)
        except Exception:
            traceback.print_exc()
            failed = True
            continue
        print(table(rows), flush=True)
        if not arguments.quick:
            kept[name] = {
                "title": TITLES.get(name, name.capitalize()),
                "what": measure.__doc__,
                "rows": rows,
                "provenance": provenance(),
            }
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
