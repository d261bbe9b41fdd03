"""The official layouts of ImageNet-1K and iNaturalist 2021 in miniature, with real JPEGs, and studies that read them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import yaml
from conftest import ROOT
from PIL import Image
from scipy.io import savemat

from pretraining_gain.plan.representation import ANNOTATIONS, imagenet_birds, validation_classes
from pretraining_gain.plan.taxonomy import load_class_table

#: Order, family, species, supercategory and English name of the miniature's categories.
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
#: Files of odd kinds, as the official ones hold them: wnid -> what its first training image is.
ODD = {"n01440764": "CMYK", "n01443537": "PNG in disguise", "n01484850": "grayscale", "n01491361": "turned"}


def patches(seed: int) -> Image.Image:
    """Coloured patches that no other seed gives."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8))


def jpeg(seed: int, size: tuple[int, int] = (48, 40), kind: str = "RGB") -> bytes:
    """`patches` as a file: a JPEG of that colour mode, or of an odd kind (see `ODD`)."""
    image, options = patches(seed).resize(size), {"format": "JPEG"}
    if kind == "PNG in disguise":
        options = {"format": "PNG"}
    elif kind == "turned":  # stored lying on its side, as EXIF says
        exif = Image.Exif()
        exif[0x0112] = 6
        image, options = image.rotate(90, expand=True), options | {"exif": exif}
    else:
        image = image.convert({"grayscale": "L"}.get(kind, kind))
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def make_imagenet(root: Path, per_class: int = 2) -> None:
    """All 1,000 wnids with `per_class` training images, the odd files among them; of each animal one validation image,
    in the flat layout."""
    table = load_class_table("imagenet1k")
    for number, wnid in enumerate(table["key"]):
        for i in range(per_class):
            kind = ODD.get(wnid, "RGB") if i == 0 else "RGB"
            put(root / "train" / wnid / f"{wnid}_{i}.JPEG", jpeg(number * 10 + i, kind=kind))
    for label, number in first_validation_image().items():
        if table.at[label, "animal"]:
            put(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", jpeg(50_000 + label))


def first_validation_image() -> dict[int, int]:
    """Class id -> the smallest number of its images in ImageNet's validation set."""
    return {label: number for number, label in sorted(validation_classes().items(), reverse=True)}


def make_devkit(root: Path, n_train: int = 2) -> None:
    """The devkit: its own numbering of the classes (here back to front), and the ground truth in that numbering."""
    table = load_class_table("imagenet1k")
    rows = [(1000 - i, wnid, table.at[i, "name"], n_train) for i, wnid in enumerate(table["key"])]
    rows.append((1001, "n00001740", "entity", 0))  # an inner node, as in the original
    kinds = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "num_train_images")]
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    savemat(folder / "meta.mat", {"synsets": np.array(rows, dtype=kinds)})
    truth = [str(1000 - label) for _, label in sorted(validation_classes().items())]
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(truth) + "\n")


def make_inat(root: Path) -> None:
    """train_mini, train (which holds train_mini's images, too) and val, each with its JSON and folders; a plant among
    the animals, as in the original."""
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
    folder = f"{number:05d}_Animalia_Phylum_Class_{order}_{family}_{name.replace(' ', '_')}"
    names = {"name": name, "common_name": common, "supercategory": supercategory}
    return {"id": number, "image_dir_name": folder, "kingdom": "Animalia", "order": order, "family": family} | names


def _image(number: int, category: dict, split: str, seed: int) -> dict:
    name = f"{split}/{category['image_dir_name']}/{seed:08d}.jpg"
    rights = {"license": 1, "rights_holder": f"Observer {seed}"}
    return {"id": number, "file_name": name, "category": category, "seed": seed, "width": 60, "height": 45} | rights


def make_annotations(root: Path, correct: dict[str, int]) -> None:
    """A file of annotations in the published form: 50 images of each bird class, `correct[wnid]` (else 50) of them right."""
    birds = imagenet_birds().drop_duplicates("wnid").set_index("imagenet_class_id")["wnid"]
    rows, seen = [], dict.fromkeys(birds, 0)
    for number, label in sorted(validation_classes().items()):
        if label in birds.index:
            wnid = birds[label]
            vote = 1.0 if seen[wnid] < correct.get(wnid, 50) else -1.0
            seen[wnid] += 1
            rows.append(f"{number:08d},Bird,a label,{vote},-1.0,-1.0,-1.0,-1.0,-1.0")
    head = "Image Number,Category,Label,Correct ID,Blurry image,Humans present,Other animals present,Not real animal,Image collage"
    put(root / ANNOTATIONS, "\n".join([head, *rows, ""]).encode())


def make_study(path: Path, base: str = "paper", **changes: object) -> str:
    """The paper's study file, or a shorter one, with its own structure and class tables, cut down to seconds; weights are
    a file beside it, and `changes` are to the images of the iNaturalist target."""
    study = yaml.safe_load((ROOT / "notebooks" / "studies" / f"{base}.yml").read_text())
    small = {"epochs": 1, "batch_size": 64, "image_size_px": 32, "resize_px": 36}
    study |= {"name": f"{base}_miniature", "backbone": "resnet10_w16", "seeds": [0]}
    if "source" in study:
        study |= {"arms": {"animal": [20], "all": [1000]}, "pretrain": {"based_on": "pretrain", "changes": small}}
        study["source"]["train_images_per_class"] = 2
    else:
        study["weights"] = dict.fromkeys(study["weights"], "weights.pth")
    study |= {"downstreams": study["downstreams"][:2], "designs": []}
    inat, *inside = study["downstreams"]
    inat["images"] |= {"n_classes": len(SPECIES), "train_images_per_class": 4, "eval_images_per_class": 3} | changes
    inat["recipe"]["changes"] = small | {"batch_size": 16}
    for animals in inside:
        animals["images"] |= {"train_images_per_class": 2, "eval_images_per_class": 1}
        animals["recipe"]["changes"] = small
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return str(path)


def make_inat_study(path: Path, **changes: object) -> str:
    """The same with the toy world as its source and iNaturalist as its only target."""
    study = yaml.safe_load(Path(make_study(path, **changes)).read_text())
    toy = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
    study |= {"source": toy["source"], "arms": {"all": [24]}, "downstreams": study["downstreams"][:1]}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return str(path)
