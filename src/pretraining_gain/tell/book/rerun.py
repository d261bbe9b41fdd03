"""Commands that make a figure or a run again: from the parameters of an executed notebook, from the record of a run.

Each is for a shell in the project's folder. It works in a folder `again`, so that nothing is overwritten and no finished
run is merely shown, and ends by comparing what came out with what there was (see `compare`).
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill

from pretraining_gain.paths import results_of
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.results.evaluation import load_costs

AGAIN = "again"
#: The notebook that does a run of each stage.
NOTEBOOKS = {"pretrain": "01_pretrain", "finetune": "02_finetune"}
_VARIABLE = "PRETRAINING_GAIN_"
#: What a record says of its machine, by the variable that asks for the same.
_SETTINGS = {"DEVICE": "device", "PRECISION": "precision", "THREADS": "threads"}
#: As the workflow executes notebooks: with more threads, numpy adds up in another order, and last digits differ.
_AS_THE_WORKFLOW = {"OMP_NUM_THREADS": 1}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook: what it was given, what it is otherwise, and what it means."""

    name: str
    value: Any
    default: Any
    meaning: str

    @property
    def changed(self) -> bool:
        return self.value != self.default


def parameters_of(notebook: Path, given: Mapping[str, Any]) -> list[Parameter]:
    """All parameters that the notebook declares, in its order, with the values that it was `given`."""
    declared = papermill.inspect_notebook(str(notebook)).values()
    defaults = {one["name"]: (ast.literal_eval(one["default"]), one["help"]) for one in declared}
    return [Parameter(name, given.get(name, value), value, what) for name, (value, what) in defaults.items()]


def command_of_notebook(page: str, parameters: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> str:
    """The command that executes a page of the book again, such as `mini/10_taxa`, with these parameters, all spelt out."""
    output = f"{AGAIN}/{page}.ipynb"
    variables = {f"{_VARIABLE}RESULTS": AGAIN} | (dict(settings) if settings else _AS_THE_WORKFLOW)
    return _command(Path(page).name, output, parameters, variables, output)


def first_command_of_notebook(page: str, parameters: Mapping[str, Any]) -> str:
    """The command that executes a page of a study that was not run here, as the workflow does it once there are results."""
    return _command(Path(page).name, f"book/executed/{page}.ipynb", parameters, _AS_THE_WORKFLOW, "")


def command_of_run(record: Mapping[str, Any]) -> str:
    """The command that makes a run again as its record has it: its parameters, and the settings of its machine."""
    parameters, stage, name = record["parameters"], record["stage"], f"{record['run_id']}.{record['fingerprint']}"
    study = load_study(parameters["study"]).name
    output, made = f"{AGAIN}/{study}/{name}.ipynb", f"{AGAIN}/{study}/{stage}/{name}.json"
    variables = {f"{_VARIABLE}RESULTS": AGAIN} | settings_of(record["machine"])
    command = _command(NOTEBOOKS[stage], output, parameters, variables, made)
    if Run(**parameters).fingerprint == record["fingerprint"]:
        return command
    commit = record["provenance"]["commit"]
    return f"git checkout {commit}  # code or study file changed since: this checkout would make another run\n{command}"


def command_of_planned(run: Run) -> str:
    """The command that does a run which nobody did here, as the workflow does it. There is nothing to compare with."""
    output = f"book/executed/{run.plan.name}/runs/{run.run_id}.{run.fingerprint}.ipynb"
    return _command(NOTEBOOKS[run.stage], output, run.parameters(), {}, "")


def settings_of(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that make a run compute as on the machine of a record."""
    settings = {name: machine[key] for name, key in _SETTINGS.items()}
    settings |= {"DEVICES": machine["devices"]} if machine["devices"] > 1 else {}
    settings |= {"COMPILE": "yes"} if machine["compiled"] else {}
    return {f"{_VARIABLE}{name}": value for name, value in settings.items()}


def _command(
    notebook: str, output: str, parameters: Mapping[str, Any], variables: Mapping[str, Any], compared: str
) -> str:
    asked = "".join(f"{name}={value} " for name, value in variables.items())
    given = [_option(name, value) for name, value in parameters.items()]
    execution = " ".join(["papermill", f"notebooks/{notebook}.ipynb", shlex.quote(output), *given])
    lines = [f"mkdir -p {shlex.quote(str(Path(output).parent))}", f"{asked}{execution}"]
    lines += [f"python -m pretraining_gain.tell.results.compare {shlex.quote(compared)}"] if compared else []
    return "\n".join(lines)


def _option(name: str, value: Any) -> str:
    """A parameter as papermill takes it, which reads a text that looks like a number as one unless told not to."""
    text = str(value)
    return f"{'-r' if isinstance(value, str) and _looks_otherwise(text) else '-p'} {name} {shlex.quote(text)}"


def _looks_otherwise(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False", "None")
    return True


@dataclass(frozen=True)
class Repeatable:
    """A run, the command that makes it, and one line of what its record says came out."""

    run: Run
    name: str
    command: str
    outcome: str


def repeatable_runs(study_name: str) -> Iterator[Repeatable]:
    """Every run of a study as its records have it, pretrainings first; where it was not run, as it is planned.

    Raises `InputError` for a record that is missing or damaged.
    """
    study = load_study(study_name)
    folder = results_of(study.name)
    if not was_run(study_name):
        for run in Plan.of(study_name).runs():
            yield Repeatable(run, run.run_id, command_of_planned(run), "planned, not run here")
        return
    for _, row in load_costs(study).iterrows():
        name = f"{row['run_id']}.{row['fingerprint']}"
        record = read_record(folder / row["stage"] / f"{name}.json")
        yield Repeatable(Run(**record["parameters"]), name, command_of_run(record), _outcome(record))


def was_run(study_name: str) -> bool:
    return (results_of(load_study(study_name).name) / "costs.csv").exists()


def _outcome(record: Mapping[str, Any]) -> str:
    cost, machine, last = record["cost"], record["machine"], record["history"][-1]
    result = f"top-1 {record['top1']:.4f}" if "top1" in record else f"training loss {last['loss']:.4f}"
    wall_time_s = cost["train_wall_time_s"] + cost["eval_wall_time_s"]
    where = f"{machine['device']} ({machine['name']}), torch {machine['torch']}"
    return f"{result}; {wall_time_s:.0f} s on {where}; commit {record['provenance']['commit'][:7]}"
