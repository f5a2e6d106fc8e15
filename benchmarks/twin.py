"""Build and run the C++ twin: the simulation of openqueues.models.queues, to be timed against."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from openqueues.models.queues.replication import WARM_UP
from openqueues.models.streams import streams

HERE = Path(__file__).parent
BUILD = HERE / "build"
# The last two flags change no result; without them g++ makes the maximum in Lindley's recursion a branch that
# is mispredicted, and FCFS at load 0.8 takes half as long again. -ffast-math gains nothing more.
FLAGS = ["-O3", "-march=native", "-std=c++17", "-fno-signed-zeros", "-ffinite-math-only"]
TABLES = ["ke_double", "we_double", "fe_double"]


@cache
def build() -> Path:
    """Compile the twin against the static library that numpy ships; returns the program."""
    BUILD.mkdir(exist_ok=True)
    shipped = Path(np.__file__).parent / "random" / "lib" / "libnpyrandom.a"
    library, program = BUILD / "libnpyrandom.a", BUILD / "twin"
    subprocess.run(["objcopy", *(f"--globalize-symbol={table}" for table in TABLES), shipped, library], check=True)
    subprocess.run(["g++", *FLAGS, "-o", program, HERE / "cpp" / "twin.cpp", library], check=True)
    return program


def run(policy: str, load: float, seed: int, jobs: int) -> dict[str, float]:
    """One replication by the twin: `cpu` seconds of the simulation, and the metrics."""
    words: list[int] = []
    for generator in streams(seed)[:3]:
        state = generator.bit_generator.state["state"]
        for number in (state["state"], state["inc"]):
            words += divmod(number, 1 << 64)
    arguments = [policy, load, jobs, int(WARM_UP * jobs), *words]
    output = subprocess.run([build(), *map(str, arguments)], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)
