"""Result files of a study of any size, simulated: what the analysis reads, as if all runs had been made.

Nothing is trained. Labels, taxa and files have the form and the length of the real ones; accuracies are made up.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import yaml

from pretraining_gain.datasets.inat2021.official import N_ANIMAL_CLASSES, OFFICIAL_COUNTS
from pretraining_gain.paths import project_root, write_atomically
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import Images, load_study
from pretraining_gain.plan.taxonomy import load_class_table, made_table_path

INAT = "inat2021"
#: Species of a family in iNaturalist 2021, about.
_FAMILY = 6
_SYLLABLES = re.findall("..o|..", "bacedifogulaminopurasetivoxazubrodrofloghophoquostotro")


@dataclass(frozen=True)
class Size:
    """How large the study `paper` is made: animal species of iNaturalist, images of each, and seeds."""

    species: int = 5388
    images: int = 50
    seeds: int = 3


def write_study(path: Path, size: Size, lean: bool = True) -> Path:
    """A study file like that of `paper`, of another size, named as `path` is; and its species. `lean`: only the paper's own
    targets and pretrainings."""
    study = yaml.safe_load((project_root() / "notebooks" / "studies" / "paper.yml").read_text(encoding="utf-8"))
    study |= {"name": path.stem, "seeds": list(range(size.seeds))}
    if lean:
        study |= {"downstreams": study["downstreams"][:2], "designs": []}
    for target in study["downstreams"]:
        if target["images"]["dataset"] == INAT:
            target["images"] |= {"n_classes": size.species, "eval_images_per_class": size.images}
    write_atomically(path, yaml.safe_dump(study, sort_keys=False).encode())
    species_file(size.species)
    return path


def species_file(n: int) -> None:
    """The class table of `n` species, where the preparation would write it."""
    table = made_table_path("inat2021_animals")
    table.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(table, species_table(n).to_csv(index=False).encode())


def species_table(n: int) -> pd.DataFrame:
    """`n` species as the preparation would list them, in the published shares of supercategories; birds that ImageNet names
    are the real ones."""
    rng = np.random.default_rng(0)
    named = imagenet_birds().query("species != ''").groupby(["species", "family"])["wnid"].agg(";".join).reset_index()
    parts = [named.rename(columns={"wnid": "represented_by"}).assign(supercategory="Birds")]
    names = iter(_names(rng, N_ANIMAL_CLASSES))
    for supercategory, count in OFFICIAL_COUNTS.items():
        more = count - (len(named) if supercategory == "Birds" else 0)
        families = [f"{name.split()[0]}idae" for name in _names(rng, more // _FAMILY + 1)]
        families += named["family"].unique().tolist() if supercategory == "Birds" else []
        own = {"species": list(islice(names, more)), "family": rng.choice(families, more), "represented_by": ""}
        parts.append(pd.DataFrame(own).assign(supercategory=supercategory))
    table = pd.concat(parts, ignore_index=True)
    groups = table.groupby(["supercategory", table["represented_by"] != ""])
    share = groups.cumcount() / groups["species"].transform("size")  # the first n hold a like part of each group
    table = table.loc[share.sort_values(kind="stable").index[:n]].reset_index(drop=True)
    order = "Order " + (pd.factorize(table["family"])[0] // 5).astype(str).astype(object)
    key = [
        f"{i:05d}_Animalia_Phylum_{row.supercategory}_{row.family}_{row.species}"
        for i, row in enumerate(table.itertuples())
    ]
    return pd.DataFrame(
        {
            "class_id": range(len(table)), "key": pd.Series(key).str.replace(" ", "_"),
            "name": _names(rng, len(table)), "animal": "true",
            "supercategory": table["supercategory"], "order": order, "family": table["family"], "taxon": table["species"],
            "represented_by": table["represented_by"], "category_id": range(len(table)),
        }
    )  # fmt: skip


def _names(rng: np.random.Generator, n: int) -> list[str]:
    """n different names of two words."""
    found: dict[str, None] = {}
    while len(found) < n:
        words = ["".join(rng.choice(_SYLLABLES, rng.integers(2, 5))) for _ in range(2)]
        found[" ".join(words).capitalize()] = None
    return list(found)


def write_results(study_name: str, workers: int = 2) -> int:
    """Records and predictions of every run of a study, where its runs would leave them; returns the bytes of predictions."""
    study = load_study(study_name)
    starts, runs = pretraining_runs(study, study_name), finetuning_runs(study, study_name)
    for run in [starts[0], runs[0]]:
        run.folder.mkdir(parents=True, exist_ok=True)
    for run in starts:
        _write_record(run, {"source_class_ids": list(run.subset.class_ids)})
    by_images: dict[str, list[Run]] = {}
    for run in runs:
        by_images.setdefault(run.images.model_dump_json(), []).append(run)
    written = 0
    for same in by_images.values():
        with ThreadPoolExecutor(workers) as pool:
            written += sum(pool.map(partial(_write_finetuning, _Shown.of(same[0].images)), same))
    return written


@dataclass(frozen=True)
class _Shown:
    """The evaluation images of a target: `lines` of the file up to the prediction, `labels` (N,), and how hard each is."""

    lines: list[str]
    labels: np.ndarray
    ease: np.ndarray
    n_classes: int

    @classmethod
    def of(cls, images: Images) -> _Shown:
        rng, table = np.random.default_rng(1), load_class_table(images.class_table or "")
        keys, labels = table["key"].tolist(), np.repeat(np.arange(len(table)), images.eval_images_per_class)
        names = _file_names(rng, len(labels))
        lines = [f"train/{keys[label]}/{name}.jpg,{label}," for label, name in zip(labels.tolist(), names, strict=True)]
        ease = 0.5 * rng.standard_normal(len(table))[labels] + 1.3 * rng.standard_normal(len(labels))
        return cls(lines, labels, ease, len(table))


def _file_names(rng: np.random.Generator, n: int) -> Iterator[str]:
    """As iNaturalist names its files: random, so that they do not compress."""
    content = rng.bytes(16 * n)
    return (str(UUID(bytes=content[i : i + 16])) for i in range(0, 16 * n, 16))


def _write_finetuning(shown: _Shown, run: Run) -> int:
    rng = np.random.default_rng([run.seed, run.k, len(run.arm)])
    gain = 0.0 if run.pool == SCRATCH else 0.15 * np.log10(run.k) * (0.8 if run.pool == "non_animal" else 1.0)
    by_class = 0.2 * rng.standard_normal(shown.n_classes)[shown.labels]
    right = shown.ease + by_class + gain - 0.8 + rng.standard_normal(len(shown.labels)) > 0
    guesses = np.where(right, shown.labels, rng.integers(0, shown.n_classes, len(shown.labels)))
    rows = map(str.__add__, shown.lines, map(str, guesses.tolist()))
    content = gzip.compress("\n".join(["image_id,label,prediction", *rows, ""]).encode(), 1, mtime=0)
    run.predictions_path.write_bytes(content)
    outcome = {"sha256": {"predictions": hashlib.sha256(content).hexdigest()}, "eval_images": len(guesses)}
    outcome |= {"top1": float((guesses == shown.labels).mean()), "eval_content_hash": "e" * 16}
    _write_record(run, outcome | {"source_class_ids": [] if run.pool == SCRATCH else list(run.subset.class_ids)})
    return len(content)


def _write_record(run: Run, outcome: dict[str, Any]) -> None:
    """A record of the form that `compute.records` writes; a second for each 2,500 images."""
    recipe, classes = run.recipe, run.images.n_classes if run.downstream else run.k
    n, evaluated = classes * run.images.train_images_per_class, outcome.get("eval_images", 0)
    epoch = {
        "lr": recipe.lr,
        "loss": 1.234567890123456,
        "top1": 0.5,
        "wall_time_s": n / 2500,
        "device_time_s": n / 2500,
    }
    cost = {"train_images_seen": n * recipe.epochs, "eval_images_seen": evaluated, "starts": 1, "from_cache": None}
    cost |= {"train_wall_time_s": n * recipe.epochs / 2500, "eval_wall_time_s": evaluated / 7500}
    cost |= {"device_time_s": cost["train_wall_time_s"] + cost["eval_wall_time_s"]}
    cost |= {"peak_memory_mb": 6000.0, "device_peak_memory_mb": 20000.0}
    record = {
        "run_id": run.run_id, "fingerprint": run.fingerprint, "stage": run.stage, "parameters": run.parameters(),
        "recipe": recipe.model_dump(), "train_images": n, "train_content_hash": "a" * 16, "skipped_images": [], "cost": cost,
        "machine": {"device": "simulated", "name": "simulated", "devices": 1, "precision": "fp32", "threads": 1, "compiled": False,
                    "torch": "none"},
        "provenance": {"commit": "0" * 40, "changed": False, "config_hash": run.plan.config_hash},
        "history": [{"epoch": i} | epoch for i in range(recipe.epochs)],
    }  # fmt: skip
    run.record_path.write_text(json.dumps(record | outcome, indent=1) + "\n", encoding="utf-8")
