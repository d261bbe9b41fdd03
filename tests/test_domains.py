"""The two domains of a study: drawn and measured without a photograph, and samples of both with their source and licence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import MAIN, ROOT, soup

from pretraining_gain.compute import domains
from pretraining_gain.compute import samples as sampling
from pretraining_gain.compute.domains import domain_facts, domain_table, measure, measures
from pretraining_gain.compute.samples import SampleView
from pretraining_gain.execute import execute
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.book.executed import Executed


def test_the_domains_are_shown_without_data(book, tmp_path, monkeypatch):
    page = soup(book, "book/domains")
    assert [drawn["role"] for drawn in page.select(".domains-drawn svg")] == ["img", "img"]
    assert all(len(drawn["aria-label"]) > 30 for drawn in page.select(".domains-drawn svg"))
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "12_samples.ipynb"
    execute(ROOT / "notebooks" / "12_samples.ipynb", out, {"study": "mini"})
    text = out.read_text()
    assert "No samples of study" in text
    assert "edges in the middle" in text
    assert "data:image" not in text
    for study in ("mini", MAIN):
        published = pd.read_csv(ROOT / "results" / study / "domains.csv", index_col="domain")
        pd.testing.assert_frame_equal(domain_facts(study), published)
    cells = [cell.text for cell in page.select("table.dataframe")[0].select("tbody td")]
    assert f"{published.loc['target', 'plain ground']:.2f}" in cells
    assert "not measured here" in domain_facts("paper").columns


def test_a_page_leaves_out_a_table_of_images_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    for study, there in (("mini", True), ("paper", False)):
        shown = {"domains": domain_table(study).to_html()}
        assert Executed("", Path(), "", "", {}, {}, shown, {}).has_figure("domains") == there


def test_the_published_measures_are_those_of_the_photographs(photographs):
    published = pd.read_csv(ROOT / "results" / "mini" / "domains.csv", index_col="domain")
    pd.testing.assert_frame_equal(measure("mini"), published, atol=2e-3, check_dtype=False)


def test_the_measures_tell_a_portrait_from_a_field():
    flat = torch.full((70, 3, 32, 32), 200, dtype=torch.uint8)
    portrait = flat.clone()
    portrait[:, 0, 10:22, 10:22] = 20
    noise = torch.randint(0, 255, (70, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain, field = measures(portrait), measures(noise)
    assert plain["plain ground"] == 1
    assert field["plain ground"] == 0
    assert measures(flat)["without colour"] == 1
    assert plain["without colour"] == 0
    assert plain["edges in the middle"] == pytest.approx(1, abs=0.1)
    assert field["edges in the middle"] == pytest.approx(0.25, abs=0.03)
    assert field["detail"] > plain["detail"]
    assert measures(torch.cat([flat, flat // 4]))["light"] > 0.2
    assert plain["light"] == pytest.approx(0)


def test_a_study_without_animals_is_measured_on_all_its_classes(monkeypatch):
    monkeypatch.setattr(domains, "load_class_table", lambda name: load_class_table(name).assign(animal=False))
    assert measure("toy").loc["source", "images"] > 0


def samples(study: str, **changes: int):
    return SampleView(**{"study": study, "n_species": 4, "n_images": 3, "seed": 0} | changes).samples()


def test_toy_shows_clean_and_field_renderings_of_the_same_species():
    table = pd.DataFrame(samples("toy"))
    assert (table.groupby(["species", "domain"]).size() == 3).all()
    assert table["species"].nunique() == 4
    assert set(table["domain"]) == {"source", "target"}
    assert table["png_base64"].is_unique
    assert set(table["credit"]) == {"drawn by this project"}
    assert set(table["species"]) != set(pd.DataFrame(samples("toy", seed=1))["species"])


def test_mini_shows_each_source_class_once_with_its_own_name_and_licence(photographs, results):
    table = pd.DataFrame(samples("mini"))
    assert table["png_base64"].is_unique
    assert table["species"].nunique() == 2  # of a bird, and of a dog
    source, target = (table[table["domain"] == domain] for domain in ("source", "target"))
    assert set(source["label"]) == {"bird", "dog"}
    assert (target["label"] == target["species"]).all()
    assert set(source["credit"]) == {"CIFAR-10, Krizhevsky 2009, no licence stated"}
    assert all("CC BY 4.0" in credit for credit in target["credit"])


def test_a_source_with_none_of_the_species_has_no_samples(monkeypatch):
    monkeypatch.setattr(sampling, "keep_keys_of", lambda source, table: table.assign(represented_by="tardigrade"))
    assert samples("toy").startswith("No samples of study 'toy' here: the source has none of the target's species; accepted: ")


@pytest.mark.parametrize("study", ["mini", "paper"])
def test_without_data_one_line_says_what_is_missing_and_names_no_folder_of_this_machine(study, tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    said = samples(study)
    assert said.startswith(f"No samples of study '{study}' here:")
    assert "missing" in said
    assert "$PRETRAINING_GAIN_" in said
    assert str(tmp_path) not in said
    assert "\n" not in said
