"""Say what a study without results could resolve, with the variances that another study has."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.species import load_taxa
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell import statistics
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim
from pretraining_gain.tell.claims.evidence import Evidence, species_of
from pretraining_gain.tell.claims.parts import ARMS, EQUAL, GROUPS, SHARE, SPREAD, Part

#: Which species count as well represented.
NAMED, ALONE = "all that ImageNet names", "with a class of their own"


def planned_detectable(claim: Claim, study: Study, measured: Evidence) -> float | None:
    """Return the largest effect (or margin), over the claim's parts, that a design resolves with probability 0.8, with the
    variance components that the same comparisons have in `measured`; None where those are unknown, and where no effect is
    large enough, as with one seed.

    Groups of species are known for iNaturalist 2021 only. All that ImageNet names count as well represented.
    """
    if claim.domain not in study.domains:
        return None
    images, n_arms = study.downstream(claim.target(study)).images, _count_arms(study)
    found = []
    for part in claim.parts(measured.study):
        find = statistics.smallest_margin if part.test == EQUAL else statistics.smallest_detectable
        sizes, per_class = (n_arms, len(study.seeds)), images.eval_images_per_class
        if part.kind == SHARE and images.dataset == "inat2021":
            n = len(_inat_species(part))
            found.append(find(0.5 / n**0.5, n - 1))
        elif part.kind == ARMS and (parts := _components(part, measured)):
            found.append(find(*statistics.design_error(parts, *sizes, images.n_classes, per_class)))
        elif part.kind == GROUPS and images.dataset == "inat2021" and (parts := _components(part, measured)):
            found.append(find(*statistics.difference_error(parts, *sizes, *_inat_groups(part), per_class)))
        elif part.kind == SPREAD and images.dataset == "inat2021" and (parts := _components(part, measured)):
            groups = _inat_species(part)[part.column]
            found.append(statistics.smallest_spread(parts, sizes[1], groups.nunique(), len(groups), per_class))
    largest = max(found, default=None)
    return largest if largest is None or np.isfinite(largest) else None


def margins_by_representation(study_name: str, variances_from: str) -> pd.DataFrame:
    """Return the smallest margin within which a design shows that well represented species gain no more than others.

    One row per number of seeds (the study's, 5 and 10) and of well represented species, of those that Figure 1 shows:
    n_seeds, represented, others, margin (met with probability 0.8 where there is no difference), `rule`: NAMED where these
    are all that ImageNet names, ALONE where a class names no other species, else empty. Empty for other targets than
    iNaturalist 2021, whose groups are not known, and where the study `variances_from` has no results, or results that do
    not tell the variances.
    """
    study = load_study(study_name)
    target, n_arms = study.downstream_in("out_of_domain"), _count_arms(study)
    measured = Evidence.if_run(variances_from or study_name) if target.images.dataset == "inat2021" else None
    if measured is None:
        return pd.DataFrame()
    compared = (part for claim in CLAIMS for part in claim.parts(measured.study))
    part = next(part for part in compared if part.kind == GROUPS and part.column == "representation")
    components, (n_named, n_others) = _components(part, measured), _inat_groups(part)
    if components is None:
        return pd.DataFrame()
    total, images, rows = n_named + n_others, target.images.eval_images_per_class, []
    alone = imagenet_birds().query("species != ''").groupby("imagenet_class_id")["species"].filter(lambda names: len(names) == 1)
    rules = {alone.nunique(): ALONE, n_named: NAMED}
    for n_seeds in sorted({len(study.seeds), 5, 10}):
        for first in sorted({*rules, *np.geomspace(20, total // 2, 25).astype(int).tolist()}):
            error = statistics.difference_error(components, n_arms, n_seeds, first, total - first, images)
            sizes = {"n_seeds": n_seeds, "represented": first, "others": total - first, "rule": rules.get(first, "")}
            rows.append(sizes | {"margin": statistics.smallest_margin(*error)})
    return pd.DataFrame(rows)


def margin_numbers(margins: pd.DataFrame, study_name: str) -> dict[str, int | float]:
    """Return how many well represented species the study needs for its own margin (0: no number of them suffices), and for
    each rule of what counts how many there are, and which margin the study meets with these."""
    if margins.empty:
        return {}
    study = load_study(study_name)
    own = margins[margins["n_seeds"] == len(study.seeds)]
    enough, by_rule = own.loc[own["margin"] <= study.margin, "represented"], own.set_index("rule")
    found: dict[str, int | float] = {"sight_needed": int(enough.min()) if len(enough) else 0}
    found["sight_others"] = int(by_rule.at[NAMED, "others"])
    for name, rule in {"named": NAMED, "alone": ALONE}.items():
        row = by_rule.loc[rule]
        found |= {f"sight_{name}": int(row["represented"]), f"sight_margin_{name}": float(row["margin"])}
    return found


def _count_arms(study: Study) -> int:
    """Count the arms that the variance of runs is pooled over: those of the pools, and scratch."""
    return 1 + sum(map(len, study.arms.values()))


def _components(part: Part, measured: Evidence) -> statistics.Components | None:
    """Return the variance components of what a part compares; None where the results are too few to tell them."""
    if species_of(part, measured.evaluations[part.downstream]).empty:  # the class table states no group
        return None
    answers, weights = measured.answers(part)
    try:
        return statistics.components(answers, weights)
    except InputError:  # one class, or one image of each
        return None


def _inat_species(part: Part) -> pd.DataFrame:
    """Return what a part is about in iNaturalist 2021: all animals, or of the birds those of Figure 1's families."""
    taxa = load_taxa().query("source == 'iNaturalist 2021'")
    if part.column == "supercategory":
        return taxa[~taxa["supercategory"].isin(["Plantae", "Fungi"])]
    return taxa[(taxa["supercategory"] == "Birds") & taxa["family"].isin(imagenet_birds()["family"])]


def _inat_groups(part: Part) -> tuple[int, int]:
    """Count the species in the first group that a part compares, and in the other: mammals and others, or birds that
    ImageNet names and others."""
    animals = _inat_species(part)
    mammals, named = animals["supercategory"] == "Mammals", animals.index.isin(imagenet_birds()["species"])
    n_first = int((mammals if part.column == "supercategory" else named).sum())
    return n_first, len(animals) - n_first
