# The graph of a study: pretrain -> finetune -> tables -> notebooks -> book.
#   python -m snakemake --profile profiles/local --config study=toy        (or profiles/slurm; see profiles/README.md)
# A record's name holds its fingerprint (recipe, classes, images, seed, code), so a record that exists is up to date whatever
# its time stamp: the order of runs is `ancient`, and a change re-runs only what it concerns. Notebooks depend on a digest of
# what they import and read (see `pretraining_gain.workflow`).

import atexit
import os
import shlex
import sys
from functools import cache
from pathlib import Path

from pretraining_gain import workflow as graph
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, results_of, results_root
from pretraining_gain.plan.resources import check_environment, resources_of
from pretraining_gain.plan.run import NOTEBOOKS
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import check_name, load_study
from pretraining_gain.plan.yamlfile import in_yaml

try:
    # Studies of the book whose images are drawn in memory are always made; others are shown from their committed tables.
    BOOK = graph.book_studies()
    CONTROLS = [name for name in BOOK if graph.needs_no_data(name)]
    NAME = config.get("study", CONTROLS[0])
    if not isinstance(NAME, str):  # snakemake reads it as YAML
        raise InputError(f"study {NAME!r}; accepted: a name in notebooks/studies/, or the path of a .yml file")
    if workflow.resource_settings.cores == 0:  # snakemake would wait for ever
        raise InputError("no cores to run on (make JOBS=0, or --cores 0); accepted: a whole number from 1 on, or all")
    STUDY = check_name(NAME)
    RESULTS = graph.relative(make_writable(results_root()))
    make_writable(Path("book", "executed"))
    STUDY_PAGES, PROJECT_PAGES = graph.study_pages(), graph.project_pages()
    check_environment()
    MADE = {name: name for name in CONTROLS} | {STUDY.name: NAME}  # the name of a study, or the path of its file
    RECORDS = {run: run.record_path for name in MADE.values() for run in [*pretraining_runs(name), *finetuning_runs(name)]}
except InputError as error:
    sys.exit(f"snakemake: {error}")
SHOWN = list(dict.fromkeys([*BOOK, STUDY.name]))
RUNS = {f"{run.plan.name}/{path.stem}": run for run, path in RECORDS.items()}

