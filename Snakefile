# The graph of a study: pretrain -> finetune -> tables -> figure notebooks -> book.
#   python -m snakemake --profile profiles/local --config study=toy        (or profiles/slurm; see profiles/README.md)
# The name of a run's record holds its fingerprint (recipe, classes, images, seed, code): a record that exists is up to
# date, whatever its time stamp, so the order of runs is `ancient` and a change re-runs what it concerns and no more.

import os
import shlex
import sys
from functools import cache
from pathlib import Path

from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, make_writable, results_of, results_root
from pretraining_gain.plan.representation import annotations_path
from pretraining_gain.plan.resources import check_environment, resources_of
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import load_study

NAME = config.get("study", "toy")
try:
    STUDY = load_study(NAME)
    # The toy study is always made: it is the book's control. Others are shown from their committed tables.
    MADE = {study.name: (study, name) for study, name in [(load_study("toy"), "toy"), (STUDY, NAME)]}
    RESULTS = make_writable(results_root())
    check_environment()
except InputError as error:
    sys.exit(f"snakemake: {error}")
SHOWN = list(dict.fromkeys(["toy", "mini", "paper", STUDY.name]))
RECORDS = {run: run.record_path for made in MADE.values() for run in [*pretraining_runs(*made), *finetuning_runs(*made)]}
RUNS = {f"{run.plan.name}/{run.stage}/{path.stem}": run for run, path in RECORDS.items()}

