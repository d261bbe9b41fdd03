"""What tells the two domains of a study apart, in numbers, so that it can be shown without a picture (beside Figure 5).

`python -m pretraining_gain.compute.domains mini` measures the images at hand and writes `results/mini/domains.csv`, which
is published in their place.
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
from pretraining_gain.plan.studies import Images, check_name, load_study
from pretraining_gain.plan.taxonomy import load_class_table

TABLE = "domains.csv"
_IMAGES = 1200  # of each domain, at most
_CLASSES = 120
#: A ground is plain when brightness, 0 to 1, varies along the picture's edge by less than this standard deviation; a picture is
#: without colour when its channels differ by less on average.
_PLAIN, _COLOURLESS = 0.05, 0.02


def measures(pixels: torch.Tensor | StoredImages) -> dict[str, float]:
    """Of images (N, 3, S, S) uint8: the shares with a plain ground and without colour; where their edges are; their detail.

    `edges in the middle`: median share of the changes between neighbouring pixels that lies in the middle quarter of the
    picture's area; one quarter where they are spread evenly. `detail`: median change between neighbouring pixels, in brightness
    from 0 to 1. `light`: standard deviation between images of their mean brightness.
    """
    parts = torch.arange(pixels.shape[0]).split(64)
    each = pd.concat([_of_each(pixels[part].numpy()) for part in parts])
    return {
        "plain ground": float((each["edge"] < _PLAIN).mean()),
        "without colour": float((each["colour"] < _COLOURLESS).mean()),
        "edges in the middle": float(each["centre"].median()),
        "detail": float(each["detail"].median()),
        "light": float(each["light"].std(ddof=0)),
    }


def _of_each(pixels: np.ndarray) -> pd.DataFrame:
    """(N, 3, S, S) uint8: one row an image."""
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
    """One row a domain: `images` measured, then `measures`. Animals only. Raises `InputError` where images are missing."""
    study = load_study(study_name)
    target = next(target for target in study.downstreams if target.domain == "out_of_domain")
    sides = {"source": (study.source, study.pretrain), "target": (target.images, target.recipe)}
    rows = {domain: _domain(images, recipe.resolve().resize_px) for domain, (images, recipe) in sides.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("domain")


def _domain(images: Images, size_px: int) -> dict[str, float]:
    """The first images of each animal class, or of evenly spaced ones where there are many."""
    table = load_class_table(images.class_table or "")
    animals = table[table["animal"]]
    chosen = animals.iloc[np.unique(np.linspace(0, len(animals) - 1, min(_CLASSES, len(animals))).astype(int))]
    few = min(images.train_images_per_class, max(1, _IMAGES // len(chosen)))
    data = load_images(images.model_copy(update={"train_images_per_class": few, "broken_images": "skip"}), chosen, "train", size_px)
    return {"images": len(data), **measures(data.images)}


def domain_facts(study_name: str) -> pd.DataFrame:
    """The measures of the images at hand; without them, those that are published; or one line that says what is missing."""
    try:
        return measure(study_name)
    except InputError as missing:
        published = results_of(load_study(study_name).name, TABLE) / TABLE
        if published.exists():
            return pd.read_csv(published, index_col="domain")
        return pd.DataFrame({"not measured here": [public(str(missing))]})


def domain_table(study_name: str) -> pd.DataFrame:
    """`domain_facts` as it is shown: a column a domain."""
    facts = domain_facts(study_name)
    if "images" not in facts:
        return facts
    shown = facts.apply(lambda column: column.map(("{:,.0f}" if column.name == "images" else "{:.2f}").format))
    return shown.T.rename_axis(columns=None)


def publish(study_name: str) -> str:
    folder = make_writable(results_root() / check_name(study_name).name)
    text = measure(study_name).to_csv(float_format="%.4f", lineterminator="\n")
    write_atomically(folder / TABLE, text.encode())
    return f"wrote {folder / TABLE}"


if __name__ == "__main__":
    sys.exit(about_a_study("compute.domains", __doc__ or "", lambda study: print(publish(study)), "mini"))
