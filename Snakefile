# The way in. `snakemake` makes every result and the book of the tier that workflow/config.yaml names;
# `snakemake --config tier=smoke` (or paper) chooses another. Nothing is computed here: each rule calls `openqueues`.
from openqueues import plan, registry

configfile: "workflow/config.yaml"

include: "workflow/rules/config.smk"

RESULTS = f"{config['results']}/{config['tier']}"
CELLS = {cell.path: cell for cell in plan.cells(config["tier"], config["results"])}

include: "workflow/rules/cells.smk"
include: "workflow/rules/book.smk"

rule all:
    default_target: True
    input:
        rules.book.output,

onsuccess:
    print(f"The book: {os.path.abspath(rules.book.output[0])}")
