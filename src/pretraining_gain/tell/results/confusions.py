"""Count which species are taken for which others, with and without pretraining."""

from __future__ import annotations

import pandas as pd

from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.run import PREDICTIONS
from pretraining_gain.tell.results.evaluation import Evaluation, how_to_make
from pretraining_gain.tell.results.stored import read_predictions

SHOWN = 15


def confusions(evaluation: Evaluation, arm: str) -> pd.DataFrame:
    """Return the pairs of species whose confusion `arm` changes most against scratch, the most mended first.

    Columns: species, `taken for`, and the share of the species' images (mean over the seeds of each arm) from scratch, with
    pretraining, and the change in points.
    """
    evaluation.gain(arm)  # the target may lack the arm
    shares = {way: _shares(evaluation, name) for way, name in (("from scratch", SCRATCH), ("pretrained", arm))}
    table = pd.DataFrame(shares).fillna(0.0)
    table["change, points"] = 100 * (table["pretrained"] - table["from scratch"])
    largest = table.sort_values("change, points", key=abs, ascending=False, kind="stable").head(SHOWN)
    names = evaluation.species["name"]
    shown = largest.sort_values("change, points", kind="stable").reset_index()
    shown = shown.assign(label=shown["label"].map(names), prediction=shown["prediction"].map(names).fillna("no species of these"))
    return shown.rename(columns={"label": "species", "prediction": "taken for"})


def _shares(evaluation: Evaluation, arm: str) -> pd.Series:
    """Return, by species and prediction, the share of the species' images that are taken for another species."""
    folder, classes = results_of(evaluation.study.name) / "finetune", evaluation.downstream.images.n_classes
    runs, again = evaluation.runs[evaluation.runs["arm"] == arm], how_to_make(evaluation.study.name)
    files = zip(runs["predictions"], runs["predictions_sha256"], strict=True)
    guesses = pd.concat([read_predictions(folder / name, classes, again, sha256) for name, sha256 in files])
    wrong = guesses[guesses["label"] != guesses["prediction"]].groupby(["label", "prediction"]).size()
    return wrong / guesses.groupby("label").size().reindex(wrong.index.get_level_values("label")).to_numpy()


def histories(evaluation: Evaluation, arms: tuple[str, ...]) -> pd.DataFrame:
    """Return training loss and top-1 per epoch of each finetuning of `arms`, as its record has them: one row per epoch."""
    runs, folder = evaluation.runs[evaluation.runs["arm"].isin(arms)], results_of(evaluation.study.name) / "finetune"
    parts = []
    for name, arm, seed in zip(runs["predictions"], runs["arm"], runs["seed"], strict=True):
        record = read_record(folder / f"{name.removesuffix(PREDICTIONS)}.json")
        parts.append(pd.DataFrame(record["history"])[["epoch", "loss", "top1"]].assign(arm=arm, seed=seed))
    return pd.concat(parts, ignore_index=True)