# Runs side by side fill a machine better than threads inside a run, as long as there are enough of them.
THREADS = max(1, (workflow.resource_settings.cores or 1) // sum(run.plan.name == STUDY.name for run in RECORDS))
os.environ.setdefault("PRETRAINING_GAIN_THREADS", str(THREADS))
PYTHON = shlex.quote(sys.executable)
EXECUTE = f"exec {PYTHON} -m pretraining_gain.execute"  # no shell between, which SIGTERM would end before a run is saved
CODE = "src/pretraining_gain"
PAGES = [str(path) for path in Path(CODE, "tell", "book").rglob("*.py")]
TELL = [str(path) for path in Path(CODE, "tell").rglob("*.py")]
CONTROLS = ["worlds", "false_positives", "permutations", "power", "estimators"]  # committed; made by tell.controls
CAMPAIGNS = ["kills", "workflow", "slurm"]  # committed; made by tests.faults and tests.slurm
DATA_FOLDERS = ["cifar-10", "caltech-101", "imagenet1k", "inat2021"]


def parameters(run):
    return " ".join(f"-p {name} {shlex.quote(str(value))}" for name, value in run.parameters().items())


def asks(stage, what):
    """What a run of this stage asks of the machine that it is sent to, started for the `attempt`-th time."""
    return lambda wildcards, attempt: getattr(resources_of(RUNS[f"{wildcards.study}/{stage}/{wildcards.run}"], attempt), what)


def record_of_pretraining(wildcards):
    start = RUNS[f"{wildcards.study}/finetune/{wildcards.run}"].pretraining
    return ancient(str(RECORDS[start])) if start else []


@cache
def outcomes(study_name):
    runs = finetuning_runs(*MADE[study_name])
    return [str(path) for run in runs for path in (RECORDS[run], run.predictions_path)]


def study_file(wildcards):
    own = MADE.get(wildcards.study, (None, wildcards.study))[1]
    return own if own.endswith((".yml", ".yaml")) else f"notebooks/studies/{own}.yml"


def has_results(study_name):
    return study_name in MADE or Path(results_of(study_name), "runs.csv").exists()


def template(wildcards):
    """The figure notebook, or, for a study that has no results here, the one that says so."""
    page = wildcards.page if has_results(wildcards.study) else "19_not_run"
    return f"notebooks/{page}.ipynb"


def tables_of(wildcards):
    if wildcards.study in MADE:
        return f"{RESULTS}/{wildcards.study}/runs.csv"
    return f"{results_of(wildcards.study)}/runs.csv" if has_results(wildcards.study) else []


def data_at_hand(wildcards):
    """Data that a notebook shows and does without: their coming and going makes it anew."""
    return [str(path) for path in (data_root() / name for name in DATA_FOLDERS) if path.is_dir()]


def named(wildcards):
    return shlex.quote(MADE.get(wildcards.study, (None, wildcards.study))[1])


# Only training is worth a job on a cluster; the rest takes seconds to a minute each and runs where snakemake does.
localrules: all, results, book, pdf, tables, show_runs, figures, claims, samples, audit, controls, anchors, reliability, performance, plan


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
        f"{RESULTS}/{STUDY.name}/runs.csv",
        outcomes(STUDY.name),


rule book:
    input:
        expand("book/executed/{study}/{page}.ipynb", study=SHOWN, page=["10_taxa", "11_subsets", "13_claims", "15_beyond", "18_costs", "23_explorer"]),
        expand("book/executed/{study}/24_what_if.ipynb", study=["toy", "mini"]),
        expand("book/executed/{study}/00_plan.ipynb", study=SHOWN),
        expand("book/executed/{study}/12_samples.ipynb", study=SHOWN),
        expand("book/executed/toy/{page}.ipynb", page=["01_pretrain", "02_finetune"]),
        "book/executed/14_audit.ipynb",
        "book/executed/16_controls.ipynb",
        "book/executed/17_anchors.ipynb",
        "book/executed/20_reliability.ipynb",
        "book/executed/21_performance.ipynb",
        [str(path) for path in Path("book").glob("*.*")],
        [str(path) for path in Path("book/_static").glob("*.*")],
        [str(path) for path in Path("book/_templates").rglob("*.*")],
        "_config.yml",
        "_toc.yml",
        PAGES,
    output:
        update("_build/html/index.html"),  # a failed build leaves the last good book
    shell:
        f"{PYTHON} -m pretraining_gain.tell.book.build"


# Not part of `all`: it takes a Chromium, which the book itself does without.
rule pdf:
    input:
        "_build/html/index.html",
        PAGES,
    output:
        "_build/html/book.pdf",
    shell:
        f"{PYTHON} -m pretraining_gain.tell.book.pdf"


# `update`: a record whose notebook a kill cut off is not thrown away; the run finds it and trains nothing.
rule pretrain:
    output:
        update(f"{RESULTS}/{{study}}/pretrain/{{run}}.json"),
    threads: asks("pretrain", "cores")
    resources:
        runtime=asks("pretrain", "runtime_min"),
        mem_mb=asks("pretrain", "mem_mb"),
        gpu=asks("pretrain", "gpu"),
        nodes=1,  # several GPUs of one run are in one machine
    params:
        given=lambda wildcards: parameters(RUNS[f"{wildcards.study}/pretrain/{wildcards.run}"]),
    shell:
        f"{EXECUTE} notebooks/01_pretrain.ipynb book/executed/{{wildcards.study}}/runs/{{wildcards.run}}.ipynb {{params.given}}"


rule finetune:
    input:
        record_of_pretraining,
    output:
        update(f"{RESULTS}/{{study}}/finetune/{{run}}.json"),
        update(f"{RESULTS}/{{study}}/finetune/{{run}}.csv.gz"),
    threads: asks("finetune", "cores")
    resources:
        runtime=asks("finetune", "runtime_min"),
        mem_mb=asks("finetune", "mem_mb"),
        gpu=asks("finetune", "gpu"),
        nodes=1,  # several GPUs of one run are in one machine
    params:
        given=lambda wildcards: parameters(RUNS[f"{wildcards.study}/finetune/{wildcards.run}"]),
    shell:
        f"{EXECUTE} notebooks/02_finetune.ipynb book/executed/{{wildcards.study}}/runs/{{wildcards.run}}.ipynb {{params.given}}"


rule tables:
    input:
        lambda wildcards: outcomes(wildcards.study),
    output:
        f"{RESULTS}/{{study}}/runs.csv",
        f"{RESULTS}/{{study}}/class_counts.csv",
        f"{RESULTS}/{{study}}/costs.csv",
    wildcard_constraints:
        study="|".join(MADE),
    params:
        study=named,
    shell:
        f"{PYTHON} -m pretraining_gain.tell.results.tables {{params.study}}"


rule show_runs:
    input:
        f"{RESULTS}/{{study}}/runs.csv",
        template="notebooks/{page}.ipynb",
    output:
        "book/executed/{study}/{page}.ipynb",
    wildcard_constraints:
        page="01_pretrain|02_finetune",
    params:
        study=named,
    shell:
        f"{EXECUTE} {{input.template}} {{output}} -p study {{params.study}}"


rule figures:
    input:
        tables_of,
        study_file,
        TELL,
        f"{CODE}/plan/representation.py",
        f"{CODE}/plan/costs.py",
        f"{CODE}/plan/sharing.py",
        template=template,
    output:
        "book/executed/{study}/{page}.ipynb",
    wildcard_constraints:
        page="10_taxa|11_subsets|15_beyond|18_costs|23_explorer|24_what_if",
    params:
        study=named,
    shell:
        f"{EXECUTE} {{input.template}} {{output}} -p study {{params.study}}"


rule claims:
    input:
        tables_of,
        [path for path in [f"{results_of('mini')}/runs.csv"] if Path(path).exists()],  # plans what was not run
        study_file,
        TELL,
        f"{CODE}/plan/representation.py",
        template="notebooks/13_claims.ipynb",
    output:
        "book/executed/{study}/13_claims.ipynb",
        f"{RESULTS}/{{study}}/claims.json",
    params:
        study=named,
    shell:
        f"{EXECUTE} {{input.template}} {{output[0]}} -p study {{params.study}}"


rule samples:
    input:
        study_file,
        ancient(data_at_hand),
        [str(path) for path in Path("results").glob("*/domains.csv")],  # published in place of pictures
        f"{CODE}/compute/samples.py",
        f"{CODE}/compute/domains.py",
        f"{CODE}/tell/book/paste.py",
        f"{CODE}/tell/results/provenance.py",
        template="notebooks/12_samples.ipynb",
    output:
        "book/executed/{study}/12_samples.ipynb",
    params:
        study=named,
    shell:
        f"{EXECUTE} {{input.template}} {{output}} -p study {{params.study}}"


rule audit:
    input:
        [str(path) for path in [annotations_path()] if path.exists()],
        TELL,
        f"{CODE}/plan/representation.py",
        [str(path) for path in Path(CODE, "metadata").glob("imagenet*.csv")],
        template="notebooks/14_audit.ipynb",
    output:
        "book/executed/14_audit.ipynb",
    shell:
        f"{EXECUTE} {{input.template}} {{output}}"


rule controls:
    input:
        [f"{results_of('controls', 'power.csv')}/{table}.csv" for table in CONTROLS],
        TELL,
        template="notebooks/16_controls.ipynb",
    output:
        "book/executed/16_controls.ipynb",
    shell:
        f"{EXECUTE} {{input.template}} {{output}}"


rule anchors:
    input:
        f"{results_of('anchors')}/runs.csv",
        TELL,
        "notebooks/studies/anchors.yml",
        template="notebooks/17_anchors.ipynb",
    output:
        "book/executed/17_anchors.ipynb",
    shell:
        f"{EXECUTE} {{input.template}} {{output}}"


rule reliability:
    input:
        [f"{results_of('reliability', 'kills.json')}/{campaign}.json" for campaign in CAMPAIGNS],
        TELL,
        template="notebooks/20_reliability.ipynb",
    output:
        "book/executed/20_reliability.ipynb",
    shell:
        f"{EXECUTE} {{input.template}} {{output}}"


rule performance:
    input:
        f"{results_of('bench', 'cpu.json')}/cpu.json",
        [str(path) for path in [results_of("bench", "cpu.json") / "cuda.json"] if path.exists()],
        TELL,
        template="notebooks/21_performance.ipynb",
    output:
        "book/executed/21_performance.ipynb",
    shell:
        f"{EXECUTE} {{input.template}} {{output}}"


rule plan:
    input:
        study_file,
        [str(path) for path in Path(CODE, "plan").glob("*.py")],
        template="notebooks/00_plan.ipynb",
    output:
        "book/executed/{study}/00_plan.ipynb",
    params:
        study=named,
    shell:
        f"{EXECUTE} {{input.template}} {{output}} -p study {{params.study}}"
