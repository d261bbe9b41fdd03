"""iNaturalist 2021 in its official layout: its classes, and an evaluation set into which nothing may leak."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from official import SPECIES, make_inat, make_inat_study

from pretraining_gain import prepare
from pretraining_gain.compute.images import load_images
from pretraining_gain.datasets import inat2021
from pretraining_gain.datasets.inat2021 import manifest as manifests
from pretraining_gain.datasets.inat2021 import official
from pretraining_gain.errors import InputError
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def inat(data) -> Path:
    make_inat(data / "inat2021")
    return data / "inat2021"


def prepared(path: Path, **changes: object) -> Images:
    """Prepare the study of the miniature, and return the images of its target."""
    study = make_inat_study(path, **changes)
    prepare.prepare(study, workers=2)
    return load_study(study).downstreams[0].images


def evaluation_set(images: Images):
    return load_images(images, load_class_table("inat2021_animals"), "eval", 36)


def test_the_class_table_is_the_animals_of_the_json(inat, tmp_path):
    prepared(tmp_path / "study.yml")
    table = load_class_table("inat2021_animals")
    assert table["taxon"].tolist() == [species for _, _, species, _, _ in SPECIES]  # and no plant
    assert table["name"].tolist() == [name for *_, name in SPECIES]
    assert dict(zip(table["taxon"], table["represented_by"], strict=True))["Milvus migrans"] == "n01608432"
    assert (table.loc[table["supercategory"] != "Birds", "represented_by"] == "").all()


def official_listing(counts: dict[str, int]) -> official.Listing:
    rows = []
    for supercategory, n in counts.items():
        for _ in range(n):
            name = f"Genus species{len(rows)}"
            rows.append({"id": len(rows), "image_dir_name": f"{len(rows):05d}_{name}", "name": name, "order": "O",
                         "family": "F", "supercategory": supercategory, "kingdom": "Animalia"})  # fmt: skip
    return official.Listing(Path("train_mini.json"), rows, {}, {})


def test_the_nine_supercategories_are_counted():
    assert official.OFFICIAL_COUNTS == {
        "Insects": 2526, "Birds": 1486, "Reptiles": 313, "Mammals": 246, "Ray-finned Fishes": 183, "Amphibians": 170,
        "Mollusks": 169, "Arachnids": 153, "Animalia": 142,
    }  # fmt: skip
    table = official.class_table(official_listing(official.OFFICIAL_COUNTS), 5388)
    assert len(table) == 5388
    assert table["supercategory"].value_counts().to_dict() == official.OFFICIAL_COUNTS
    moved = official.OFFICIAL_COUNTS | {"Birds": 1485, "Mammals": 247}
    with pytest.raises(InputError, match=r"differ from the published ones: {'Birds': 1485, 'Mammals': 247}"):
        official.class_table(official_listing(moved), 5388)
    with pytest.raises(InputError, match="has 5387 animal classes; the study expects 5388"):
        official.class_table(official_listing(official.OFFICIAL_COUNTS | {"Birds": 1485}), 5388)
    with pytest.raises(InputError, match="unknown supercategory 'Fungi'"):
        official.class_table(official_listing({"Fungi": 2}), 2)


def without(field: str) -> Callable[[dict], object]:
    return lambda content: content["categories"][0].pop(field)


WRONG_JSON: dict[str, tuple[Callable[[dict], object], str]] = {
    "no family": (without("family"), "lacking family"),
    "no kingdom": (without("kingdom"), "KeyError 'kingdom'"),
    "no annotations": (lambda content: content.pop("annotations"), "KeyError 'annotations'"),
    "no file name": (lambda content: content["images"][0].pop("file_name"), "lacking file_name"),
    "an unknown image": (lambda content: content["annotations"][0].update(image_id=-5), "KeyError -5"),
    "plants only": (
        lambda content: content.update(categories=content["categories"][-1:]),
        "lacking categories of kingdom",
    ),
}


@pytest.mark.parametrize("damage", WRONG_JSON)
def test_a_wrong_json_is_named_with_what_it_lacks(inat, damage):
    change, said = WRONG_JSON[damage]
    path = inat / "train_mini.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"train_mini.json is not an iNaturalist 2021 file: {said}"):
        official.read_listing(path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]"])
def test_what_is_no_json_of_theirs_is_named(inat, text):
    (inat / "train_mini.json").write_text(text)
    with pytest.raises(InputError, match=r"train_mini\.json (cannot be read as JSON|is not an iNaturalist 2021 file)"):
        official.read_listing(inat / "train_mini.json")


@pytest.mark.parametrize("missing", ["train.json", "train", "train_mini.json", "train_mini"])
def test_a_missing_part_is_named_before_anything_is_made(inat, tmp_path, missing):
    (inat / missing).rename(inat / "elsewhere")
    with pytest.raises(InputError, match=f"inat2021/{missing} is missing; it is published with"):
        prepared(tmp_path / "study.yml")
    assert not list(tmp_path.rglob("*.zip"))


def test_a_class_that_lacks_images_is_listed_before_anything_is_made(inat, tmp_path):
    folders = sorted((inat / "train_mini").iterdir())
    shutil.rmtree(folders[3])
    sorted(folders[5].iterdir())[0].unlink()
    with pytest.raises(InputError) as caught:
        prepared(tmp_path / "study.yml")
    assert "train_mini: 2 of 12 classes lack images" in str(caught.value)
    assert f"{folders[3].name} (0 of 4)" in str(caught.value)
    assert f"{folders[5].name} (3 of 4)" in str(caught.value)
    assert not list(tmp_path.rglob("*.zip"))


def test_the_evaluation_set_holds_nothing_of_train_mini(inat, tmp_path):
    images = prepared(tmp_path / "study.yml")
    trained = load_images(images, load_class_table("inat2021_animals"), "train", 36)
    held_out = evaluation_set(images)
    assert len(trained) == 12 * 4
    assert np.array_equal(np.bincount(held_out.labels), [3] * 12)
    assert {name.split("/")[0] for name in held_out.image_ids} == {"train"}
    assert not {name.split("/", 1)[1] for name in trained.image_ids} & {
        name.split("/", 1)[1] for name in held_out.image_ids
    }


def plant_copy(inat: Path, number: int) -> str:
    """Give a file of train, which train_mini does not list, the bytes of one that it does; returns its name."""
    folder = sorted((inat / "train").iterdir())[number]
    first, *_, last = sorted(folder.iterdir())
    last.write_bytes(first.read_bytes())
    return f"train/{folder.name}/{last.name}"


def test_a_file_with_the_content_of_a_training_image_is_not_drawn_and_the_short_class_is_reported(
    inat, tmp_path, capsys
):
    copy = plant_copy(inat, 4)
    images = prepared(tmp_path / "study.yml", eval_images_per_class=4)  # there are four left, with the copy
    assert copy not in evaluation_set(images).image_ids
    manifest = json.loads(inat2021.manifest_path(images).read_text())
    key = load_class_table("inat2021_animals").at[4, "key"]
    assert manifest["short"] == {key: 3}
    assert len(manifest["images"]["4"]) == 3
    assert f"only 3 of 4 images are left for {key}" in capsys.readouterr().out


def test_the_draw_is_a_function_of_the_seed(inat):
    train, mini = (official.read_listing(inat / f"{split}.json") for split in ("train", "train_mini"))
    draws = [manifests.draw_manifest(train, mini, 3, seed, lambda some: [False] * len(some)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0]["images"] != draws[2]["images"]
    fewer = {number: rows[:5] for number, rows in train.images.items()}
    one_left = manifests.draw_manifest(replace(train, images=fewer), mini, 3, 0, lambda some: [False] * len(some))
    assert set(one_left["short"].values()) == {1}
    assert len(one_left["short"]) == 12


def change_manifest(target: Images, /, sign: bool = True, **changes: object) -> None:
    """Write `changes` into the manifest; with `sign`, with the checksum of the changed list."""
    path = inat2021.manifest_path(target)
    manifest = json.loads(path.read_text()) | changes
    if sign:
        manifest["checksum"] = manifests.checksum(manifest["images"])
    path.write_text(json.dumps(manifest))


WITH_A_TRAINING_IMAGE = {"4": [400, 406, 407]}  # 400 to 403 are in train_mini
WRONG_MANIFEST = {
    "another seed": ({"seed": 1}, True, "seed is 1; the study says 0"),
    "another number": ({"images_per_class": 50}, True, "images_per_class is 50; the study says 3"),
    "changed": ({"images": WITH_A_TRAINING_IMAGE}, False, "was changed after it was drawn"),
    "another one": ({"images": {"4": [405, 406, 407]}}, True, "was made from another one"),
}


@pytest.mark.parametrize("wrong", WRONG_MANIFEST)
def test_the_manifest_is_verified_at_each_use(inat, tmp_path, wrong):
    images = prepared(tmp_path / "study.yml")
    changes, sign, said = WRONG_MANIFEST[wrong]
    assert len(evaluation_set(images)) == 36
    change_manifest(images, sign, **changes)
    with pytest.raises(InputError, match=rf"evaluation manifest .*{said}"):
        evaluation_set(images)


def test_a_missing_or_damaged_manifest_is_named(inat, tmp_path):
    images = prepared(tmp_path / "study.yml")
    path = inat2021.manifest_path(images)
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"evaluation manifest .* cannot be read: JSONDecodeError"):
        evaluation_set(images)
    path.unlink()
    with pytest.raises(InputError, match=r"evaluation manifest .* is missing"):
        evaluation_set(images)


def replace_evaluation_packs(images: Images) -> None:
    folder = prepare.Part(images, "eval", 36).path("any").parent
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (WITH_A_TRAINING_IMAGE, r"1 image\(s\) are in train_mini.json, first 400"),
        ({"4": [0]}, "image 0 is not of category 4"),
    ],
)
def test_a_training_image_planted_in_the_manifest_is_found_by_id(inat, tmp_path, planted, said):
    images = prepared(tmp_path / "study.yml")
    change_manifest(images, images=json.loads(inat2021.manifest_path(images).read_text())["images"] | planted)
    replace_evaluation_packs(images)
    with pytest.raises(InputError, match=said):
        prepared(tmp_path / "study.yml")


def test_a_training_image_planted_under_another_id_is_found_by_content_while_preparing_and_at_each_use(inat, tmp_path):
    images = prepared(tmp_path / "study.yml")
    copy = plant_copy(inat, 4)  # after the draw, so that a manifest can name it
    change_manifest(
        images, images=json.loads(inat2021.manifest_path(images).read_text())["images"] | {"4": [405, 406, 407]}
    )
    replace_evaluation_packs(images)
    with pytest.raises(InputError, match=f"1 image.* of the evaluation set equal training images, first {copy}"):
        prepared(tmp_path / "study.yml")
    with pytest.raises(InputError, match=f"image {copy} is trained on, as train_mini/"):
        evaluation_set(images)


def test_a_training_image_whose_ids_differ_between_the_files_is_found_by_file(inat):
    train, mini = (official.read_listing(inat / f"{split}.json") for split in ("train", "train_mini"))
    renumbered = {n: [image | {"id": image["id"] + 10_000_000} for image in rows] for n, rows in mini.images.items()}
    other = replace(mini, images=renumbered)
    drawn = manifests.draw_manifest(train, other, 3, 0, lambda some: [False] * len(some))
    assert all(int(i) % 100 >= 4 for ids in drawn["images"].values() for i in ids)
    with pytest.raises(InputError, match="first 400"):
        manifests.verify_manifest({"images": WITH_A_TRAINING_IMAGE}, Path("m.json"), train, other)


def test_the_official_val_can_be_evaluated_on_instead(inat, tmp_path, capsys):
    shutil.rmtree(inat / "train")
    (inat / "train.json").unlink()
    copied = sorted((inat / "val").rglob("*.jpg"))[0]
    copied.write_bytes(sorted((inat / "train_mini").rglob("*.jpg"))[0].read_bytes())
    images = prepared(tmp_path / "study.yml", options={"evaluate_on": "val"}, eval_images_per_class=10)
    held_out = evaluation_set(images)
    assert len(held_out) == 24
    assert {name.split("/")[0] for name in held_out.image_ids} == {"val"}
    assert "1 image(s) equal training images, first val/" in capsys.readouterr().out  # as published: said, not refused
    assert "official validation images, up to 10 per class" in inat2021.describe_evaluation(images)
    assert not inat2021.manifest_path(images).exists()


def test_the_book_says_what_was_evaluated_on(inat, tmp_path):
    images = load_study(make_inat_study(tmp_path / "study.yml")).downstreams[0].images
    assert inat2021.describe_evaluation(images).startswith("3 images per class drawn from the full training set (seed 0)")
    wrong = images.model_copy(update={"options": {"evaluate_on": "test"}})
    with pytest.raises(InputError, match=r"evaluate_on='test'; accepted: train, val"):
        inat2021.evaluate_on(wrong)


def test_two_numbers_of_evaluation_images_do_not_share_their_packs(inat, tmp_path):
    three = prepared(tmp_path / "three.yml")
    two = prepared(tmp_path / "two.yml", eval_images_per_class=2)
    assert len(evaluation_set(three)) == 36
    assert len(evaluation_set(two)) == 24


def test_an_image_names_its_rights_holder_and_licence(inat, tmp_path):
    images = prepared(tmp_path / "study.yml")
    image_id = load_images(images, load_class_table("inat2021_animals")[4:5], "train", 36).image_ids[1]
    said = "© Observer 401, Attribution License, http://creativecommons.org/licenses/by/4.0/"
    assert inat2021.credit_image(image_id) == said


def test_reading_a_listing_keeps_of_an_image_only_what_is_used(inat):
    listing = official.read_listing(inat / "train.json")
    assert set(listing.images[4][0]) == {"id", "file_name", "license", "rights_holder"}
