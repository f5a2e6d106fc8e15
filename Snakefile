# The way in. `snakemake` makes every result and the book of the tier that workflow/config.yaml names;
# `snakemake --config tier=smoke` (or paper) chooses another. Nothing is computed here: each rule calls `openqueues`.
import atexit

from openqueues import costs, plan, registry

configfile: "workflow/config.yaml"

include: "workflow/rules/config.smk"

RESULTS = f"{config['results']}/{config['tier']}"
CELLS = {cell.path: cell for cell in plan.cells(config["tier"], config["results"])}

include: "workflow/rules/cells.smk"
include: "workflow/rules/book.smk"

# The empty command makes this rule run even when all is up to date, so that the path is printed then too.
rule all:
    default_target: True
    localrule: True
    input:
        rules.book.output,
    shell:
        ":"

# Snakemake still prints its own closing lines after this; the path is to be the last one.
onsuccess:
    atexit.register(print, f"The book: {os.path.abspath(rules.book.output[0])}")
