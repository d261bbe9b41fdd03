"""Write a study of your own photographs: `python -m pretraining_gain.new_study NAME IMAGES [--weights FILE_OR_NAME]`

Looks at the folder (or the CSV manifest), proposes a backbone, an image size and a recipe that fit this machine, and writes
`NAME.yml` and `NAME_species.csv` into the current folder. Fills in taxa by the names of the folders, and lists what it could
not place. Replaces no file.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import psutil
import yaml
from pydantic import AfterValidator, TypeAdapter

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.datasets.folder import FolderOptions
from pretraining_gain.datasets.folder.listing import FORMS, Listing, expected, first, in_one_split, list_photos
from pretraining_gain.errors import InputError, one_line
from pretraining_gain.paths import path_beside, write_atomically
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.placing import place
from pretraining_gain.plan.pools import starts
from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.resources import allowed_cores
from pretraining_gain.plan.species import NO_CLASS, SPECIES_COLUMNS, names_to_show
from pretraining_gain.plan.studies import study_names
from pretraining_gain.plan.weights import architecture_of, check_weights, is_published, weights_file
from pretraining_gain.plan.yamlfile import in_yaml

_SEEDS, _EPOCHS = (0, 1, 2), 30
_LEAST_IMAGES, _EVAL_SHARE = (FolderOptions.model_fields[name].default for name in ("least_images", "eval_share"))
#: Sides to choose from, and the hours that all runs together may take on this machine [assumed].
_SIZES_PX, _BUDGET_H = (224, 160, 128, 96, 64, 48, 32), 6.0
_SAMPLE = 200  # photographs whose sizes are read
_BATCH = 32
_USUAL = {"cuda": "ResNet50_Weights.IMAGENET1K_V1", "cpu": "ResNet18_Weights.IMAGENET1K_V1"}


@dataclass(frozen=True)
class Proposal:
    """Hold what fits this machine: `images_per_s` of one `device` at `size_px`, and hours of all runs on `devices` of them."""

    weights: str
    backbone: str
    size_px: int
    images_per_s: float
    device: str
    hours: float


def write_study(name: str, images: str, weights: str = "", root: str = "") -> None:
    """Write study and species table, and print what they are based on. Raises `InputError`."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in study_names() or yaml.safe_load(name) != name:
        taken = ", ".join([*study_names(), "true, no and the like"])
        raise InputError(f"name {name!r}; accepted: lower-case letters, digits and _, a letter first, and none of {taken}")
    study, table = Path(f"{name}.yml").resolve(), Path(f"{name}_species.csv").resolve()
    for path in (study, table):
        if path.exists():
            raise InputError(f"{path} exists; accepted: another name, or remove it")
    if weights:
        with one_line("--weights"):
            weights = TypeAdapter(Annotated[str, AfterValidator(check_weights)]).validate_python(weights, context=study)
    if not images:  # make's IMAGES was left out
        raise InputError(f"no photographs are named; accepted: {FORMS}")
    path = path_beside(study, images)
    if root and path.is_dir():
        raise InputError(f"--root {root}: {path} is a folder; accepted: no --root, or a CSV file of paths below it")
    listing = list_photos(path, path_beside(study, root) if root else None)
    found = listing.counts
    few, one_sided = found["all"] < _LEAST_IMAGES, in_one_split(found)
    kept = found[~few & ~one_sided]
    if len(kept) < 2:
        raise InputError(f"{path}: {len(kept)} classes have {_LEAST_IMAGES} photographs and no empty split; accepted: two or more")
    side_px = _median_side(listing)
    print(f"{path}: {kept['all'].sum():,} photographs of {len(kept)} classes, {kept['all'].min()} to {kept['all'].max()} each; "
          f"the short side is {side_px} px (median)")  # fmt: skip
    _print_left_out(listing, {f"with fewer than {_LEAST_IMAGES} photographs": few, "in one split only": one_sided & ~few})
    proposal = _propose(kept, listing, side_px, weights)
    species = _species(kept.index.tolist(), is_published(proposal.weights))
    places = {"path": _beside(study, path)} | ({"root": _beside(study, listing.root)} if root else {})
    try:
        write_atomically(table, species.to_csv(index=False, lineterminator="\n").encode("utf-8-sig"))  # Excel wants the mark
        write_atomically(study, _study_text(name, places, proposal, kept, listing).encode())
        totals = Plan.of(str(study)).numbers()
    except BaseException:  # else they would be in the way of the next try
        for made in (study, table):
            made.unlink(missing_ok=True)
        raise
    _print_species(species)
    print(f"wrote {study.name} and {table.name}")
    runs, hours = f"{totals['n_runs']} runs, {totals['images_seen']:,} images", f"{totals['device_hours']:.1f} hours"
    print(f"{proposal.backbone} at {proposal.size_px} px: {runs}, about {hours} of {proposal.device} "
          f"({proposal.hours:.1f} hours on all of this machine)\n\nTo go on:")  # fmt: skip
    if is_published(proposal.weights) and not weights_file(proposal.weights).exists():
        print(f"  make data STUDY={study.name}        # fetches {proposal.weights}")
    print(f"  make prepare STUDY={study.name}     # splits the photographs and looks for near-duplicates")
    print(f"  make reproduce STUDY={study.name}   # runs, tables, and a page of the book")


