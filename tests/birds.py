"""A reader's study as README makes it: photographs in a folder per species, `make study`, `make reproduce`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from pretraining_gain.compute.models import build_model
from pretraining_gain.plan.taxonomy import load_class_table

STUDY = "my_birds"
N_FAMILIES, _IMAGES = 30, 10


def make(target: str, folder: Path, environment: Mapping[str, str], **variables: str | Path) -> str:
    """Run a target of the Makefile with this Python's environment; return what it prints."""
    given = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", target, *given]
    # Settings of the `make test` that runs this are not its own.
    own = {name: value for name, value in environment.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def make_birds(copy: Path, environment: Mapping[str, str]) -> str:
    """Make study, runs and book of one bird per family, from the photographs on; return what the last command prints."""
    _write_photographs(copy.parent / "my birds")
    torch.save({"state_dict": build_model("resnet10_w16", 9, seed=11).state_dict()}, copy.parent / "start.pth")
    make("study", copy, environment, NAME=STUDY, IMAGES=copy.parent / "my birds", WEIGHTS="../start.pth")
    path = copy / f"{STUDY}.yml"
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    study["seeds"] = [0]
    small = {"epochs": 8, "lr_step_epochs": 4, "batch_size": 16, "image_size_px": 32, "resize_px": 32}
    study["downstreams"][0]["recipe"]["changes"] |= small
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return make("reproduce", copy, environment, STUDY=path.name)


def _write_photographs(folder: Path) -> None:
    """Write photographs of one species per family of CUB-100: the dataset's own, or drawn where it is not there."""
    species = load_class_table("cub100").drop_duplicates("family")
    data = Path(os.environ.get("PRETRAINING_GAIN_DATA", "data"), "cub-100", "images").resolve()
    for number, key in enumerate(species["key"]):
        (folder / key).mkdir(parents=True)
        found = sorted((data / key).glob("*.jpg"))[:_IMAGES]
        for path in found:
            (folder / key / path.name).symlink_to(path)
        for i in range(len(found), _IMAGES):
            noise = np.random.default_rng([number, i]).integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((64, 64), Image.Resampling.BICUBIC).save(folder / key / f"{i}.jpg")


def gains_by_family(copy: Path) -> pd.Series:
    """Recompute the mean gain of each family, in points, from the predictions and the species table alone."""
    species = pd.read_csv(copy / f"{STUDY}_species.csv", keep_default_na=False, encoding="utf-8-sig")
    runs = {}
    for arm in ("start", "scratch"):
        (path,) = (copy / "results" / STUDY / "finetune").glob(f"*--{arm}-*.csv.gz")
        table = pd.read_csv(path)
        runs[arm] = (table["label"] == table["prediction"]).groupby(table["label"]).mean()
    gain = 100 * (runs["start"] - runs["scratch"])
    return gain.groupby(species["family"].to_numpy()).mean()
