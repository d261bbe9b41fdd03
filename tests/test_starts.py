"""A study without a source or an in-domain target, which compares two published weights with scratch, from run to card."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, do_runs, keep_results_in, toy_pictures
from PIL import Image
from safetensors.torch import save_file

from pretraining_gain.compute.finetune import _check_start
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.weights import ForeignWeights, read_start
from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.weights import IMAGENET
from pretraining_gain.predict import main as predict
from pretraining_gain.tell.book.answer import answer
from pretraining_gain.tell.book.provenance import Provenance
from pretraining_gain.tell.claims.ledger import NOT_RUN, NOT_TESTABLE, Ledger
from pretraining_gain.tell.figures.explorer import explorer_tables
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import taxa_numbers
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.results.tables import write_tables
from pretraining_gain.tell.software.price import figure_runs

ABSENT = "Study own_weights has no runs for this comparison."


def write_study(folder: Path) -> str:
    """Write the toy target with two weights as its only starts, beside the study file; return its path."""
    toy = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
    study = {name: value for name, value in toy.items() if name not in ("source", "arms", "pretrain")}
    target = {name: value for name, value in toy["downstreams"][0].items() if name != "domain"}
    target["images"] |= {"train_images_per_class": 3, "eval_images_per_class": 4}
    target["recipe"]["changes"] |= {"epochs": 1}
    study |= {"name": "own_weights", "seeds": [0, 1], "downstreams": [target], "keep_networks": True}
    study["weights"] = {"first": "first.pth", "second": "$OWN_FOLDER/second.safetensors"}
    study["normalisation"] = {"second": "half"}
    (folder / "own.yml").write_text(yaml.safe_dump(study))
    states = [build_model("resnet10_w16", 9, seed).state_dict() for seed in (11, 12)]
    torch.save({"state_dict": states[0]}, folder / "first.pth")
    save_file({name: tensor.contiguous() for name, tensor in states[1].items()}, folder / "second.safetensors")
    return str(folder / "own.yml")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Path of the study, with all runs and tables."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        keep_results_in(folder, patch)
        patch.setenv("OWN_FOLDER", str(folder))
        path = write_study(folder)
        do_runs(path)
        write_tables(path)
        yield path


def test_each_start_is_planned_priced_and_begins_with_its_own_weights(study):
    runs = finetuning_runs(study)
    assert [run.arm for run in runs] == ["scratch"] * 2 + ["first"] * 2 + ["second"] * 2
    assert not pretraining_runs(study)
    assert Run.finetuning({"study": study}) == runs[2]
    shown = {name: len(found) for name, found in figure_runs(Plan.of(study)).items()}
    assert shown == {"Figures 1 and 2": 4, "other comparisons": 2}
    assert read_start(runs[0]) is None
    for seed, run in ((11, runs[2]), (12, runs[4])):
        start = read_start(run)
        assert start is not None
        assert torch.equal(start[0]["conv1.weight"], build_model("resnet10_w16", 9, seed).state_dict()["conv1.weight"])


def test_the_files_content_is_in_fingerprint_record_and_the_runs_table(study, tmp_path, monkeypatch):
    run = Run(study=study, pool="first", downstream="field")
    facts = json.loads(run.record_path.read_text())["weights"]
    assert facts["file"] == "first.pth"
    assert re.fullmatch("[0-9a-f]{64}", facts["sha256"])
    assert run.describe().at["weights", "value"] == f"first.pth, SHA-256 {facts['sha256']}"
    monkeypatch.setenv("OWN_FOLDER", str(tmp_path))
    other = Run(study=write_study(tmp_path), pool="first", downstream="field")
    assert other.fingerprint == run.fingerprint
    (tmp_path / "first.pth").write_bytes((tmp_path / "second.safetensors").read_bytes())
    assert other.fingerprint != run.fingerprint


def test_images_are_normalised_as_the_study_says_of_a_file(study, tmp_path, monkeypatch):
    runs = {name: Run(study=study, pool=name, downstream="field") for name in ("scratch", "first", "second")}
    found = {name: json.loads(run.record_path.read_text())["normalisation"] for name, run in runs.items()}
    usual = [list(values) for values in IMAGENET]
    assert found == {"scratch": usual, "first": usual, "second": [[0.5] * 3] * 2}
    monkeypatch.setenv("OWN_FOLDER", str(tmp_path))
    other = Path(write_study(tmp_path))
    other.write_text(other.read_text().replace("second: half", "second: clip"))
    assert Run(study=str(other), pool="second", downstream="field").fingerprint != runs["second"].fingerprint
    other.write_text(other.read_text().replace("second: clip", "third: half"))
    with pytest.raises(InputError, match="normalisation: 'third' is no file of weights; accepted: first, second"):
        load_study(str(other))


def test_weights_that_fit_and_mean_something_else_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("OWN_FOLDER", str(tmp_path))
    path = Path(write_study(tmp_path))
    path.write_text(path.read_text().replace("first: first.pth", "first: first.pth\n  third: tf_efficientnet_b0.ns_jft_in1k"))
    first, second, third = (Run(study=str(path), pool=name, downstream="field") for name in ("first", "second", "third"))
    half = {"mean": (0.5, 0.5, 0.5)}
    with pytest.raises(InputError, match=r"first\.pth: resnet10_w16 is usually .* mean \(0.5, 0.5, 0.5\); accepted: a study that"):
        _check_start(first, half)
    _check_start(second, half)
    with pytest.raises(InputError, match="are of tf_efficientnet_b0, not of efficientnet_b0; accepted: the same backbone"):
        _check_start(third.model_copy(update={"backbone": "efficientnet_b0"}), half)
    _check_start(third.model_copy(update={"backbone": "tf_efficientnet_b0"}), half)


def test_figures_name_file_and_checksum_also_for_a_reader_without_the_file(study, tmp_path):
    before = Provenance.of_figure(FIGURES["figure_1"], study)
    file = Path(study).parent / "first.pth"
    assert re.fullmatch("first.pth, SHA-256 [0-9a-f]{64}", before.weights["first"])
    assert f"weights first: {before.weights['first'][:-52]}" in before.line("figure_1")
    file.rename(tmp_path / "first.pth")
    try:
        assert Provenance.of_figure(FIGURES["figure_1"], study) == before
    finally:
        (tmp_path / "first.pth").rename(file)


def notebooks() -> list[Path]:
    wanted = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if '"study: str' in path.read_text()]
    return [path for path in wanted if path.stem not in ("01_pretrain", "90_playground")]


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_notebook_of_a_study_shows_what_there_is(study, path, capsys):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {"__name__": "notebook"}
    for cell in cells:
        exec("".join(cell["source"]), names)
        names |= {"study": study}
    absent = {"11_subsets": 4, "15_beyond": 4, "25_why": 5}.get(path.stem, 0)
    assert capsys.readouterr().out.count(ABSENT) == absent


def test_the_answer_compares_both_starts(study):
    results = StudyResults.from_parameters({"study": study})
    said = answer(results, taxa_numbers(results))["answer_gain"].replace("\u00a0", " ")
    runs = finetuning_runs(study)
    top1 = {run.run_id: json.loads(run.record_path.read_text())["top1"] for run in runs}
    differences = [top1[one.run_id.replace("first", "second")] - top1[one.run_id] for one in runs if one.pool == "first"]
    found = re.search(r"Compared with it, pretraining with weights second (?:is|may be) .+ \(([+−].+?) points, 95 % interval", said)
    assert found
    assert float(found[1].replace("−", "-")) == pytest.approx(100 * sum(differences) / 2, abs=0.051)


def test_claims_that_need_pools_or_the_other_domain_are_not_run(study):
    verdicts = {one.claim: one.verdict for one in Ledger.of(View(study=study)).verdicts}
    tested = {claim for claim, verdict in verdicts.items() if verdict not in (NOT_RUN, NOT_TESTABLE)}
    assert tested == {"C1", "C2", "C3", "C4"}
    assert verdicts["C9"] == NOT_RUN  # without a source, nothing is known of its animals


def test_the_explorer_offers_both_starts(study):
    arms = explorer_tables(View(study=study))["targets"][0]["arms"]
    assert [arm["label"] for arm in arms] == ["weights first", "weights second"]


def test_weights_where_a_pretrainings_belong_are_refused_and_kept(results, small_study):
    run = Run(study=small_study, pool="animal", k=4)
    run.folder.mkdir(parents=True)
    state = {name: tensor.contiguous() for name, tensor in build_model("resnet10_w16", 4, 1).state_dict().items()}
    for write in (save_file, torch.save):
        write(state, run.weights_path)
        content = run.weights_path.read_bytes()
        with pytest.raises(ForeignWeights, match=r"not of this run; accepted: delete them .*, or name them under `weights:`"):
            pretrain(run)
        assert run.weights_path.read_bytes() == content


def test_published_weights_that_are_not_here_are_named_at_the_run_not_in_the_plan(results, monkeypatch, tmp_path):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    run = finetuning_runs("paper_weights")[-1]
    assert run.run_id == "inat_mini_animals--torchvision_v1-s2-resnet50"
    with pytest.raises(InputError, match=r"IMAGENET1K_V1.safetensors cannot be read .*; fetch them with `make data"):
        _ = run.fingerprint


@pytest.fixture
def photographs(tmp_path) -> Path:
    """A folder with toy pictures in a subfolder and below a link, a broken one, one of another format and a text."""
    folder = tmp_path / "photographs"
    (folder / "trap 1").mkdir(parents=True)
    for number, pixels in enumerate(toy_pictures().images[:5]):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / "trap 1" / f"{number}.png")
    (folder / "card").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "DCIM").mkdir(parents=True)
    shutil.copy(folder / "trap 1" / "0.png", tmp_path / "disk" / "DCIM" / "5.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "scan.tif").write_bytes(b"of another format")
    (folder / "notes.txt").write_text("no picture")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_kept_network_names_species_and_goes_on_where_it_was_stopped(study, photographs, tmp_path, capsys):
    card, output = Path(study).parent / "results" / "own_weights" / "network.md", tmp_path / "found.csv"
    accuracy = r"Top-1 of this start\*\*: [\d.]+% \(95 % interval [\d.]+% to [\d.]+%; 2 seeds, 24 species, 96 images\)"
    assert re.search(accuracy, card.read_text())
    assert predict([str(card), str(photographs), "--output", str(output)]) == 0
    said = capsys.readouterr()
    assert "7 of 7 photographs to do, about" in said.out
    assert "not readable: broken.jpg: " in said.err
    rows = rows_of(output)
    assert "not readable: scan.tif: " in said.err
    assert [row["file"] for row in rows] == ["card/DCIM/5.png", *(f"trap 1/{number}.png" for number in range(5))]
    assert all(row["species"] and row["second"] and 1 / 24 <= float(row["probability"]) <= 1 for row in rows)
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) // 2])  # as a kill leaves it
    assert predict([str(card), str(photographs), "--output", str(output)]) == 0
    assert output.read_bytes() == whole


def test_a_card_that_cannot_be_used_is_named(study, photographs, tmp_path, capsys):
    kept = Path(study).parent / "results" / "own_weights"
    shutil.copytree(kept, tmp_path / "kept")
    card = tmp_path / "kept" / "network.md"
    weights = card.parent / yaml.safe_load(card.read_text().split("---\n")[1])["network"]["weights"]
    save_file({"a": torch.zeros(2)}, weights)
    other = tmp_path / "other.md"
    other.write_text("# no card")
    for one, folder, said in (
        (other, photographs, f"card {other} cannot be read"),
        (card, tmp_path / "kept", "has no photographs; accepted: a folder with JPEG or PNG files"),
        (card, photographs, f"weights {weights} are not those of card"),
    ):
        assert predict([str(one), str(folder), "--output", str(tmp_path / "new.csv")]) == 1
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
