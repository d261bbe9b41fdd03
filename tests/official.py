"""The official layouts of ImageNet-1K and iNaturalist 2021 in miniature, with real JPEGs, and a study that reads them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import yaml
from conftest import ROOT
from PIL import Image

from pretraining_gain.plan.representation import validation_classes
from pretraining_gain.plan.taxonomy import load_class_table

#: Order, family, species and supercategory of the miniature's categories; a plant stands between them, as in the original.
SPECIES = [
    ("Haplotaxida", "Lumbricidae", "Lumbricus terrestris", "Animalia", "Common Earthworm"),
    ("Araneae", "Araneidae", "Araneus diadematus", "Arachnids", "Cross Orbweaver"),
    ("Coleoptera", "Coccinellidae", "Adalia bipunctata", "Insects", "Two-spotted Lady Beetle"),
    ("Anura", "Hylidae", "Hyla arborea", "Amphibians", "European Tree Frog"),
    ("Accipitriformes", "Accipitridae", "Milvus migrans", "Birds", "Black Kite"),
    ("Accipitriformes", "Accipitridae", "Buteo buteo", "Birds", "Common Buzzard"),
    ("Anseriformes", "Anatidae", "Mergus serrator", "Birds", "Red-breasted Merganser"),
    ("Anseriformes", "Anatidae", "Aix sponsa", "Birds", "Wood Duck"),
    ("Passeriformes", "Paridae", "Parus major", "Birds", "Great Tit"),
    ("Passeriformes", "Sittidae", "Sitta europaea", "Birds", "Eurasian Nuthatch"),
    ("Carnivora", "Canidae", "Vulpes vulpes", "Mammals", "Red Fox"),
    ("Squamata", "Lacertidae", "Lacerta agilis", "Reptiles", "Sand Lizard"),
]
PER_CLASS = {"train_mini": 4, "more": 4, "val": 2}


def jpeg(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB", **options) -> bytes:
    """A picture of coloured patches that no other seed gives."""
    patches = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(patches).resize(size).convert(mode).save(buffer, options.pop("format", "JPEG"), **options)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def make_imagenet(root: Path, per_class: int = 2) -> None:
    """All 1,000 wnids with `per_class` training images; of the animals one validation image each, in the flat layout."""
    table = load_class_table("imagenet1k")
    for number, wnid in enumerate(table["key"]):
        for i in range(per_class):
            put(root / "train" / wnid / f"{wnid}_{i}.JPEG", jpeg(number * 10 + i))
    first = {label: number for number, label in sorted(validation_classes().items(), reverse=True)}
    for label in table.loc[table["animal"], "class_id"]:
        put(root / "val" / f"ILSVRC2012_val_{first[label]:08d}.JPEG", jpeg(50_000 + label))


def make_inat(root: Path) -> None:
    """train_mini, train (which holds train_mini's images, too) and val, each with its JSON and folders."""
    categories = [_category(i, *facts) for i, facts in enumerate(SPECIES)]
    plant = _category(len(SPECIES), "Rosales", "Rosaceae", "Rosa canina", "Plants", "Dog Rose") | {"kingdom": "Plantae"}
    mini, train, val = [], [], []
    for category in [*categories, plant]:
        first = category["id"] * 100
        mini += [_image(first + i, category, "train_mini", first + i) for i in range(PER_CLASS["train_mini"])]
        n = PER_CLASS["train_mini"] + PER_CLASS["more"]
        train += [_image(first + i, category, "train", first + i) for i in range(n)]
        val += [_image(90_000 + first + i, category, "val", first + 50 + i) for i in range(PER_CLASS["val"])]
    licences = [{"id": 1, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/4.0/"}]
    for split, images in {"train_mini": mini, "train": train, "val": val}.items():
        notes = [{"id": i["id"], "image_id": i["id"], "category_id": i.pop("category")["id"]} for i in images]
        for image in images:
            put(root / image["file_name"], jpeg(1_000_000 + image.pop("seed"), (60, 45)))
        content = {"images": images, "annotations": notes, "categories": [*categories, plant], "licenses": licences}
        put(root / f"{split}.json", json.dumps(content).encode())


def _category(number: int, order: str, family: str, name: str, supercategory: str, common: str) -> dict:
    genus, epithet = name.split()
    folder = f"{number:05d}_Animalia_Phylum_Class_{order}_{family}_{genus}_{epithet}"
    taxa = {"kingdom": "Animalia", "phylum": "Phylum", "class": "Class", "order": order, "family": family, "genus": genus}
    names = {"name": name, "common_name": common, "supercategory": supercategory, "specific_epithet": epithet}
    return {"id": number, "image_dir_name": folder} | names | taxa


def _image(number: int, category: dict, split: str, seed: int) -> dict:
    name = f"{split}/{category['image_dir_name']}/{seed:08d}.jpg"
    rights = {"license": 1, "rights_holder": f"Observer {seed}"}
    return {"id": number, "file_name": name, "category": category, "seed": seed, "width": 60, "height": 45} | rights


def make_study(path: Path, **changes) -> str:
    """The paper's study file with its own structure and class tables, cut down to seconds."""
    study = yaml.safe_load((ROOT / "notebooks" / "studies" / "paper.yml").read_text())
    small = {"epochs": 1, "batch_size": 64, "image_size_px": 32, "resize_px": 36}
    study |= {"backbone": "resnet10_w16", "seeds": [0], "arms": {"animal": [20], "random": [20], "all": [1000]}}
    study["source"]["train_images_per_class"] = 2
    study["pretrain"]["changes"] = small
    inat, animals = study["downstreams"]
    inat["images"] |= {"n_classes": len(SPECIES), "train_images_per_class": 4, "eval_images_per_class": 3} | changes
    inat["recipe"]["changes"] = small | {"batch_size": 16}
    animals["images"] |= {"train_images_per_class": 2, "eval_images_per_class": 1}
    animals["recipe"]["changes"] = small
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return str(path)
