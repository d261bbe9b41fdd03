"""Compare the gain of several architectures: studies that differ in backbone and learning rate only (paper, D.2: ResNet50)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.tell.results.evaluation import Evaluation, load_evaluation
from pretraining_gain.tell.results.gains import Numbers, row_of, with_interval
from pretraining_gain.tell.statistics import Answers, estimate_mean

#: Architecture -> its study. All of them evaluate the same images.
STUDIES = {"resnet": "mini_resnet", "convnext": "mini_convnext"}
TARGET = "caltech101_animals"


class ArchitectureView(Parameters):
    """Parameters of the notebook on architectures: the one that the others are compared with."""

    against: str

    def table(self) -> pd.DataFrame:
        """Estimate top-1 of each architecture from scratch and pretrained, the gain, and the gain minus that of `against`.

        One row per architecture and `quantity` (scratch, pretrained, gain, extra): study, architecture, backbone, mean, low, high,
        n_seeds, n_classes, n_images. Estimates are for runs and images like these. The variance of runs is pooled over all
        architectures. Raises `InputError` for an unknown `against` and for studies that evaluated different images.
        """
        if self.against not in STUDIES:
            raise InputError(f"against={self.against!r}; accepted: {', '.join(STUDIES)}")
        found = {name: load_evaluation(study, TARGET) for name, study in STUDIES.items()}
        answers, gain_of = _together(found), {name: {f"{name} pretrained": 1.0, f"{name} scratch": -1.0} for name in found}
        minus_other = {arm: -weight for arm, weight in gain_of[self.against].items()}
        rows = []
        for name, evaluation in found.items():
            quantities = {arm: {f"{name} {arm}": 1.0} for arm in ("scratch", "pretrained")} | {"gain": gain_of[name]}
            quantities |= {"extra": gain_of[name] | minus_other} if name != self.against else {}
            facts = {"study": STUDIES[name], "architecture": name, "backbone": evaluation.study.backbone}
            rows += [facts | {"quantity": key, **row_of(estimate_mean(answers, of))} for key, of in quantities.items()]
        return pd.DataFrame(rows)

    def numbers(self, table: pd.DataFrame) -> Numbers:
        """Return the chapter's numbers: `<architecture>_<quantity>` with `_low` and `_high`, and the number of seeds."""
        numbers: Numbers = {"n_seeds": int(table["n_seeds"].min())}
        for row in table.to_dict("records"):
            numbers |= with_interval(f"{row['architecture']}_{row['quantity']}", row)
        return numbers


def _together(found: dict[str, Evaluation]) -> Answers:
    """Return the answers of all architectures as arms of one target."""
    first, correct = next(iter(found.values())), {}
    for name, evaluation in found.items():
        if not np.array_equal(evaluation.image_ids, first.image_ids):
            studies = f"{evaluation.study.name!r} and {first.study.name!r}"
            raise InputError(f"studies {studies} evaluated different images; make them again from the same photographs")
        correct[f"{name} scratch"] = evaluation.correct[SCRATCH]
        correct[f"{name} pretrained"] = evaluation.correct[evaluation.study.everything]
    return Answers(correct, first.labels)