# Runs side by side fill a machine better than threads inside a run, as long as there are enough of them.
THREADS = max(1, (workflow.resource_settings.cores or 1) // sum(run.plan.name == STUDY.name for run in RECORDS))
os.environ.setdefault("PRETRAINING_GAIN_THREADS", str(THREADS))
PYTHON = shlex.quote(sys.executable).replace("{", "{{").replace("}", "}}")  # as snakemake formats commands
EXECUTE = f"exec {PYTHON} -m pretraining_gain.execute"  # `exec`: a shell in between would die of SIGTERM before a run is saved
TELL = "src/pretraining_gain/tell"
ADDRESSES = " ".join(os.environ.get(f"PRETRAINING_GAIN_{what}", "") for what in ("SITE", "REPOSITORY"))  # that pages link to


def run_of(wildcards):
    return RUNS[f"{wildcards.study}/{wildcards.run}"]


def executed(wildcards):
    """Return a run's notebook, where it is put when it is executed, and its parameters, for the command line."""
    run = run_of(wildcards)
    given = shlex.join(run.arguments())
    return f"notebooks/{NOTEBOOKS[run.stage]}.ipynb book/executed/{wildcards.study}/runs/{wildcards.run}.ipynb {given}"


def asks(what):
    """Return what a run asks of its machine when it starts for the `attempt`-th time."""
    return lambda wildcards, attempt: getattr(resources_of(run_of(wildcards), attempt), what)


def record_of_pretraining(wildcards):
    start = run_of(wildcards).pretraining
    return ancient(graph.relative(RECORDS[start])) if start else []


@cache
def outcomes(study_name):
    runs = finetuning_runs(MADE[study_name])
    return [graph.relative(path) for run in runs for path in (RECORDS[run], run.predictions_path)]


def tables_of(study_name):
    path = (results_root() / study_name if study_name in MADE else results_of(study_name)) / "runs.csv"
    return [graph.relative(path)] if study_name in MADE or path.exists() else []


def named(wildcards):
    return MADE.get(wildcards.study, wildcards.study)


def template(wildcards):
    return f"notebooks/{graph.template_of(wildcards.page, wildcards.study, wildcards.study in MADE)}.ipynb"


def stamp(source, study="", given=""):
    """Return the digest of what a notebook or module depends on: a study, if it shows one, and what else it is `given`."""
    return graph.stamp(source, load_study(study) if study else None, MADE, given)


def notebook_inputs(source, given=""):
    """Return the digest of what a notebook reads, and the tables that the workflow makes for it."""
    tables = [path for name in graph.results_read(source, MADE) if name in MADE for path in tables_of(name)]
    return [stamp(source, given, given), *tables]


# A reader's study has a page of its own; the chapters show the others.
onsuccess:
    page = "index" if STUDY.name in BOOK else f"book/studies/{STUDY.name}"
    if (page := Path("_build", "html", f"{page}.html").resolve()).exists():
        atexit.register(print, f"The book is at {page}")  # after snakemake's own last lines


# Only training is worth a job on a cluster; the rest takes seconds to a minute each and runs where snakemake does.
localrules: all, results, book, pdf, tables, study_notebook, notebook


wildcard_constraints:
    run=r"[\w.-]+",
    study=r"\w+",
    page=r"\d\d_\w+",


# Without outputs of their own, `all` and `results` ask for every record: one that is missing is made, tables or not.
rule all:
    input:
        "_build/html/index.html",
        [outcomes(study) for study in MADE],


rule results:
    input:
        tables_of(STUDY.name),
        outcomes(STUDY.name),


rule book:
    input:
        expand("book/executed/{study}/{page}.ipynb", study=SHOWN, page=STUDY_PAGES),
        expand("book/executed/{study}/{page}.ipynb", study=CONTROLS[0], page=["01_pretrain", "02_finetune"]),
        expand("book/executed/{page}.ipynb", page=PROJECT_PAGES),
        [str(path) for kind in ("*.*", "_static/*.*", "_templates/**/*.*") for path in Path("book").glob(kind)],
        "_config.yml",
        "_toc.yml",
        "CITATION.cff",
        lambda _: [stamp(f"{TELL}/book/{module}.py", given=ADDRESSES) for module in ("build", "extension")],
    output:
        update("_build/html/index.html"),  # a failed build leaves the last good book
    shell:
        f"{PYTHON} -m pretraining_gain.tell.book.build"


# Not part of `all`: it takes a Chromium, which the book itself does without.
rule pdf:
    input:
        "_build/html/index.html",
        lambda _: stamp(f"{TELL}/book/pdf.py"),
    output:
        "_build/html/book.pdf",
    shell:
        f"{PYTHON} -m pretraining_gain.tell.book.pdf"


# `update`: a record whose notebook a kill cut off is kept; the run finds it and trains nothing.
rule pretrain:
    output:
        update(f"{RESULTS}/{{study}}/pretrain/{{run}}.json"),
    wildcard_constraints:
        run=r"(?:(?!--)[\w.-])+",
    threads: asks("cores")
    resources:
        runtime=asks("runtime_min"),
        mem_mb=asks("mem_mb"),
        gpu=asks("gpu"),
        nodes=1,  # several GPUs of one run are in one machine
    params:
        run=executed,
    shell:
        f"{EXECUTE} {{params.run}}"


use rule pretrain as finetune with:
    input:
        record_of_pretraining,
    output:
        update(f"{RESULTS}/{{study}}/finetune/{{run}}.json"),
        update(f"{RESULTS}/{{study}}/finetune/{{run}}.csv.gz"),
    wildcard_constraints:
        run=r"\w+--[\w.-]+",  # the target is named first


rule tables:
    input:
        lambda wildcards: outcomes(wildcards.study),
        lambda wildcards: stamp(f"{TELL}/results/tables.py", named(wildcards)),
    output:
        f"{RESULTS}/{{study}}/runs.csv",
        f"{RESULTS}/{{study}}/class_counts.csv",
        f"{RESULTS}/{{study}}/costs.csv",
    wildcard_constraints:
        study="|".join(MADE),
    params:
        study=named,
    shell:
        f"{PYTHON} -m pretraining_gain.tell.results.tables {{params.study:q}}"


rule study_notebook:
    input:
        lambda wildcards: tables_of(wildcards.study),
        lambda wildcards: notebook_inputs(template(wildcards), named(wildcards)),
        template=template,
    output:
        "book/executed/{study}/{page}.ipynb",
    params:
        study=lambda wildcards: in_yaml(named(wildcards)),
        page=lambda wildcards, input: f"-p page {wildcards.page}" if Path(input.template).stem == graph.NOT_RUN else "",
    shell:
        f"{EXECUTE} {{input.template:q}} {{output:q}} -p study {{params.study:q}} {{params.page}}"


rule notebook:
    input:
        lambda wildcards: notebook_inputs(f"notebooks/{wildcards.page}.ipynb"),
        template="notebooks/{page}.ipynb",
    output:
        "book/executed/{page}.ipynb",
    shell:
        f"{EXECUTE} {{input.template:q}} {{output:q}}"
