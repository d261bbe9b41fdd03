"""Everything that the figure notebooks show of one study, each table computed once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

import pandas as pd

from pretraining_gain.plan.experiments import chance_decides, further_targets
from pretraining_gain.plan.runs import finetuning_runs
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.results.designs import (
    BothWays,
    assigned_effects,
    design_curves,
    finetuned_both_ways,
    freezing_by_domain,
)
from pretraining_gain.tell.results.evaluation import Evaluation, View
from pretraining_gain.tell.results.gains import arm_accuracy, figure1_species, group_accuracy, species_gains
from pretraining_gain.tell.statistics import Estimate


class StudyResults:
    """Results of one study under the choices of a notebook (`View`). Raises `InputError` when they are missing."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.study = load_study(view.study)
        # Cached per object: the results on a target, and the table of arms of a domain.
        self.load = cache(view.load)
        self.arms = cache(lambda domain: arm_accuracy(self.evaluation(domain)))

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> StudyResults:
        """Build from a notebook's `globals()`. Raises `InputError` for an unknown name, study, downstream or arm."""
        return cls(View.from_parameters(parameters))

    def evaluation(self, domain: str, across: str = "") -> Evaluation:
        """Return the results on the target that `View.target` means."""
        return self.load(self.view.target(domain, across))

    @property
    def out_of_domain(self) -> Evaluation:
        return self.evaluation("out_of_domain")

    @property
    def arms_by_target(self) -> dict[str, pd.DataFrame]:
        """Title of the paper's target of each domain -> its table of arms."""
        return {self.evaluation(one).downstream.title: self.arms(one) for one in self.study.domains}

    @cached_property
    def further(self) -> dict[str, tuple[Evaluation, pd.DataFrame]]:
        """Name of each further target -> its results, and its table of arms (see `arm_accuracy`)."""
        found = [self.load(target.name) for target in further_targets(self.study)]
        return {one.downstream.name: (one, arm_accuracy(one)) for one in found}

    @property
    def by_prefix(self) -> dict[str, tuple[Evaluation, pd.DataFrame]]:
        """Main targets, as `further`, by what the names of their numbers begin with: `out`, `in`, and names of further ones."""
        return {domain.split("_")[0]: (self.evaluation(domain), self.arms(domain)) for domain in self.study.domains} | self.further

    @cached_property
    def species(self) -> pd.DataFrame:
        return species_gains(self.out_of_domain, self.view.arm)

    @property
    def figure1_species(self) -> pd.DataFrame:
        return figure1_species(self.species, self.out_of_domain)

    @cached_property
    def supercategories(self) -> pd.DataFrame:
        return group_accuracy(self.across_groups, self.view.arm, "supercategory")

    @property
    def across_groups(self) -> Evaluation:
        """The out-of-domain target whose species fall into several supercategories, where the study has one."""
        return self.evaluation("out_of_domain", "supercategory")

    @cached_property
    def designs(self) -> pd.DataFrame:
        return design_curves(self.out_of_domain, self.view.study, self.arms("out_of_domain"))

    @cached_property
    def freezing(self) -> pd.DataFrame:
        return freezing_by_domain(self.both_ways)

    @cached_property
    def both_ways(self) -> list[BothWays]:
        return finetuned_both_ways([self.evaluation(one) for one in self.study.domains], self.load)

    @cached_property
    def assigned(self) -> dict[str, tuple[pd.DataFrame, Estimate]]:
        runs = chance_decides(self.study, finetuning_runs(self.view.study))
        return assigned_effects([self.load(target) for target in dict.fromkeys(run.downstream for run in runs)])
