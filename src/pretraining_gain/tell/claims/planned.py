"""Say what a study without results could resolve, with the variances that another study has."""

from __future__ import annotations

from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.species import load_taxa
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell import statistics
from pretraining_gain.tell.claims.declarations import Claim
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.parts import ARMS, EQUAL, GROUPS, SHARE, Part


def planned_detectable(claim: Claim, study: Study, measured: Evidence) -> float | None:
    """Return the largest effect (or margin), over the claim's parts, that a design resolves with probability 0.8, with the
    variance components that the same comparisons have in `measured`; None where those are unknown.

    Groups of species are known for iNaturalist 2021 only. All that ImageNet names count as well represented, and families
    as known, so the design resolves no less than this.
    """
    if claim.domain not in study.domains:
        return None
    images, n_arms = study.downstream(claim.target(study)).images, 1 + sum(len(ks) for ks in study.arms.values())
    found = []
    for part in claim.parts(measured.study):
        find = statistics.smallest_margin if part.test == EQUAL else statistics.smallest_detectable
        sizes, per_class = (n_arms, len(study.seeds)), images.eval_images_per_class
        if part.kind == ARMS:
            parts = statistics.components(*measured.answers(part))
            found.append(find(*statistics.design_error(parts, *sizes, images.n_classes, per_class)))
        elif part.kind in (GROUPS, SHARE) and images.dataset == "inat2021":
            first, second = _inat_groups(part)
            n = first + second
            parts = statistics.components(*measured.answers(part))
            of_groups = statistics.difference_error(parts, *sizes, first, second, per_class)
            found.append(find(*of_groups) if part.kind == GROUPS else find(0.5 / n**0.5, n - 1))
    return max(found, default=None)


def _inat_groups(part: Part) -> tuple[int, int]:
    """Count the animals of iNaturalist 2021 in the first group that a part compares, and in the other: mammals and others,
    or, of the birds in Figure 1, those that ImageNet names and others."""
    taxa, named = load_taxa().query("source == 'iNaturalist 2021'"), imagenet_birds()
    if part.column == "supercategory":
        animals = taxa[~taxa["supercategory"].isin(["Plantae", "Fungi"])]
        first = animals["supercategory"] == "Mammals"
    else:
        animals = taxa[(taxa["supercategory"] == "Birds") & taxa["family"].isin(named["family"])]
        first = animals.index.isin(named["species"])
    return int(first.sum()), int((~first).sum())
