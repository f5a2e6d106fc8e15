"""Controllers of a cluster: which share of its instances should compute prompts; one short file each.

    SEES        the columns that the controller may look at, see below
    PARAMETERS  further arguments of control, numbers with their defaults (at most four), given as name:parameter=value
    control(...)  the share of the instances of role prefill or decode that should be of role prefill. It is rounded to
                a number of instances, at least one of each role. Its arguments are columns of SEES and parameters

It is asked every `control_every_s`. Columns, all floats:

    share          of these instances that are, or are changing to be, of role prefill
    instances      of them that are up; changing: of them, that are changing their role
    now, interval  s; time, and from one question to the next
    prefill_tokens tokens of prompts still to compute, per instance of role prefill
    decode_requests   requests sent there that have not left, per instance of role decode
    prefill_busy, decode_busy   share of the last interval that the instances of the role were in iterations
    arrived, arrived_input, arrived_predicted   in the last interval: requests, tokens of their prompts, predicted
                   tokens of their answers (0 without predictions)
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from openqueues.models.llm.routers import MOST_PARAMETERS, read_scalar
from openqueues.models.policies import Policy

COLUMNS = (
    "share",
    "instances",
    "changing",
    "now",
    "interval",
    "prefill_tokens",
    "decode_requests",
    "prefill_busy",
    "decode_busy",
    "arrived",
    "arrived_input",
    "arrived_predicted",
)
"""In the order of the kernel, cluster_change_kernel.py."""
FORECASTS = frozenset({"arrived_predicted"})
_FOLDER = Path(__file__).parent
__all__ = ["COLUMNS", "FORECASTS", "MOST_PARAMETERS", "controller", "names"]


@cache
def names() -> tuple[str, ...]:
    """The names of the built-in controllers."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__"))


def controller(spec: str) -> Policy:
    """Read the controller that `spec` names, for example `busy`, `work:answer=4` or `mine.py`.

    Raises InputError with one sentence.
    """
    return read_scalar(spec, "controller", _FOLDER, names(), COLUMNS, {})
