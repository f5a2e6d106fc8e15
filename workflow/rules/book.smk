# The pages and figures of each entry, then the book. Both are made in a temporary folder and put in place at once.
# It takes some minutes of one core in all, and where Snakemake runs: no job of a cluster is needed.
FOLDERS = {slug: registry.problems_folder() / slug for slug in registry.slugs()}


def files(*folders):
    """Every file below the folders, without what Python leaves there."""
    found = [path for folder in folders for path in sorted(Path(folder).rglob("*"))]
    return [str(path) for path in found if path.is_file() and "__pycache__" not in path.parts]


MAKERS = [str(path) for path in sorted(Path("harness").glob("*.py"))] + files("harness/pages")


rule pages:
    localrule: True
    input:
        cells=lambda wildcards: [path for path, cell in CELLS.items() if cell.problem == wildcards.problem],
        entry=lambda wildcards: files(FOLDERS[wildcards.problem]),
        makers=MAKERS,
    output:
        f"{RESULTS}/book_pages/{{problem}}/summary.json",
    shell:
        "openqueues book pages {wildcards.problem} --tier {config[tier]} --results {config[results]:q}"


rule book:
    localrule: True
    input:
        pages=[f"{RESULTS}/book_pages/{slug}/summary.json" for slug in FOLDERS],
        chapters=files("book"),
        measured=[path for path in ("benchmarks/results.json", costs.table()) if os.path.exists(path)],
        makers=MAKERS,
    output:
        f"{RESULTS}/book/index.html",
    params:
        entries=list(FOLDERS),
    shell:
        "openqueues book build {params.entries} --tier {config[tier]} --results {config[results]:q}"
