"""Commands that make a figure or a run again, from the parameters of an executed notebook or the record of a run.

Each is for a shell in the project's folder. It works in a folder `again`, so it overwrites nothing and trains even what is
finished, and ends by comparing the outcome with the first one (see `compare`).
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import papermill

from pretraining_gain.errors import InputError
from pretraining_gain.paths import EXECUTED, for_papermill, has_results, public, results_of
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.run import NOTEBOOKS, Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.results.evaluation import load_table

AGAIN = "again"
_VARIABLE = "PRETRAINING_GAIN_"
#: Notebooks as the workflow executes them: with more threads, numpy adds in another order, and last digits differ.
_ONE_THREAD = {"OMP_NUM_THREADS": 1}


class Parameter(NamedTuple):
    """A parameter of a notebook: its value, its default, and what it means."""

    name: str
    value: Any
    default: Any
    meaning: str


def parameters_of(notebook: Path, given: Mapping[str, Any]) -> list[Parameter]:
    """List the parameters that a notebook declares, in its order, with the `given` values."""
    declared = papermill.inspect_notebook(for_papermill(notebook)).values()
    defaults = {one["name"]: (ast.literal_eval(one["default"]), one["help"]) for one in declared}
    return [Parameter(name, given.get(name, value), value, what) for name, (value, what) in defaults.items()]


def command_of_notebook(
    page: str, parameters: Mapping[str, Any], settings: Mapping[str, Any] = _ONE_THREAD, *, was_run: bool = True
) -> str:
    """Return the command that executes a page of the book again, e.g. `mini/10_taxa`, with all parameters spelt out.

    A page of a study that was not run is executed for the first time, as the workflow does it once there are results.
    """
    if not was_run:
        return _command(Path(page).name, f"{EXECUTED}/{page}.ipynb", parameters, settings)
    output, variables = f"{AGAIN}/{page}.ipynb", {f"{_VARIABLE}RESULTS": AGAIN, **settings}
    return _command(Path(page).name, output, parameters, variables, compared=output)


def command_of_run(record: Mapping[str, Any], study: str = "") -> str:
    """Return the command that makes a run again with the parameters and machine settings of its record.

    `study`: what loads its study today, where its file may have moved.

    Where today's code or study file would make another run, it checks out the code of the record to train, and comes back to
    compare. Where files that the run needs are not here, a comment says so.
    """
    parameters = record["parameters"] | ({"study": study} if study else {})
    name = f"{record['run_id']}.{record['fingerprint']}"
    folder = f"{AGAIN}/{load_study(parameters['study']).name}"
    variables = {f"{_VARIABLE}RESULTS": AGAIN} | settings_of(record["machine"])
    made = f"{folder}/{record['stage']}/{name}.json"
    command = _command(NOTEBOOKS[record["stage"]], f"{folder}/{name}.ipynb", parameters, variables, compared=made)
    try:
        if Run(**parameters).fingerprint == record["fingerprint"]:
            return command
    except InputError as error:
        return f"# Not possible here: {public(str(error))}\n{command}"
    train, _, comparison = command.rpartition("\n")
    why = "code or study file changed since: this checkout would make another run"
    checkout = f"git checkout {record['provenance']['commit']}  # {why}"
    return "\n".join([checkout, train, "git checkout -", comparison])


def settings_of(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that make a run compute as on the machine of a record."""
    settings = {name.upper(): machine[name] for name in ("device", "precision", "threads")}
    settings |= {"DEVICES": machine["devices"]} if machine["devices"] > 1 else {}
    settings |= {"COMPILE": machine["compiled"]} if machine["compiled"] else {}
    return {f"{_VARIABLE}{name}": value for name, value in settings.items()}


def _command(
    notebook: str, output: str, parameters: Mapping[str, Any], variables: Mapping[str, Any], compared: str = ""
) -> str:
    words = [f"{name}={value}" for name, value in variables.items()]
    words += ["papermill", f"notebooks/{notebook}.ipynb", shlex.quote(output)]
    for name, value in parameters.items():
        flag = "-r" if isinstance(value, str) and _looks_otherwise(value) else "-p"  # -r: papermill keeps it a text
        words += [flag, name, shlex.quote(str(value))]
    lines = [f"mkdir -p {shlex.quote(str(Path(output).parent))}", " ".join(words)]
    lines += [f"python -m pretraining_gain.tell.results.compare {shlex.quote(compared)}"] if compared else []
    return "\n".join(lines)


def _looks_otherwise(text: str) -> bool:
    """Tell whether papermill would read a text as a number or another value."""
    try:
        float(text)
    except ValueError:
        return text in ("True", "False", "None")
    return True


class Repeatable(NamedTuple):
    """A run, the command that makes it, and one line with its outcome."""

    run: Run
    name: str
    command: str
    outcome: str


def repeatable_runs(study_name: str) -> Iterator[Repeatable]:
    """Yield every run of a study as its records have it, pretrainings first, or as it is planned if it was not run.

    Yields none of a study that was not run where the names of its runs rest on weights that are not here.
    Raises `InputError` for a record that is missing or damaged.
    """
    study = load_study(study_name)
    if not has_results(study.name):
        try:
            names = {run: f"{run.run_id}.{run.fingerprint}" for run in Plan.of(study_name).runs()}
        except InputError:
            return
        for run, name in names.items():
            output = f"{EXECUTED}/{study.name}/runs/{name}.ipynb"  # as in the workflow
            command = _command(NOTEBOOKS[run.stage], output, run.parameters(), {})
            yield Repeatable(run, run.run_id, command, "planned, not run here")
        return
    for row in load_table(study_name, "costs").to_dict("records"):
        name = f"{row['run_id']}.{row['fingerprint']}"
        record = read_record(results_of(study.name) / row["stage"] / f"{name}.json")
        cost, machine = record["cost"], record["machine"]
        result = f"top-1 {record['top1']:.4f}" if "top1" in record else f"training loss {record['history'][-1]['loss']:.4f}"
        time = f"{cost['train_wall_time_s'] + cost['eval_wall_time_s']:.0f} s"
        where = f"{machine['device']} ({machine['name']}), torch {machine['torch']}"
        outcome = f"{result}; {time} on {where}; commit {record['provenance']['commit'][:7]}"
        run = Run.model_construct(**record["parameters"])  # as it was: the study file may have changed since
        yield Repeatable(run, name, command_of_run(record, study_name), outcome)
