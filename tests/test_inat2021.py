"""iNaturalist 2021 in its official layout: its classes, and an evaluation set into which nothing may leak."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from official import SPECIES, make_inat_study
from refusal import Damage, in_json, missing

from pretraining_gain import prepare
from pretraining_gain.compute.images import load_images
from pretraining_gain.datasets import inat2021
from pretraining_gain.datasets.inat2021 import manifest as manifests
from pretraining_gain.datasets.inat2021 import official
from pretraining_gain.errors import InputError
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


def prepared(path: Path, **changes: object) -> Images:
    """Prepare the study of the miniature, and return the images of its target."""
    study = make_inat_study(path, **changes)
    prepare.prepare(study, workers=2)
    return load_study(study).downstreams[0].images


@pytest.fixture
def images(inat, tmp_path) -> Images:
    return prepared(tmp_path / "study.yml")


@pytest.fixture
def listings(inat) -> tuple[official.Listing, official.Listing]:
    train, mini = (official.read_listing(inat / f"{split}.json") for split in ("train", "train_mini"))
    return train, mini


def draw(train: official.Listing, mini: official.Listing, seed: int = 0) -> manifests.Manifest:
    """Draw three images per class, none of which has the content of a training image."""
    return manifests.draw_manifest(train, mini, 3, seed, lambda some: [False] * len(some))


def evaluation_set(images: Images):
    return load_images(images, load_class_table("inat2021_animals"), "eval", 36)


def test_the_class_table_is_the_animals_of_the_json(images):
    table = load_class_table("inat2021_animals")
    assert table["taxon"].tolist() == [species for _, _, species, _, _ in SPECIES]  # and no plant
    assert table["name"].tolist() == [name for *_, name in SPECIES]
    assert dict(zip(table["taxon"], table["represented_by"], strict=True))["Milvus migrans"] == "n01608432"
    assert (table.loc[table["supercategory"] != "Birds", "represented_by"] == "").all()


def listing_with(**changed: int) -> official.Listing:
    """Return a listing with the published number of animal classes per supercategory, but for those `changed`."""
    groups = [group for group, n in (official.OFFICIAL_COUNTS | changed).items() for _ in range(n)]
    taxa = {"order": "O", "family": "F", "kingdom": "Animalia"}
    names = [{"id": i, "image_dir_name": f"{i:05d}", "name": f"Genus {i}"} for i in range(len(groups))]
    rows = [name | taxa | {"supercategory": group} for name, group in zip(names, groups, strict=True)]
    return official.Listing(Path("train_mini.json"), rows, {}, {})


def test_the_nine_supercategories_have_the_published_counts():
    table = official.class_table(listing_with(), 5388)
    assert table["supercategory"].value_counts().to_dict() == {
        "Insects": 2526, "Birds": 1486, "Reptiles": 313, "Mammals": 246, "Ray-finned Fishes": 183, "Amphibians": 170,
        "Mollusks": 169, "Arachnids": 153, "Animalia": 142,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Birds": 1485, "Mammals": 247}, "differ from the published ones: {'Birds': 1485, 'Mammals': 247}"),
        ({"Birds": 1485}, "has 5387 animal classes; the study expects 5388"),
        ({"Birds": 1485, "Fungi": 1}, "unknown supercategory 'Fungi'"),
    ],
)
def test_other_counts_are_refused(changed, said):
    with pytest.raises(InputError, match=said):
        official.class_table(listing_with(**changed), 5388)


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


def test_the_evaluation_set_holds_nothing_of_train_mini(images):
    trained = load_images(images, load_class_table("inat2021_animals"), "train", 36)
    held_out = evaluation_set(images)
    assert len(trained) == 12 * 4
    assert np.array_equal(np.bincount(held_out.labels), [3] * 12)
    assert {name.split("/")[0] for name in held_out.image_ids} == {"train"}
    trained_files, held_out_files = ({name.split("/", 1)[1] for name in part.image_ids} for part in (trained, held_out))
    assert not trained_files & held_out_files


def plant_copy(inat: Path, number: int) -> str:
    """Give a file of train, which train_mini does not list, the bytes of one that it does; returns its name."""
    folder = sorted((inat / "train").iterdir())[number]
    first, *_, last = sorted(folder.iterdir())
    last.write_bytes(first.read_bytes())
    return f"train/{folder.name}/{last.name}"


def test_a_file_equal_to_a_training_image_is_not_drawn_and_the_short_class_is_reported(inat, tmp_path, capsys):
    copy = plant_copy(inat, 4)
    images = prepared(tmp_path / "study.yml", eval_images_per_class=4)  # there are four left, with the copy
    assert copy not in evaluation_set(images).image_ids
    manifest = json.loads(inat2021.manifest_path(images).read_text())
    key = load_class_table("inat2021_animals").at[4, "key"]
    assert manifest["short"] == {key: 3}
    assert len(manifest["images"]["4"]) == 3
    assert f"only 3 of 4 images are left for {key}" in capsys.readouterr().out


def test_the_draw_is_a_function_of_the_seed(listings):
    assert draw(*listings) == draw(*listings)
    assert draw(*listings).images != draw(*listings, seed=1).images


def test_classes_with_too_few_images_left_are_listed(listings):
    train, mini = listings
    fewer = {number: rows[:5] for number, rows in train.images.items()}
    assert list(draw(replace(train, images=fewer), mini).short.values()) == [1] * 12


def change_manifest(target: Images, change: dict[str, object]) -> None:
    """Write changes into the manifest, of "images" those of some classes, with the right checksum."""
    path = inat2021.manifest_path(target)
    manifest = json.loads(path.read_text())
    images = manifest["images"] | change.get("images", {})
    manifest |= change | {"images": images}
    manifest["checksum"] = manifests.checksum(images)
    path.write_text(json.dumps(manifest))


WITH_A_TRAINING_IMAGE = {"4": [400, 406, 407]}  # 400 to 403 are in train_mini
WRONG_MANIFESTS: dict[str, tuple[Damage, str]] = {
    "another seed": (in_json(lambda manifest: manifest.update(seed=1)), "seed is 1; the study says 0"),
    "another number": (in_json(lambda manifest: manifest.update(images_per_class=50)), "images_per_class is 50; the study says 3"),
    "changed": (in_json(lambda manifest: manifest["images"].update(WITH_A_TRAINING_IMAGE)), "was changed after it was drawn"),
    "a class that is no number": (in_json(lambda manifest: manifest["images"].update(x=[1])), "cannot be read: images.x"),
    "cut off": (lambda path: path.write_text(path.read_text()[:100]), "cannot be read: Invalid JSON"),
    "missing": (missing, "is missing"),
}


@pytest.mark.parametrize(("damage", "said"), WRONG_MANIFESTS.values(), ids=WRONG_MANIFESTS)
def test_the_manifest_is_verified_at_each_use(images, damage, said):
    damage(inat2021.manifest_path(images))
    with pytest.raises(InputError, match=rf"evaluation manifest .*{said}"):
        evaluation_set(images)


def test_packs_of_another_manifest_are_refused(images):
    change_manifest(images, {"images": {"4": [405, 406, 407]}})
    with pytest.raises(InputError, match=r"evaluation manifest .*was made from another one"):
        evaluation_set(images)


def prepare_again(images: Images, tmp_path: Path, planted: dict[str, list[int]]) -> None:
    """Plant images in the manifest, and make the packs of the evaluation set from it."""
    change_manifest(images, {"images": planted})
    shutil.rmtree(prepare.Part(images, "eval", 36).path("any").parent)
    prepared(tmp_path / "study.yml")


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (WITH_A_TRAINING_IMAGE, r"1 image\(s\) are in train_mini.json, first 400"),
        ({"4": [0]}, "image 0 is not of category 4"),
    ],
)
def test_a_training_image_planted_in_the_manifest_is_found_by_id(images, tmp_path, planted, said):
    with pytest.raises(InputError, match=said):
        prepare_again(images, tmp_path, planted)


def test_a_training_image_planted_under_another_id_is_found_by_content_while_preparing_and_at_each_use(inat, images, tmp_path):
    copy = plant_copy(inat, 4)  # after the draw, so that a manifest can name it
    with pytest.raises(InputError, match=f"1 image.* of the evaluation set equal training images, first {copy}"):
        prepare_again(images, tmp_path, {"4": [405, 406, 407]})
    with pytest.raises(InputError, match=f"image {copy} is trained on, as train_mini/"):
        evaluation_set(images)


def test_a_training_image_whose_ids_differ_between_the_files_is_found_by_file(listings):
    train, mini = listings
    renumbered = {n: [image | {"id": image["id"] + 10_000_000} for image in rows] for n, rows in mini.images.items()}
    other = replace(mini, images=renumbered)
    assert all(int(i) % 100 >= 4 for ids in draw(train, other).images.values() for i in ids)
    with pytest.raises(InputError, match="first 400"):
        planted = draw(train, mini).model_copy(update={"images": WITH_A_TRAINING_IMAGE})
        manifests.verify_manifest(planted, Path("m.json"), train, other)


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


def test_two_numbers_of_evaluation_images_do_not_share_their_packs(images, tmp_path):
    two = prepared(tmp_path / "two.yml", eval_images_per_class=2)
    assert len(evaluation_set(images)) == 36
    assert len(evaluation_set(two)) == 24


def test_an_image_names_its_rights_holder_and_licence(images):
    image_id = load_images(images, load_class_table("inat2021_animals")[4:5], "train", 36).image_ids[1]
    said = "© Observer 401, Attribution License, http://creativecommons.org/licenses/by/4.0/"
    assert inat2021.credit_image(image_id) == said


def test_reading_a_listing_keeps_of_an_image_only_what_is_used(listings):
    assert set(listings[0].images[4][0]) == {"id", "file_name", "license", "rights_holder"}
