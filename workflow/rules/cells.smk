# A cell is a problem x experiment x policy. Its hash covers exactly the sources that its numbers depend on, so a
# change to one of them, and nothing else, makes the cell again. A policy that fails gives rows with status failed.
# What it takes is estimated from measured rates (harness/costs.py), with room, and more at each retry. The name of its
# group says how many such cells make a job of a cluster; profiles/slurm puts that many together. In that job the cells
# are local and in no group: as steps of the job, each would start Snakemake anew, which takes longer than most cells.
#
# Snakemake compares the hash with the one that it noted when it made the file. For files that were made or brought here
# without it, and where its notes are lost, every cell needs a file that is newer than what is stale, and nothing else.
SINCE = ".snakemake/openqueues"
if workflow.is_main_process:
    plan.date(CELLS.values(), SINCE)


def cell_of(wildcards):
    return CELLS[f"{RESULTS}/{wildcards.problem}/{wildcards.experiment}/{wildcards.policy}.parquet"]


rule cell:
    wildcard_constraints:
        problem="[a-z0-9-]+",
        experiment="[a-z0-9-]+",
    input:
        SINCE,
    output:
        table=f"{RESULTS}/{{problem}}/{{experiment}}/{{policy}}.parquet",
        provenance=f"{RESULTS}/{{problem}}/{{experiment}}/{{policy}}.json",
    params:
        policy=lambda wildcards: cell_of(wildcards).policy,
        hash=lambda wildcards: cell_of(wildcards).hash,
    resources:
        turn=1,
        mem_mb=lambda wildcards, attempt: attempt * cell_of(wildcards).cost.memory_mb,
        runtime=lambda wildcards, attempt: attempt * cell_of(wildcards).cost.minutes,
    localrule: workflow.remote_exec
    group:
        None if workflow.remote_exec else lambda wildcards: f"cells-{cell_of(wildcards).cost.share}"
    shell:
        "openqueues run {wildcards.problem} --tier {config[tier]} --experiment {wildcards.experiment}"
        " --policy {params.policy:q} --results {config[results]:q} --cores 1 --keep-going"
