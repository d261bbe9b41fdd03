"""Gains of several architectures, compared on the same images."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import ROOT, simulate_results

from pretraining_gain.errors import InputError
from pretraining_gain.tell.figures.architectures import figure_architectures
from pretraining_gain.tell.results.architectures import STUDIES, TARGET, ArchitectureView

VIEW = ArchitectureView(against="resnet")


def test_the_committed_gains_are_those_of_the_predictions():
    table = VIEW.table().set_index(["architecture", "quantity"])["mean"]
    for name, study in STUDIES.items():
        top1 = {}
        for arm in ("all-k10", "scratch"):
            paths = sorted((ROOT / "results" / study / "finetune").glob(f"{TARGET}--{arm}-s*.csv.gz"))
            assert len(paths) == 3
            runs = pd.concat(map(pd.read_csv, paths))
            top1[arm] = (runs["label"] == runs["prediction"]).mean()
        assert table[name, "scratch"] == pytest.approx(top1["scratch"])
        assert table[name, "gain"] == pytest.approx(top1["all-k10"] - top1["scratch"])


@pytest.mark.parametrize("gain", [0.05, 0.25])
def test_a_planted_difference_of_gains_is_found_and_its_absence_too(results, gain):
    simulate_results(STUDIES["resnet"], gain=0.25)
    simulate_results(STUDIES["convnext"], gain=gain)
    table = VIEW.table()
    [extra] = table[table["quantity"] == "extra"].to_dict("records")
    assert extra["architecture"] == "convnext"
    assert extra["low"] < gain - 0.25 < extra["high"]
    assert (extra["high"] < 0) == (gain == 0.05)
    gains = table[table["quantity"] == "gain"].set_index("backbone")["mean"]
    drawn = {trace.name: dict(zip(trace.x, trace.y, strict=True)) for trace in figure_architectures(table).data}
    assert drawn["gain"] == pytest.approx((100 * gains).to_dict())
    numbers = VIEW.numbers(table)
    assert numbers["convnext_extra"] == pytest.approx(numbers["convnext_gain"] - numbers["resnet_gain"])


def test_the_reader_may_compare_with_another(results):
    for study in STUDIES.values():
        simulate_results(study)
    table = ArchitectureView.from_parameters({"against": "convnext"}).table()
    assert set(table.loc[table["quantity"] == "extra", "architecture"]) == {"resnet"}


def test_an_unknown_architecture_is_named():
    with pytest.raises(InputError, match="against='alexnet'; accepted: resnet, convnext"):
        ArchitectureView(against="alexnet").table()


def test_studies_of_different_images_are_not_compared(results, monkeypatch):
    for study in STUDIES.values():
        simulate_results(study)
    text = (ROOT / "notebooks/studies/mini_convnext.yml").read_text()
    other = results.parent / "other.yml"
    changes = {"name: mini_convnext": "name: other", "eval_images_per_class: 50": "eval_images_per_class: 9"}
    for old, new in changes.items():
        text = text.replace(old, new)
    other.write_text(text)
    simulate_results(str(other))
    monkeypatch.setitem(STUDIES, "convnext", str(other))
    with pytest.raises(InputError, match="'other' and 'mini_resnet' evaluated different images"):
        VIEW.table()
