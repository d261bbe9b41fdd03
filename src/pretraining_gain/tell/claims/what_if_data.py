"""Publish what the page "Change the analysis" computes with: correctness per image, and each claim's parts as data.

One bit per image and run, so a study is a few kilobytes. Beside them the book's verdicts, unrounded.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.species import NOT_STATED, TAXON_COLUMNS
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.evidence import Evidence, species_of
from pretraining_gain.tell.claims.ledger import judge
from pretraining_gain.tell.claims.parts import KINDS, Part
from pretraining_gain.tell.results.evaluation import Evaluation, in_ranges


def what_if_tables(study_name: str) -> dict[str, Any]:
    """Return all that the page needs about a study. Raises `InputError` when results are missing."""
    evidence = Evidence.load(study_name)
    study = evidence.study
    claims: list[Any] = []
    used: dict[str, set[str]] = {}
    for claim in CLAIMS:
        verdict = judge(claim, evidence)
        if verdict.tests:
            facts = {name: getattr(claim, name) for name in ("id", "text", "estimand", "figure")}
            book = verdict.model_dump(include={"verdict", "rule", "decisive", "tests"})
            facts["target"] = target = claim.target(study)
            facts["seeds"] = evidence.seeds(claim)
            claims.append(facts | {"parts": [_part(part, evidence) for part in claim.parts(study)], "book": book})
            used.setdefault(target, set()).update(arm.downstream for arm in claim.arms(study))
    declared = {"study": study.name, "title": study.title, "given": study_name}
    targets = {name: _target(evidence, evidence.evaluations[name], names) for name, names in used.items()}
    return declared | {"targets": targets, "claims": claims}


def _target(evidence: Evidence, evaluation: Evaluation, names: set[str]) -> dict[str, Any]:
    """Return a target's margin, its species with their groups, and one bit per run and image, images sorted by species.

    `arms`: by downstream that shares the images, arm and seed; every arm tells how much runs vary.
    """
    species = evaluation.species
    levels = [*(level for level in TAXON_COLUMNS if (species[level] != NOT_STATED).any()), "name"]
    coded = {level: pd.Categorical(species[level]) for level in levels}  # its categories are sorted
    order = np.argsort(evaluation.labels, kind="stable")

    def runs(name: str) -> dict[str, Any]:
        one = evidence.evaluations[name]
        bits = {arm: [np.packbits(row) for row in rows[:, order]] for arm, rows in one.correct.items()}
        texts = {arm: [base64.b64encode(row.tobytes()).decode() for row in rows] for arm, rows in bits.items()}
        return {arm: dict(zip(one.seeds_of[arm], runs, strict=True)) for arm, runs in texts.items()}

    return {
        "title": evaluation.downstream.title,
        "margin": evidence.margins[evaluation.downstream.name],
        "images": evaluation.answers.n_images.tolist(),
        "levels": {level: {"names": one.categories.tolist(), "of": one.codes.tolist()} for level, one in coded.items()},
        "representation": species["representation"].tolist(),
        "arms": {name: runs(name) for name in sorted(names)},
    }


def _part(part: Part, evidence: Evidence) -> dict[str, Any]:
    """Return a part as the page computes it: species by their row in the target's table."""
    evaluation = evidence.evaluations[part.downstream]
    species = species_of(part, evaluation)
    rows = np.searchsorted(evaluation.classes.index, species.index)
    facts = {name: getattr(part, name) for name in ("what", "test", "kind", "bound", "column", "within", "downstream")}
    facts |= {"unit": KINDS[part.kind].unit, "signed": KINDS[part.kind].signed}
    facts |= {"other": part.other, "weights": part.own_weights}
    facts |= {"species": rows.tolist()} if len(rows) < len(evaluation.classes) else {}
    return facts | {"between": [rows[group.mask(species)].tolist() for group in part.between or ()]}


def plain_verdicts(tables: dict[str, Any]) -> pd.DataFrame:
    """Return what a page without JavaScript shows: the book's verdicts, each with its deciding test."""
    rows = []
    for claim in tables["claims"]:
        test = claim["book"]["tests"][claim["book"]["decisive"]]
        stated = {name: test[name] for name in ("effect", "low", "high", "detectable")}
        numbers = {name: np.nan if value is None else 100 * value for name, value in stated.items()}
        text = f"{claim['id']}. {claim['text']}"
        rows.append({"claim": text, "verdict": claim["book"]["verdict"], "tested": test["what"], **numbers, "unit": test["unit"]})
    return pd.DataFrame(rows).rename(columns={"low": "from", "high": "to"})


def facts(tables: dict[str, Any]) -> str:
    """Describe the plain table in a few sentences."""
    seeds = in_ranges(sorted({seed for claim in tables["claims"] for seed in claim["seeds"]}))
    margins = ", ".join(f"{100 * one['margin']:.1f} points on {one['title']}" for one in tables["targets"].values())
    return (
        f"Study {tables['study']} ({tables['title']}), seeds {seeds}, margin {margins}: the book's "
        "verdicts, with effect, 95 percent interval and smallest detectable effect. "
        "Changing the analysis needs JavaScript here, or Python: python -m pretraining_gain.tell.claims.what_if --help."
    )
