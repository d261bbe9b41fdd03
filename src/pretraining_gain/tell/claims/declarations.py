"""The paper's claims, each declared once: what it says, where the paper says it, and the tests that it must pass.

A claim has one or more parts, and all must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims import parts
from pretraining_gain.tell.claims.parts import Arm, Part

#: Section of a claim that is not the paper's.
OURS = "ours"


@dataclass(frozen=True)
class Claim:
    """A claim: its text in our words, the paper's section, the key of its figure, what is estimated, and its parts.

    `build` makes the parts from a study and the name of its downstream in `domain`; `cannot` says why a study cannot test
    it, or nothing. `section` is `ours` where the paper claims no such thing. A claim `across` groups of species, a column of
    the class table, is tested on the first target of the domain that has several. To add a claim, append one to `CLAIMS`.
    """

    id: str
    text: str
    section: str
    figure: str
    estimand: str
    build: Callable[[Study, str], Iterator[Part]]
    domain: str = "out_of_domain"
    cannot: Callable[[Study], str] = lambda _: ""
    across: str = ""

    def target(self, study: Study) -> str:
        """Return the name of the target that the claim is tested on. Raises `InputError` where there is none."""
        return study.downstream_in(self.domain, self.across).name

    def parts(self, study: Study) -> list[Part]:
        """Return the parts whose arms and target the study has; none where it cannot test the claim."""
        if self.untestable(study):
            return []
        there = {Arm(target.name, arm) for target in study.downstreams for arm in study.arms_on(target)}
        return [part for part in self.build(study, self.target(study)) if there.issuperset(part.weights)]

    def untestable(self, study: Study) -> str:
        """Say why no runs of the study could test the claim; nothing where they could."""
        if self.domain not in study.domains:
            return f"the study has no target {self.domain.replace('_', ' ')}"
        return self.cannot(study)

    def arms(self, study: Study) -> set[Arm]:
        """Return the arms whose results the claim compares."""
        return {arm for part in self.parts(study) for arm in part.weights}


_GAIN = "gain in top-1, from the main pretraining minus from scratch"
_OUT, _IN = "difference in top-1 on the out-of-domain target", "difference in top-1 on the in-domain target"
CLAIMS = [
    Claim("C1", "Pretraining helps a majority of species.", "2", "figure_1",
          "share of species whose gain comes out above 0; one at 0 counts half", parts.most_species_gain),
    Claim("C2", "Within a family, the gain does not depend on how well the source represents the species.", "2", "figure_1",
          f"{_GAIN}: mean over represented species minus mean over species without a correct image, families held fixed, each "
          "species counting once", parts.representation_is_no_matter),
    Claim("C3", "The gain does not depend on the family of a species.", OURS, "figure_1",
          f"{_GAIN}: standard deviation of the true means of families", parts.family_is_no_matter),
    Claim("C4", "The gain is the same in all supercategories; mammals are not favoured.", "2", "figure_2",
          f"{_GAIN}: standard deviation of the true means of supercategories; mean over mammals minus mean over others",
          parts.supercategory_is_no_matter, across="supercategory"),
    Claim("C5", "All source classes together are the best pretraining for the out-of-domain target.", "3", "figure_3", _OUT,
          parts.all_classes_are_best),
    Claim("C6", "A large enough set of irrelevant or random classes beats training from scratch.", "3", "figure_3", _OUT,
          parts.irrelevant_sets_beat_scratch),
    Claim("C7", "Animal classes beat as many random and as many non-animal classes, however many.", "3", "figure_3", _OUT,
          parts.animals_beat_others),
    Claim("C8", "Out of domain, random classes are worth as much as non-animal ones.", "3", "figure_3", _OUT,
          partial(parts.random_against_non_animal, test=parts.EQUAL)),
    Claim("C9", "All animal classes beat as many random ones, and equal all non-animal ones, which are more.", "3", "figure_3",
          _OUT, parts.all_animals_against_others, cannot=parts.animals_are_not_fewer),
    Claim("C10", "In domain, random classes beat as many non-animal ones.", "3.2", "figure_4", _IN,
          parts.random_against_non_animal, "in_domain"),
    Claim("C11", "Out of domain, a random set is worth more than the animals in it, the less so the more there are.",
          "3.2 and Appendix B", "figure_6",
          f"{_OUT}: random curve at its expected animal classes minus animal curve; and how that gap closes",
          parts.scaled_random_lies_above),
    Claim("C12", "In domain, a random set is worth just the animals in it.", "3.2 and Appendix B", "figure_6",
          f"{_IN}: random curve at its expected animal classes minus animal curve", parts.scaled_random_coincides,
          "in_domain"),
    Claim("C13", "More animal classes would help further.", "3", "figure_3",
          f"{_OUT}: the largest animal set minus the one before it", parts.more_animals_help_further),
    Claim("C14", "Freezing the backbone hurts on the out-of-domain target.", "D.2", "figure_freezing",
          "difference in top-1 on the out-of-domain target, everything trained minus backbone frozen, same pretraining",
          parts.freezing_hurts),
    Claim("C15", "In domain, too, all source classes together are the best pretraining.", "3.2", "figure_4", _IN,
          parts.all_classes_are_best, "in_domain"),
    Claim("C16", "In domain, animal classes beat as many random and as many non-animal classes.", "3.2", "figure_4", _IN,
          parts.animals_beat_others, "in_domain"),
    Claim("C17", "Irrelevant and random data help only in a sufficient amount.", "3", "figure_3",
          f"{_OUT}: the smallest set minus scratch, and the largest set minus the smallest", parts.a_sufficient_amount_is_needed),
    Claim("C18", "Of animals, a much smaller amount is enough: they beat at least twice as many non-animal classes.", "3",
          "figure_3", f"{_OUT}: animal classes minus at least twice as many non-animal classes", parts.half_as_many_animals_do),
]  # fmt: skip


def claim_named(name: str) -> Claim:
    """Return the claim with this id. Raises `InputError` naming those accepted."""
    claims = {claim.id: claim for claim in CLAIMS}
    if name not in claims:
        raise InputError(f"claim {name!r} is unknown; accepted: {', '.join(claims)}")
    return claims[name]
