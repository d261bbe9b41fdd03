"""Estimates with uncertainty, equivalence tests, and the power of a design.

Everywhere `values` (S, N) are seeds by evaluation images: correct (1/0), a paired difference of two arms on the same image
and seed (-1, 0, 1), or a weighted sum of arms. `labels` (N,) are class ids. Classes are *fixed* when these very species
are meant and *random* when they stand for others like them.
"""

from pretraining_gain.tell.statistics.estimates import (
    Correlation, Estimate, estimate_correlation, estimate_difference, estimate_mean, estimate_share_positive, holm,
    paired_factor,
)  # fmt: skip
from pretraining_gain.tell.statistics.groups import GroupSpread, bootstrap_means, group_means, group_spread
from pretraining_gain.tell.statistics.power import (
    Components, components, design_error, difference_error, equivalence_power, power_at, smallest_detectable,
    smallest_margin, unbiased_components,
)  # fmt: skip
