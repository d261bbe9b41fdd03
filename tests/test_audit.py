"""The audit: its numbers are those of the real annotation file, and without the file it says what is missing."""

from __future__ import annotations

import nbformat
import pytest
from conftest import ROOT

from pretraining_gain.datasets.inat2021.official import OFFICIAL_COUNTS
from pretraining_gain.errors import InputError
from pretraining_gain.execute import execute
from pretraining_gain.plan.representation import annotations_path
from pretraining_gain.tell.figures.audit import VOTE_CUTS, Audit, figure_classes, figure_thresholds

COUNTED_WITHOUT_THE_FILE = {
    "n_animal": "398", "n_non_animal": "602", "n_wild": "269", "n_domestic": "127", "n_accounted": "396", "n_extinct": "2",
    "extinct": "triceratops (51) and trilobite (69)", "n_inat": "5,388", "n_inat_birds": "1,486",
    "n_mapped_classes": "57",
}  # fmt: skip
COUNTED_IN_THE_FILE = {
    "n_images": "13,450", "n_bird_classes": "57", "n_bird_images": "2,850",
    "n_well_unanimous": "48", "n_well_half": "50", "n_well_majority": "51", "n_well": "51",
    "wrong": "12.25%", "humans": "6.69%", "other_animals": "4.47%", "blurry": "2.16%",
}  # fmt: skip


def audit(vote_cut: float = 0.0, well: int = 40):
    return Audit(vote_cut=vote_cut, well=well)


def test_the_numbers_are_the_published_ones(photographs):
    numbers = audit().numbers()
    assert COUNTED_WITHOUT_THE_FILE.items() <= numbers.items()
    assert COUNTED_IN_THE_FILE.items() <= numbers.items()


def test_398_is_explained(photographs):
    classes = audit().classes()["classes"]
    assert classes["wild (annotated)"] + classes["domestic"] + classes["extinct"] == classes["animal"] == 398
    assert classes["animal"] + classes["not animal"] == classes["all"] == 1000
    assert audit().targets()["classes"].to_dict() == OFFICIAL_COUNTS | {"all": 5388}


@pytest.mark.parametrize(
    ("vote_cut", "well", "n_well"), [(1.0, 40, "48"), (0.49, 40, "50"), (0.0, 40, "51"), (0.0, 0, "57")]
)
def test_both_thresholds_move_the_count(photographs, vote_cut, well, n_well):
    assert audit(vote_cut, well).numbers()["n_well"] == n_well


def test_figures_draw_every_class_at_every_cut(photographs):
    thresholds = {trace.name: dict(zip(trace.x, trace.y, strict=True)) for trace in figure_thresholds(audit()).data}
    assert set(thresholds) == set(VOTE_CUTS)
    for line in thresholds.values():
        assert line[0] == 57
        assert list(line.values()) == sorted(line.values(), reverse=True)
    assert thresholds["majority (above 0)"][40] == 51
    assert thresholds["unanimous (1)"][40] == 48
    assert thresholds["any vote (−1 or more)"][50] == 57
    figure = figure_classes(audit())
    [bars] = figure.data
    assert len(bars.y) == len(set(bars.y)) == 57
    assert list(bars.x) == sorted(bars.x)
    menu = figure.layout.updatemenus[0]
    assert [button.label for button in menu.buttons] == list(VOTE_CUTS)
    assert sum(x >= 40 for x in menu.buttons[-1].args[0]["x"][0]) == 48


def test_the_worst_classes_are_named_with_their_counts(photographs):
    numbers = audit().numbers()
    assert (numbers["worst_name"], numbers["worst_count"]) == ("goldfinch", "5")
    assert numbers["worst_species"] == "Carduelis carduelis"
    worst = numbers["worst"].split(", ")
    assert len(worst) == 10
    assert worst[0] == "goldfinch (5)"
    counts = [int(text.rsplit("(", 1)[1].rstrip(")")) for text in worst]
    assert counts == sorted(counts)


def pasted(path) -> dict[str, str]:
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", []) if "scrapbook" in output.metadata]
    return {output.metadata["scrapbook"]["name"]: str(output.data) for output in outputs}


def test_without_the_file_the_notebook_runs_and_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "nothing"))
    execute(ROOT / "notebooks" / "14_audit.ipynb", tmp_path / "out.ipynb", {})
    found = pasted(tmp_path / "out.ipynb")
    for key, value in COUNTED_WITHOUT_THE_FILE.items():
        assert value in found[key], key
    assert not {*COUNTED_IN_THE_FILE, "worst", "worst_name"} & set(found)
    for key in ("figure_thresholds", "figure_classes", "annotations"):
        assert "Biodiversity_ImageNet_Image_data.csv is missing; fetch it with" in found[key]
        assert str(tmp_path) not in found[key]  # no reader's folders in a book


def test_a_file_that_is_not_the_annotations_is_an_error_not_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    annotations_path().parent.mkdir()
    annotations_path().write_text("Image Number,Category\n00000001,Bird\n")
    with pytest.raises(InputError, match="is not the annotation file"):
        audit().numbers()
