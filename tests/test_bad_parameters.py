"""Bad parameters, command lines and environment variables: a row each, what is named, and what is accepted."""

from __future__ import annotations

import json
import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, toy_pictures
from refusal import assert_one_line, listing, refused

from pretraining_gain import data, execute, prepare
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.samples import SampleView
from pretraining_gain.paths import public
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import study_names
from pretraining_gain.tell.claims.ledger import Ledger
from pretraining_gain.tell.claims.planned import margins_by_representation
from pretraining_gain.tell.figures.audit import Audit
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.validation.anchors import AnchorView
from pretraining_gain.tell.validation.tables import ControlTables

NAN, INF, LONG = float("nan"), float("inf"), 2**63
STUDIES = f"accepted: {', '.join(study_names())}, or the path of a .yml file"
#: What reads parameters, and good ones that a row changes.
GOOD: dict[str, tuple[Callable[[dict[str, Any]], object], dict[str, Any]]] = {
    "run": (Run.from_parameters, {"study": "mini"}),
    "plan": (Plan.from_parameters, {"study": "mini"}),
    "view": (View.from_parameters, {"study": "mini", "arm": "", "vote_cut": 0.0, "well_represented": 40}),
    "ledger": (Ledger.from_parameters, {"study": "mini", "vote_cut": 0.0, "well_represented": 40}),
    "samples": (SampleView.from_parameters, {"study": "toy", "n_species": 4, "n_images": 4, "seed": 0}),
    "audit": (Audit.from_parameters, {"vote_cut": 0.0, "well": 40}),
    "controls": (ControlTables.from_parameters, {"claim": ""}),
    "anchors": (AnchorView.from_parameters, {"simulations": 400, "seed": 0}),
}  # fmt: skip
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("run", {"study": "minni"}, f"study 'minni' is unknown; {STUDIES}"),
    ("run", {"study": 3}, "study: Input should be a valid string (got 3)"),
    ("run", {"pool": "NA"}, "pool 'NA' is unknown; accepted: animal, non_animal, random, all, half_animal"),
    ("run", {"pool": 7}, "pool: Input should be a valid string (got 7)"),
    ("run", {"pool": "scratch"}, "pool 'scratch' is unknown; accepted: animal, non_animal"),
    ("run", {"pool": "scratch", "k": 2, "downstream": "cifar10_animals"}, "k=2 with pool 'scratch'"),
    ("run", {"pool": "animal", "k": 7}, "k=7 is not possible for pool 'animal' of study 'mini'; accepted: 1 to 6"),
    ("run", {"k": -1}, "k=-1 is not possible"),
    ("run", {"k": "4"}, "k='4' is not possible for pool 'all' of study 'mini'; accepted: 0 or 10"),
    ("run", {"k": True}, "k=True is not possible for pool 'all' of study 'mini'; accepted: 0 or 10"),
    ("run", {"k": LONG * 4}, "is not possible"),
    ("run", {"seed": -1}, "seed: Input should be greater than or equal to 0 (got -1)"),
    ("run", {"seed": "one", "design": "assigned"}, "seed: Input should be a valid integer (got 'one')"),
    ("run", {"seed": LONG}, f"seed: Input should be less than or equal to {LONG - 1}"),
    ("run", {"downstream": "birds"}, "downstream 'birds' is not in study 'mini'; accepted: caltech101_animals"),
    ("run", {"design": "matched"}, "design 'matched' is not in study 'mini'; accepted: '' (the paper's own), matched_images"),
    ("run", {"backbone": "vgg"}, "backbone 'vgg' is unknown; accepted: resnet50, resnet18"),
    ("run", {"epochs": -1}, "epochs: Input should be greater than or equal to 0"),
    ("run", {"epochs": 1.5}, "epochs: Input should be a valid integer (got 1.5)"),
    ("run", {"image_size_px": 4}, "image_size_px=4; accepted: 8 to 1024"),
    ("run", {"study": "paper", "image_size_px": 1000}, "image_size_px=1000; accepted: 8 to 896 (0: the recipe's)"),
    ("run", {"sede": 3}, "unknown parameter(s): sede; accepted: study, pool, k, seed, downstream"),
    ("plan", {"stduy": "mini"}, "unknown parameter(s): stduy; accepted: study"),
    ("view", {"arm": "animals"}, "arm 'animals' is not in study 'mini'; accepted: animal-k2"),
    ("view", {"draws": 5}, "unknown parameter(s): draws; accepted: study"),
    ("view", {"study": "NA"}, f"study 'NA' is unknown; {STUDIES}"),
    ("view", {"vote_cut": NAN}, "vote_cut: Input should be a finite number (got nan)"),
    ("view", {"vote_cut": 2}, "vote_cut: Input should be less than or equal to 1"),
    ("view", {"well_represented": 51}, "well_represented: Input should be less than or equal to 50"),
    ("ledger", {"vote_cut": "0"}, "vote_cut: Input should be a valid number (got '0')"),
    ("ledger", {"variances_from": "minni"}, f"study 'minni' is unknown; {STUDIES}"),
    ("ledger", {"study": "paper", "variances_from": "minni"}, f"study 'minni' is unknown; {STUDIES}"),
    ("ledger", {"draws": 5}, "unknown parameter(s): draws; accepted: study, vote_cut, well_represented"),
    ("samples", {"n_species": 0}, "n_species: Input should be greater than or equal to 1"),
    ("samples", {"n_images": 11}, "n_images: Input should be less than or equal to 10"),
    ("samples", {"seeds": 1}, "unknown parameter(s): seeds; accepted: study, n_species"),
    ("audit", {"vote_cut": INF}, "vote_cut: Input should be a finite number (got inf)"),
    ("audit", {"vote_cut": 2.0}, "vote_cut: Input should be less than or equal to 1"),
    ("audit", {"well": 51}, "well: Input should be less than or equal to 50"),
    ("audit", {"vote": 1.0}, "unknown parameter(s): vote; accepted: vote_cut"),
    ("audit", {"well": -1}, "well: Input should be greater than or equal to 0"),
    ("controls", {"claim": "C99"}, "claim 'C99' is unknown; accepted: C1"),
    ("anchors", {"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ("anchors", {"simulations": 1}, "simulations: Input should be greater than or equal to 10"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "changes", "said"), BAD)
def test_a_bad_parameter_is_named_and_what_is_accepted(results, tmp_path, what, changes, said):
    read, good = GOOD[what]
    with refused(said, unchanged=tmp_path):
        read(good | changes)


def test_the_image_size_must_fit_the_pretraining_too(tmp_path):
    """The pretraining decodes images twice as large as its crops, the finetuning only as large."""
    own = tmp_path / "own.yml"
    toy = (ROOT / "notebooks" / "studies" / "toy.yml").read_text().replace("name: toy", "name: own", 1)
    own.write_text(toy.replace("resize_px: 32", "resize_px: 64", 1))
    given = {"study": str(own), "downstream": "field"}
    with refused("image_size_px=1000; accepted: 8 to 512 (0: the recipe's)", unchanged=tmp_path):
        Run.from_parameters(given | {"image_size_px": 1000})
    largest = Run.from_parameters(given | {"image_size_px": 512})
    assert (largest.recipe.resize_px, largest.pretraining.recipe.resize_px) == (512, 1024)
    assert Run.from_parameters(given | {"image_size_px": 1000, "pool": "scratch"}).recipe.resize_px == 1000


def test_a_misspelt_study_of_variances_is_named(results, tmp_path):
    with refused(f"study 'minni' is unknown; {STUDIES}", unchanged=tmp_path):
        margins_by_representation("paper", "minni")


@pytest.mark.parametrize("what", ["run", "plan", "view", "samples", "ledger"])
def test_a_study_must_be_named(results, tmp_path, what):
    read, good = GOOD[what]
    with refused("field 'study' is missing", unchanged=tmp_path):
        read({name: value for name, value in good.items() if name != "study"})


FINETUNE, PLAYGROUND = (str(ROOT / "notebooks" / f"{name}.ipynb") for name in ("02_finetune", "90_playground"))
#: Notebook, output (below a folder of its own) and the rest of the command line; what is said.
BAD_EXECUTIONS: dict[str, tuple[str, str, list[str], str]] = {
    "unknown": (FINETUNE, "o.ipynb", ["-p", "sede", "3"], "unknown parameter 'sede'; accepted: study, downstream, pool, k, design"),
    "a word for a number": (FINETUNE, "o.ipynb", ["-p", "k", "four"], "accepted: int (how many classes of the pool; 0: all"),
    "a fraction": (FINETUNE, "o.ipynb", ["-p", "k", "4.5"], "k=4.5 is not of type int"),
    "a truth": (FINETUNE, "o.ipynb", ["-p", "k", "yes"], "k='yes' is not of type int"),
    "an octal of YAML 1.1": (FINETUNE, "o.ipynb", ["-p", "seed", "1:30"], "seed='1:30' is not of type int"),
    "perhaps": (PLAYGROUND, "o.ipynb", ["-p", "train_now", "maybe"], "accepted: true or false"),
    "a list": (FINETUNE, "o.ipynb", ["-p", "pool", "[all]"], "pool=['all'] is not of type str"),
    "an open bracket": (FINETUNE, "o.ipynb", ["-p", "k", "["], "parameter k='[' cannot be read"),
    "an object": (FINETUNE, "o.ipynb", ["-p", "k", "!!python/none x"], "parameter k='!!python/none x' cannot be read"),
    "twice": (FINETUNE, "o.ipynb", ["-p", "k", "4", "-p", "k", "5"], "parameter 'k' is given twice; accepted: each once"),
    "no notebook": ("nowhere.ipynb", "o.ipynb", [], "notebook nowhere.ipynb is not there; accepted: a .ipynb file"),
    "a folder": (str(ROOT / "notebooks"), "o.ipynb", [], "is not there; accepted: a .ipynb file"),
    "another file": (str(ROOT / "README.md"), "o.ipynb", [], "README.md is no notebook (its name does not end in .ipynb)"),
    "an empty notebook": ("empty.ipynb", "o.ipynb", [], "empty.ipynb is no notebook"),
    "a notebook cut off": ("cut.ipynb", "o.ipynb", [], "cut.ipynb is no notebook"),
    "a notebook of another form": ("other.ipynb", "o.ipynb", [], "other.ipynb is no notebook"),
    "no notebook to write": (FINETUNE, "o.html", [], "o.html cannot be the result of"),
    "a folder to write": (FINETUNE, "folder.ipynb", [], "folder.ipynb cannot be the result of"),
    "the notebook itself": (FINETUNE, FINETUNE, [], "accepted: the path of another .ipynb file"),
    "a place below a file": (FINETUNE, "empty.ipynb/o.ipynb", [], "cannot write to"),
}  # fmt: skip


@pytest.mark.parametrize(("notebook", "output", "given", "said"), BAD_EXECUTIONS.values(), ids=BAD_EXECUTIONS)
def test_the_strict_runner_refuses_before_any_work(results, tmp_path, monkeypatch, capsys, notebook, output, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.ipynb").touch()
    (tmp_path / "cut.ipynb").write_bytes(Path(FINETUNE).read_bytes()[:500])
    (tmp_path / "other.ipynb").write_text(json.dumps([1, 2]))
    (tmp_path / "folder.ipynb").mkdir()
    before = listing(tmp_path, ROOT / "notebooks")
    assert execute.main([notebook, output, *given]) == 1
    assert_one_line(capsys.readouterr().err, said)
    assert listing(tmp_path, ROOT / "notebooks") == before


#: Module, arguments, and what its one line has beside `accepted: ` and how it is called.
BAD_COMMANDS: list[tuple[str, list[str], str]] = [
    ("plan", ["minni"], f"plan: study 'minni' is unknown; {STUDIES}"),
    ("plan", ["toy", "mini"], "plan: unrecognized arguments: mini; accepted: python -m pretraining_gain.plan [-h] [study]"),
    ("plan", ["nowhere.yml"], "cannot be read (No such file or directory); accepted: a YAML file"),
    ("data", ["minni"], f"data: study 'minni' is unknown; {STUDIES}"),
    ("tell.results.tables", ["minni"], f"tables: study 'minni' is unknown; {STUDIES}"),
    ("tell.validation.controls", ["--study", "minni"], f"controls: study 'minni' is unknown; {STUDIES}"),
    ("tell.validation.controls", ["--quik"], "controls: unrecognized arguments: --quik; accepted: python"),
    ("tell.software.readme", ["mini"], "readme: unrecognized arguments: mini; accepted: python"),
    ("bench", ["--device", "tpu"], "argument --device: invalid choice: 'tpu'"),
    ("prepare", [], "prepare: the following arguments are required: study; accepted: python -m pretraining_gain.prepare"),
    ("execute", [FINETUNE], "execute: the following arguments are required: output; accepted: python"),
    ("execute", [FINETUNE, "o.ipynb", "-p", "k"], "execute: argument -p/--parameter: expected 2 arguments; accepted: python"),
    ("prepare", ["toy", "--workers", "0"], "prepare: argument --workers: '0' is no whole number from 1 on; accepted: python"),
    ("prepare", ["toy", "--workers", "two"], "argument --workers: 'two' is no whole number from 1 on"),
    ("prepare", ["toy", "--check", "--estimate"], "argument --estimate: not allowed with argument --check"),
    ("prepare", ["toy", "--est"], "prepare: unrecognized arguments: --est; accepted: python -m pretraining_gain.prepare [-h]"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "arguments", "said"), BAD_COMMANDS)
def test_a_bad_command_line_is_one_line_and_another_exit_code(results, tmp_path, monkeypatch, capsys, module, arguments, said):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended, warnings.catch_warnings(action="ignore"):
        runpy.run_module(f"pretraining_gain.{module}", run_name="__main__")
    assert ended.value.code in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert_one_line(err, said)
    assert not list(tmp_path.iterdir())


COUNT = "accepted: a whole number from 1 to 1024"
BAD_SETTINGS: list[tuple[str, str, str]] = [
    ("DEVICE", "gpu", "accepted: auto, cpu, cuda"),
    ("DEVICE", "CPU", "accepted: auto, cpu, cuda"),
    ("DEVICE", "cuda", "torch sees no CUDA device; accepted here: auto, cpu"),
    ("PRECISION", "half", "accepted: auto, fp32, tf32, bf16, fp16, fp64"),
    ("PRECISION", "tf32", "needs a CUDA device; accepted here: auto, fp32, bf16, fp64"),
    ("PRECISION", "fp16", "needs a CUDA device; accepted here: auto, fp32, bf16, fp64"),
    ("COMPILE", "auto", "accepted: no, yes, graphs"),
    *((name, value, COUNT) for name in ("DEVICES", "THREADS") for value in ("0", "1.5", "two", "1025", " ", "²", "9" * 5000)),
    ("CHECKPOINT_S", "often", "accepted: a whole number from 0 to 1000000000"),
    *(("CHECKPOINT_S", value, "accepted: a whole number from 0") for value in ("-1", "1e3", "1000000001")),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "value", "said"), BAD_SETTINGS)
def test_a_bad_machine_setting_is_named(monkeypatch, tmp_path, variable, value, said):
    monkeypatch.setenv(f"PRETRAINING_GAIN_{variable}", value)
    with refused(f"PRETRAINING_GAIN_{variable}", said, unchanged=tmp_path):
        this_machine()


@pytest.mark.parametrize("variable", sorted({variable for variable, *_ in BAD_SETTINGS}))
def test_an_empty_setting_is_none(monkeypatch, variable):
    monkeypatch.setenv(f"PRETRAINING_GAIN_{variable}", "")
    assert this_machine().device in ("cpu", "cuda")


def test_only_whole_names_of_this_machines_places_are_replaced(monkeypatch, tmp_path):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    others = f"{tmp_path}/database or {tmp_path}/data.bak"
    said = public(f"{tmp_path}/data/x in {tmp_path}/data, not in {others}; see {tmp_path}/data.")
    assert said == f"$PRETRAINING_GAIN_DATA/x in $PRETRAINING_GAIN_DATA, not in {others}; see $PRETRAINING_GAIN_DATA."


#: Variable -> what writes there.
WRITERS: dict[str, Callable[[], object]] = {
    "DATA": lambda: data.fetch_dataset("cifar10"),
    "RESULTS": lambda: pretrain(Run(study="toy")),
    "PREPARED": lambda: prepare.prepare("paper", workers=1),
}
#: Where nobody can write, not even root.
PLACES: dict[str, Callable[[Path], str]] = {
    "a file": lambda folder: str(folder / "file"),
    "below a file": lambda folder: str(folder / "file" / "sub"),
    "no place of this system": lambda folder: "/proc/nowhere",
    "a name too long": lambda folder: str(folder / ("x" * 300)),
    "a link to itself": lambda folder: str(folder / "loop"),
    "nobody's home": lambda folder: "~nobody-of-that-name/place",
}


@pytest.mark.parametrize("wrong", PLACES)
@pytest.mark.parametrize("variable", WRITERS)
def test_a_place_that_cannot_be_written_is_named_with_its_variable(results, tmp_path, monkeypatch, variable, wrong):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv(f"PRETRAINING_GAIN_{variable}", PLACES[wrong](tmp_path))
    with refused(f"PRETRAINING_GAIN_{variable}", "accepted: ", unchanged=tmp_path):
        WRITERS[variable]()


def test_the_toy_world_needs_no_place(results):
    assert len(toy_pictures()) == 48
    assert not results.parent.joinpath("cache").exists()
