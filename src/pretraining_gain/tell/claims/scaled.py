"""Compare the random curve with the animal curve at equally many expected animals (Figure 6; the paper, 3.2 and Appendix B)."""

from __future__ import annotations

import numpy as np

from pretraining_gain.plan.studies import Study


def scaled_gaps(study: Study) -> dict[int, dict[str, float]]:
    """Return, for each animal k, the weights of the random curve at k expected animal classes, minus animal-k (Appendix B)."""
    share, everything = study.animal_share, len(study.source_classes)
    arms = {k * share: f"random-k{k}" for k in study.arms.get("random", [])} | {everything * share: study.all_classes}
    at = np.array(sorted(arms))
    gaps = {}
    for k in study.arms.get("animal", []):
        right = int(np.searchsorted(at, k - 1e-9))
        if right == len(at) or (right == 0 and at[0] > k + 1e-9):
            continue
        left = max(right - 1, 0)
        part = 1.0 if left == right else float((k - at[left]) / (at[right] - at[left]))
        weights = {arms[at[left]]: 1 - part} if part < 1 - 1e-9 else {}
        weights |= {arms[at[right]]: part, f"animal-k{k}": -1.0}
        gaps[k] = weights
    return gaps
