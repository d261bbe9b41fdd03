"""What the intervals of a table of the paper's size cost: `python -m pretraining_gain.tell.validation.simulation --paper-size`."""

from __future__ import annotations

import resource
import time

import numpy as np
import pandas as pd

from pretraining_gain.tell.statistics import bootstrap_means

# Species of iNat-Mini-A by supercategory (paper, D.1), in the order in which Figure 2 names them.
_SUPERCATEGORIES = np.array([170, 142, 153, 1486, 2526, 246, 169, 183, 313]) / 5388


def paper_size(draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """Make a table of the paper's size (5,388 classes × 50 images × 2 arms × 3 seeds) and every interval that is drawn of
    it: each arm's top-1 and the gain, for each species, each of nine supercategories, and all. What it cost: seconds of
    the intervals alone, and peak memory of the process in GiB."""
    rng = np.random.default_rng(seed)
    labels, shape = np.repeat(np.arange(5388), 50), (3, 5388 * 50)
    scratch, pretrained = rng.random(shape) < 0.3, rng.random(shape) < 0.5
    index = pd.RangeIndex(5388)
    groups = {
        "species": (pd.Series(index, index=index), False),
        "supercategory": (pd.Series(rng.choice(9, 5388, p=_SUPERCATEGORIES), index=index), True),
        "all, fixed": (pd.Series("all", index=index), False),
        "all, random": (pd.Series("all", index=index), True),
    }
    start, rows = time.perf_counter(), 0
    for values in (scratch, pretrained, pretrained.astype(float) - scratch):
        for group, random in groups.values():
            rows += len(bootstrap_means(values, labels, group, resample_classes=random, draws=draws, seed=seed))
    seconds = time.perf_counter() - start
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"intervals": rows, "seconds": round(seconds, 1), "peak_gib": round(peak_kib / 2**20, 2)}
