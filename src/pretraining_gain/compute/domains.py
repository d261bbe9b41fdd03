"""Measure how the two domains of a study differ, without showing a picture (beside Figure 5).

`python -m pretraining_gain.compute.domains mini` writes `results/mini/domains.csv`, which is published in place of pictures.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch

from pretraining_gain.commands import about_a_study
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.pipeline import StoredImages
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, public, results_of, results_root, write_atomically
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.studies import check_name, load_study
from pretraining_gain.plan.taxonomy import load_class_table

TABLE = "domains.csv"
_IMAGES, _CLASSES = 1200, 120  # of each domain, at most
#: Limits for brightness and channels from 0 to 1. A ground is plain if the standard deviation of brightness along the edge
#: is below the first; a picture is colourless if its channels differ by less than the second on average.
_PLAIN, _COLOURLESS = 0.05, 0.02


def measures(pixels: torch.Tensor | StoredImages) -> dict[str, float]:
    """Measure images (N, 3, S, S) uint8: shares with a plain ground and without colour, place of edges, detail, light.

    `edges in the middle`: median share of the changes between neighbouring pixels inside the middle quarter of the area;
    one quarter if edges are spread evenly. `detail`: median change between neighbouring pixels, brightness from 0 to 1.
    `light`: standard deviation of mean brightness between images.
    """
    parts = torch.arange(pixels.shape[0]).split(64)
    each = pd.concat([_measure_each(pixels[part].numpy()) for part in parts])
    return {
        "plain ground": float((each["edge"] < _PLAIN).mean()),
        "without colour": float((each["colour"] < _COLOURLESS).mean()),
        "edges in the middle": float(each["centre"].median()),
        "detail": float(each["detail"].median()),
        "light": float(each["light"].std(ddof=0)),
    }


def _measure_each(pixels: np.ndarray) -> pd.DataFrame:
    """Measure each image of (N, 3, S, S) uint8: one row per image."""
    values = pixels.astype(np.float64) / 255
    bright = values.mean(axis=1)
    side = bright.shape[-1]
    inside = slice(max(1, side // 16), side - max(1, side // 16))
    ring = np.ones((side, side), bool)
    ring[inside, inside] = False
    change = (np.abs(np.diff(bright, axis=1))[:, :, :-1] + np.abs(np.diff(bright, axis=2))[:, :-1, :]) / 2
    middle = slice(side // 4, side - side // 4)
    columns = {
        "edge": bright[:, ring].std(axis=1),
        "colour": np.ptp(values, axis=1).mean(axis=(1, 2)),
        "centre": change[:, middle, middle].sum(axis=(1, 2)) / np.maximum(change.sum(axis=(1, 2)), 1e-12),
        "detail": change.mean(axis=(1, 2)),
        "light": bright.mean(axis=(1, 2)),
    }
    return pd.DataFrame(columns)


def measure(study_name: str) -> pd.DataFrame:
    """Return one row per domain: `images` measured, then `measures`. Raises `InputError` if images are missing.

    Measures the first images of each animal class, or of evenly spaced ones if there are many. Where no class is an animal, all
    classes count.
    """

    def one(images: Images, size_px: int) -> dict[str, float]:
        table = load_class_table(images.class_table or "")
        animals = table[table["animal"]] if table["animal"].any() else table
        chosen = animals.iloc[np.unique(np.linspace(0, len(animals) - 1, min(_CLASSES, len(animals))).astype(int))]
        few = min(images.train_images_per_class, max(1, _IMAGES // len(chosen)))
        fewer = images.model_copy(update={"train_images_per_class": few, "broken_images": "skip"})
        data = load_images(fewer, chosen, "train", size_px)
        return {"images": len(data), **measures(data.images)}

    study = load_study(study_name)
    target = study.downstream_in("out_of_domain")
    sides = {"source": study.pretraining, "target": (target.images, target.recipe)}
    rows = {domain: one(images, recipe.resolve().resize_px) for domain, (images, recipe) in sides.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("domain")


def domain_facts(study_name: str) -> pd.DataFrame:
    """Return the measures of the images here; without images, the published ones, or one line about what is missing."""
    try:
        return measure(study_name)
    except InputError as missing:
        published = results_of(load_study(study_name).name, TABLE) / TABLE
        if published.exists():
            return pd.read_csv(published, index_col="domain")
        return pd.DataFrame({"not measured here": [public(str(missing))]})


def domain_table(study_name: str) -> pd.DataFrame:
    """Format `domain_facts` for the book, one column per domain."""
    facts = domain_facts(study_name)
    if "images" not in facts:
        return facts
    shown = facts.apply(lambda column: column.map(("{:,.0f}" if column.name == "images" else "{:.2f}").format))
    return shown.T.rename_axis(columns=None)


def publish(study_name: str) -> str:
    """Write the measures of a study into its results; say where."""
    folder = results_root() / check_name(study_name).name
    text = measure(study_name).to_csv(float_format="%.4f", lineterminator="\n")
    write_atomically(make_writable(folder) / TABLE, text.encode())
    return f"wrote {folder / TABLE}"


if __name__ == "__main__":
    sys.exit(about_a_study("compute.domains", __doc__ or "", lambda study: print(publish(study)), "mini"))
