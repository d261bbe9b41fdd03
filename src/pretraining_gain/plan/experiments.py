"""Select the finetunings that each experiment on *why pretraining helps* compares, as far as a study has them.

Each function takes a study and its finetunings, and returns none where the study lacks what the experiment needs.
"""

from __future__ import annotations

from collections import Counter

from pretraining_gain.plan.parts import Downstream
from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.plan.runs import Run, design_arms
from pretraining_gain.plan.studies import Study

#: With fewer random subsets, effects of six kinds of classes cannot be told apart.
FEWEST_SUBSETS = 20
#: The parts of the gain, which add up to the last.
PARTS = ("any images", "animals", "own class", "more classes", "all")


def main_targets(study: Study) -> dict[str, Downstream]:
    """Return, by name, the first target of each domain and set of classes: none that differs only in recipe or size."""
    first: dict[tuple[str, str | None], Downstream] = {}
    for target in study.downstreams:
        first.setdefault((target.domain, target.images.class_table), target)
    return {target.name: target for target in first.values()}


def on_main_targets(study: Study, runs: list[Run]) -> list[Run]:
    """Select the finetunings on the main targets."""
    names = main_targets(study)
    return [run for run in runs if run.downstream in names]


def further_targets(study: Study) -> list[Downstream]:
    """Return the main targets beside the first of each domain."""
    return [one for one in main_targets(study).values() if one != study.downstream_in(one.domain)]


def on_further_targets(study: Study, runs: list[Run]) -> list[Run]:
    """Select the paper's design on further targets."""
    further = [target.name for target in further_targets(study)]
    return [run for run in runs if run.downstream in further and not run.design]


def _where_all_are(arms: set[str], runs: list[Run]) -> list[Run]:
    """Select the runs on targets that have every one of `arms`."""
    found: dict[str, set[str]] = {}
    for run in runs:
        found.setdefault(run.downstream, set()).add(run.arm)
    return [run for run in runs if arms <= found[run.downstream]]


def many_subsets(study: Study, runs: list[Run]) -> list[Run]:
    """Select, on the main targets, the arm with most random subsets of one size, of a source that has more than animals."""
    runs = [run for run in on_main_targets(study, runs) if run.pool == "random"]
    subsets = Counter((run.arm, run.downstream) for run in runs)
    (arm, _), n_subsets = max(subsets.items(), key=lambda one: one[1], default=(("", ""), 0))
    enough = n_subsets >= FEWEST_SUBSETS and not study.source_classes["animal"].all()
    return [run for run in runs if enough and run.arm == arm and subsets[arm, run.downstream] >= FEWEST_SUBSETS]


def by_distance(study: Study, runs: list[Run]) -> list[Run]:
    """Select all classes and scratch on each main target out of domain, where tables state the families of both sides."""
    if "family" not in study.source_classes or study.main_start != "all":
        return []
    targets = [
        name
        for name, target in main_targets(study).items()
        if target.domain == "out_of_domain" and "family" in target.images.classes
    ]
    found = [run for run in runs if run.downstream in targets and run.arm in (study.everything, SCRATCH)]
    return _where_all_are({study.everything, SCRATCH}, found)


def by_target_size(study: Study, runs: list[Run]) -> list[Run]:
    """Select all classes and scratch on three or more targets that differ only in images per class, at the seeds of all."""
    for main in main_targets(study).values():
        same = [target.name for target in study.downstreams if _but_for_size(target) == _but_for_size(main)]
        found = [run for run in runs if run.downstream in same and run.arm in (study.everything, SCRATCH)]
        found = _where_all_are({study.everything, SCRATCH}, found)
        seeds = {name: {run.seed for run in found if run.downstream == name} for name in {run.downstream for run in found}}
        if len(seeds) > 2 and (shared := set.intersection(*seeds.values())):
            return [run for run in found if run.seed in shared]
    return []


def _but_for_size(target: Downstream) -> tuple[object, ...]:
    return target.domain, target.images.model_copy(update={"train_images_per_class": 0}), target.recipe


def saturation(study: Study, runs: list[Run]) -> list[Run]:
    """Select scratch and the animal classes, by their number and, for the most classes, by their images."""
    largest = max(study.arms.get("animal", []), default=0)
    limited = [design.name for design in study.designs if design.total_images]
    runs = _where_all_are({SCRATCH, f"animal-k{largest}"}, on_main_targets(study, runs))
    animals = [run for run in runs if run.pool == "animal"]
    found = [run for run in animals if not run.design or (run.k == largest and run.design in limited)]
    if len({run.arm for run in found}) < 2:
        return []
    return [*(run for run in runs if run.pool == SCRATCH), *found]


def equivalent_number(study: Study, runs: list[Run]) -> list[Run]:
    """Select the most animal classes, and other classes by their number, of which a study needs three to see a bend."""
    most, numbers = max(study.arms.get("animal", []), default=0), study.arms.get("non_animal", [])
    arms = {f"animal-k{most}", *(f"non_animal-k{k}" for k in numbers)}
    runs = _where_all_are(arms, on_main_targets(study, runs))
    return [run for run in runs if run.arm in arms and len(numbers) > 2]


def chance_decides(study: Study, runs: list[Run]) -> list[Run]:
    """Select, on the main targets, the pretrainings on opposite halves of the animals."""
    halves = [pool.name for pool in POOLS.values() if pool.takes == "half"]
    return [run for run in on_main_targets(study, runs) if run.pool in halves]


def parts_of_the_gain(study: Study, runs: list[Run]) -> list[Run]:
    """Select scratch, all classes, the most animal and as many other classes, and the halves of the animals."""
    arms = {SCRATCH, study.everything, *study.animals_and_others}
    runs = _where_all_are(arms, on_main_targets(study, runs))
    return [run for run in runs if run.arm in arms] + chance_decides(study, runs)


def other_designs(study: Study, runs: list[Run]) -> list[Run]:
    """Select, out of domain, each design of two arms or more, and the paper's arms of the same pools and sizes."""
    target, wanted = study.downstream_in("out_of_domain").name, set()
    for design in study.designs if runs else ():
        arms = design_arms(runs[0].study, design, target)
        if len(arms) > 1:
            wanted |= arms.keys() | {run.arm for run in arms.values()}
    return [run for run in runs if run.downstream == target and run.arm in wanted]


def both_ways(study: Study, runs: list[Run]) -> list[Run]:
    """Select, on the first target of both domains and on its other way, scratch, all classes, and the most animals and others.

    None where a domain has no target, or none is finetuned both ways.
    """
    firsts = [study.downstream_in(domain) for domain in study.domains]
    pairs = [(one, study.finetuned_the_other_way(one)) for one in firsts]
    names = {one.name for target, other in pairs if other for one in (target, other)}
    arms = {SCRATCH, study.everything, *study.animals_and_others}
    found = [run for run in runs if run.downstream in names and run.arm in arms]
    return found if len(firsts) == 2 and any(run.pool != SCRATCH for run in found) else []
