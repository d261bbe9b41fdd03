"""Estimates with uncertainty, equivalence tests, and the power of a design.

`Answers` holds all runs of a target; an estimate is a weighted sum of its arms (`weights`: arm -> weight). Classes are
*fixed* when these very species are meant and *random* when they stand for others like them.
"""

from pretraining_gain.tell.statistics.estimates import (
    Estimate, combine, estimate_difference, estimate_mean, estimate_share_positive, estimate_slope, group_means, holm,
    line_weights, paired_factor,
)  # fmt: skip
from pretraining_gain.tell.statistics.model import Answers, Weights, per_run
from pretraining_gain.tell.statistics.power import (
    LEVEL, Components, components, design_error, difference_error, equivalence_power, smallest_detectable,
    smallest_margin,
)  # fmt: skip
from pretraining_gain.tell.statistics.regression import (
    effect_of_exchange, effects_of_counts, effects_of_own_kind, predict_held_out,
)  # fmt: skip
from pretraining_gain.tell.statistics.spread import GroupSpread, group_spread, smallest_spread
