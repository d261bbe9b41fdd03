"""Figure 5: the same species in both domains, with the source and licence of each image."""

from __future__ import annotations

import pytest
from pandas import DataFrame

from pretraining_gain.compute.samples import SampleView
from pretraining_gain.errors import InputError


def samples(study: str, **changes: int):
    return SampleView(**{"study": study, "n_species": 4, "n_images": 3, "seed": 0} | changes).samples()


def test_toy_shows_clean_and_field_renderings_of_the_same_species():
    table = DataFrame(samples("toy"))
    assert (table.groupby(["species", "domain"]).size() == 3).all()
    assert table["species"].nunique() == 4
    assert set(table["domain"]) == {"source", "target"}
    assert table["png_base64"].is_unique
    assert set(table["credit"]) == {"drawn by this project"}
    assert set(table["species"]) != set(DataFrame(samples("toy", seed=1))["species"])


def test_mini_shows_each_source_class_once_with_its_own_name_and_licence(photographs, results):
    table = DataFrame(samples("mini"))
    assert table["png_base64"].is_unique
    assert table["species"].nunique() == 2  # of a bird, and of a dog
    source, target = (table[table["domain"] == domain] for domain in ("source", "target"))
    assert set(source["label"]) == {"bird", "dog"}
    assert (target["label"] == target["species"]).all()
    assert set(source["credit"]) == {"CIFAR-10, Krizhevsky 2009, no licence stated"}
    assert all("CC BY 4.0" in credit for credit in target["credit"])


@pytest.mark.parametrize("study", ["mini", "paper"])
def test_without_data_one_line_says_what_is_missing_and_names_no_folder_of_this_machine(study, tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    said = samples(study)
    assert said.startswith(f"No samples of study '{study}' here:")
    assert "missing" in said
    assert "$PRETRAINING_GAIN_" in said
    assert str(tmp_path) not in said
    assert "\n" not in said


def test_a_wrong_parameter_is_named():
    with pytest.raises(InputError, match="n_images"):
        SampleView.from_parameters({"study": "toy", "n_species": 4, "n_images": 0, "seed": 0})
