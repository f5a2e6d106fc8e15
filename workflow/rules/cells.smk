# A cell is a problem x experiment x policy. Its hash covers exactly the sources that its numbers depend on, so a
# change to one of them, and nothing else, makes the cell again. A policy that fails gives rows with status failed.
rule cell:
    wildcard_constraints:
        problem="[a-z0-9-]+",
        experiment="[a-z0-9-]+",
    output:
        table=f"{RESULTS}/{{problem}}/{{experiment}}/{{policy}}.parquet",
        provenance=f"{RESULTS}/{{problem}}/{{experiment}}/{{policy}}.json",
    params:
        policy=lambda wildcards, output: CELLS[output.table].policy,
        hash=lambda wildcards, output: CELLS[output.table].hash,
    group:
        "cells"
    shell:
        "openqueues run {wildcards.problem} --tier {config[tier]} --experiment {wildcards.experiment}"
        " --policy {params.policy:q} --results {config[results]:q} --cores 1 --keep-going"