def _median_side(listing: Listing) -> int:
    """Return the median short side of a sample of the photographs, in pixels. Raises `InputError` if none can be read."""
    from PIL import Image

    from pretraining_gain.compute.images.decoding import BROKEN, FORMATS

    sides = []
    for file in listing.photos["file"].iloc[:: max(1, len(listing.photos) // _SAMPLE)]:
        try:
            with Image.open(listing.root / file, formats=FORMATS) as image:
                sides.append(min(image.size))
        except BROKEN:
            continue
    if not sides:
        raise InputError(f"{listing.root}: none of the sampled photographs can be read; accepted: {', '.join(FORMATS)}")
    return int(np.median(sides))


def _print_left_out(listing: Listing, classes: dict[str, pd.Series]) -> None:
    for why, left_out in classes.items():
        if left_out.any():
            listed = [f"{label} ({n})" for label, n in listing.counts.loc[left_out, "all"].items()]
            print(f"left out, {why}: {first(listed, 20)}")
    for name, why in list(listing.left_out.items())[:20]:
        print(f"left out: {name}: {why}")
    if listing.unreadable:
        print(f"left out: {len(listing.unreadable)} files of formats that cannot be read: {first(listing.unreadable)}")


def _propose(kept: pd.DataFrame, listing: Listing, side_px: int, weights: str) -> Proposal:
    """Choose the largest images, no larger than the photographs, with which all runs fit the budget and the memory."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = weights or _USUAL[device]
    backbone = _backbone_of(weights)
    trained = float(kept["train"].sum()) if listing.has_splits else (1 - _EVAL_SHARE) * kept["all"].sum()
    seen = trained * _EPOCHS * len(_SEEDS) * 2
    devices = 1 if device == "cuda" else allowed_cores()
    measured_px = 224 if device == "cuda" else 64
    speed = _measure_speed(backbone, measured_px, device)
    hours = {px: seen / (speed * (measured_px / px) ** 2) / 3600 / devices for px in _SIZES_PX}
    memory = psutil.virtual_memory().available / 2 / devices
    able = [px for px in _SIZES_PX if px <= side_px and hours[px] <= _BUDGET_H and 3 * px**2 * kept["all"].sum() < memory]
    px = max(able, default=min(_SIZES_PX))
    named = torch.cuda.get_device_name() if device == "cuda" else "one CPU core"
    return Proposal(weights, backbone, px, speed * (measured_px / px) ** 2, named, hours[px])


def _backbone_of(weights: str) -> str:
    """Return the backbone that weights are of: from their name, or the first that a file fits. Raises `InputError`."""
    if is_published(weights):
        return architecture_of(weights)
    from pretraining_gain.compute.models import fitting_backbones
    from pretraining_gain.compute.weights import read_published

    fitting = fitting_backbones(read_published(Path(weights)))
    if not fitting:
        raise InputError(f"weights {weights} fit none of the usual backbones; accepted: write `backbone:` into a study by hand")
    return fitting[0]


def _measure_speed(backbone: str, size_px: int, device: str) -> float:
    """Measure training images per second of the network alone, on one core or one GPU."""
    import torch
    from torch.nn import functional as F
    from torch.utils.benchmark import Timer

    from pretraining_gain.compute.models import build_model

    model = build_model(backbone, 10, 0, size_px).to(device)
    images = torch.zeros(_BATCH, 3, size_px, size_px, device=device).to(memory_format=torch.channels_last)
    labels = torch.zeros(_BATCH, dtype=torch.long, device=device)
    given = {"F": F, "model": model, "images": images, "labels": labels}
    step = Timer("F.cross_entropy(model(images), labels).backward()", globals=given)  # by default on one thread
    return _BATCH / step.timeit(2).mean


def _species(labels: list[str], from_imagenet: bool) -> pd.DataFrame:
    """Return the species table: taxa of the classes that their folders' names place, and ImageNet's classes of birds."""
    rows: list[dict[str, Any]] = []
    mapping = imagenet_birds()
    for label, shown in zip(labels, names_to_show(pd.Series(labels)), strict=True):
        found = place(label) or {"note": "not found: fill in what you know"}
        row = dict.fromkeys(SPECIES_COLUMNS, "") | {"folder": label, "name": shown, **found}
        if from_imagenet and found.get("supercategory") == "Birds" and found["note"].endswith("iNaturalist 2021"):
            classes = mapping.loc[mapping["species"] == found["scientific_name"], "wnid"]
            row["represented_by"] = ";".join(classes) or NO_CLASS
        rows.append(row)
    return pd.DataFrame(rows)


def _print_species(species: pd.DataFrame) -> None:
    unknown = species.loc[species["note"].str.startswith("not found"), "folder"].tolist()
    told = species[species["note"].str.contains("English name|genus|stands for")]
    print(f"species: {len(species) - len(unknown)} of {len(species)} placed in the tree of life")
    if len(told):
        listed = [f"{row['folder']} = {row['scientific_name']}" for row in told.to_dict("records")]
        print(f"not by a scientific name, so please check: {first(listed, 8)}")
    if unknown:
        print(f"not found: {first(unknown, 20)}; their rows are empty")


def _beside(study: Path, path: Path) -> str:
    return str(path.relative_to(study.parent)) if path.is_relative_to(study.parent) else str(path)


def _study_text(name: str, places: dict[str, str], proposal: Proposal, kept: pd.DataFrame, listing: Listing) -> str:
    px = proposal.size_px
    recipe = {"epochs": _EPOCHS, "lr_step_epochs": _EPOCHS // 3, "batch_size": _BATCH, "lr": 0.02}
    recipe |= {"image_size_px": px, "resize_px": px if px < 96 else round(px * 8 / 7), "crop_scale_min": 0.5}
    most = expected(listing, kept, _EVAL_SHARE).max()
    options = places | ({} if listing.has_splits else {"eval_share": _EVAL_SHARE})
    start = proposal.weights if is_published(proposal.weights) else _beside(Path(f"{name}.yml").resolve(), Path(proposal.weights))
    skip = "\n      broken_images: skip" if listing.unreadable else ""
    return f"""# Would pretraining help on these photographs? Written by `make study`; change what you like.
name: {name}
title: {in_yaml(name.replace("_", " "))}
backbone: {proposal.backbone}
seeds: {in_yaml(list(_SEEDS))}
# What to start from, beside from scratch: a name of torchvision or timm, or a file; add others to compare them.
weights:
  {_start_name(proposal.weights)}: {in_yaml(start)}
downstreams:
  - name: {name}
    title: {name.replace("_", " ")}, {len(kept)} classes
    images:
      dataset: folder
      class_table: {name}_species.csv   # fill in what you know; an empty cell is "not stated"{skip}
      n_classes: {len(kept)}
      train_images_per_class: {most["train"]}   # of the largest class; a smaller number draws a sample
      eval_images_per_class: {most["eval"]}   # likewise
      options: {in_yaml(options)}
    recipe:
      based_on: finetune_inat
      changes: {in_yaml(recipe)}
throughput:
  device: {in_yaml(proposal.device)}
  train_images_per_s: {proposal.images_per_s:.3g}
  source: measured on this machine at {px} px when the study was written
"""


def _start_name(weights: str) -> str:
    """Name a start by its weights as a study accepts it: `resnet18_imagenet1k_v1`, or the name of a file."""
    stem = weights.replace("_Weights.", "_") if is_published(weights) else Path(weights).stem
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return (name if re.match("[a-z]", name) and name not in starts() else f"weights_{name}".strip("_"))[:40]


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("new_study", __doc__ or "")
    parser.add_argument("name", help="name of the study, e.g. my_birds")
    parser.add_argument("images", help="a folder of <class>/*.jpg, or of train/ and val/, or a CSV manifest")
    parser.add_argument("--weights", default="", help="what to start from: a file, or a name of torchvision or timm")
    parser.add_argument("--root", default="", help="the folder below which the files of a manifest lie")
    given = parser.parse_args(arguments)
    return answer("new_study", lambda: write_study(given.name, given.images, given.weights, given.root))


if __name__ == "__main__":
    sys.exit(main())
