# Refuses settings that the schema does not know, and makes sure that `openqueues` is the one beside this Snakemake.
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from openqueues import WARM, results
from openqueues.models.errors import InputError

try:
    validate(config, "../config.schema.yaml")
except WorkflowError as error:
    fault, wrong = error.__context__, "a setting"
    if fault.validator == "additionalProperties":
        key = next(key for key in fault.instance if key not in fault.schema["properties"])
        wrong = str(registry.unknown("setting", key, fault.schema["properties"]))
    elif fault.validator == "enum":
        wrong = str(registry.unknown(fault.path[0], str(fault.instance), fault.validator_value))
    else:
        wrong = f"the setting '{'.'.join(fault.path)}' is wrong: {fault.message}."
    raise WorkflowError(f"{wrong} Settings: workflow/config.yaml, or --config on the command line.") from None

shell.prefix(f"export PATH={os.path.dirname(sys.executable)}:$PATH; ")

# Cells start in a tenth of the time when a process that has loaded the libraries forks them (harness/warm.py).
# It ends when Snakemake does. Where cells run elsewhere, the Snakemake that runs them there, which knows no hooks, starts
# one of its own. An inherited socket is one of another machine.
def start_warm():
    folder = tempfile.mkdtemp(prefix="openqueues-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[WARM] = f"{folder}/socket"
    subprocess.Popen([sys.executable, "-m", "openqueues.warm", os.environ[WARM]])


os.environ.pop(WARM, None)
if workflow.remote_exec:
    start_warm()

onstart:
    try:
        HELD = results.hold(Path(RESULTS))
    except InputError as error:
        raise WorkflowError(str(error)) from None
    if workflow.local_exec:
        start_warm()
