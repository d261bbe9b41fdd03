"""Draw sample images of the two domains from the reader's own data (paper, Figure 5)."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field

from pretraining_gain.compute.images import load_images
from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import public
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.pools import Seed
from pretraining_gain.plan.representation import is_named, keep_keys_of
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.plan.taxonomy import load_class_table

_SHOWN_PX = 128


@dataclass(frozen=True)
class Sample:
    """One image to show: species, domain, name of its class there, PNG in base64, id, and source with licence."""

    species: str
    domain: str
    label: str
    png_base64: str
    image_id: str
    credit: str


class SampleView(Parameters):
    """Parameters of the samples notebook: number of species, and of images per species and domain."""

    study: str
    n_species: int = Field(ge=1, le=20)
    n_images: int = Field(ge=1, le=10)
    seed: Seed = 0

    def samples(self) -> list[Sample] | str:
        """Return images of species that the source also has, from both domains, or one line about what is missing.

        Randomness: `seed` chooses the species. Images are the decoded squares that the network gets.
        """
        study = load_study(self.study)
        try:
            return self._draw(study)
        except InputError as missing:
            return f"No samples of study {study.name!r} here: {public(str(missing))}"

    def _draw(self, study: Study) -> list[Sample]:
        target = study.downstream_in("out_of_domain")
        table = keep_keys_of(study.source_classes, load_class_table(target.images.class_table or ""))
        source_images, source_recipe = study.pretraining
        source = study.source_classes.set_index("key", drop=False)
        table = table[is_named(table)].assign(source_key=lambda named: named["represented_by"].str.split(";").str[0])
        shared = table[table["source_key"].isin(source.index)]
        if shared.empty:
            raise InputError("the source has none of the target's species; accepted: a target that names some in represented_by")
        order = np.random.default_rng(self.seed).permutation(len(shared))
        # one species per source class, or the source would show the same images again
        chosen = shared.iloc[order].drop_duplicates("source_key")[: self.n_species].sort_values("class_id")
        samples = []
        for row in chosen.to_dict("records"):
            source_row = source.loc[row["source_key"]].to_dict()
            sides = [("source", source_images, source_recipe, source_row), ("target", target.images, target.recipe, row)]
            for domain, images, recipe, wanted in sides:
                samples += self._of_class(images, wanted, recipe.resolve().resize_px, row["name"], domain)
        return samples

    def _of_class(self, images: Images, row: dict[str, Any], size_px: int, species: str, domain: str) -> list[Sample]:
        few = images.model_copy(update={"train_images_per_class": self.n_images, "broken_images": "skip"})
        rows = load_class_table(images.class_table or "")
        data = load_images(few, rows[rows["key"] == row["key"]], "train", size_px)
        dataset = find_dataset(images.dataset)
        samples = []
        for pixels, image_id in zip(data.images[torch.arange(min(self.n_images, len(data)))], data.image_ids, strict=False):
            credit = dataset.credit_image(image_id) if dataset.credit_image else dataset.credit
            samples.append(Sample(species, domain, row["name"], _png(pixels.permute(1, 2, 0).numpy()), image_id, credit))
        return samples


def _png(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    small = image.width < _SHOWN_PX  # enlarged by whole pixels, not blurred
    side = image.width * (_SHOWN_PX // image.width) if small else _SHOWN_PX
    resample = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    image.resize((side, side), resample).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
