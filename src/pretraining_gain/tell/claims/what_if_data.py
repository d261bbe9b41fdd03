"""Publish what the page "Change the analysis" computes with: correctness per image, and each claim's parts as data.

One bit per image and run, so a study is a few kilobytes. Beside them the book's verdicts, unrounded.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.species import NOT_STATED, TAXON_COLUMNS
from pretraining_gain.tell.claims.declarations import CLAIMS, KINDS, Arm, Part
from pretraining_gain.tell.claims.evidence import Evidence, evaluate, species_of
from pretraining_gain.tell.claims.ledger import verdict_on


def what_if_tables(study_name: str) -> dict[str, Any]:
    """Return all that the page needs about a study. Raises `InputError` when results are missing."""
    evidence = Evidence.load(study_name)
    study = evidence.study
    claims: list[Any] = []
    arms: dict[Any, Any] = {}
    for claim in CLAIMS:
        verdict = verdict_on(claim, evaluate(claim, evidence))
        if verdict.tests:
            facts = {name: getattr(claim, name) for name in ("id", "text", "estimand", "figure", "domain")}
            book = verdict.model_dump(include={"verdict", "rule", "decisive", "tests"})
            claims.append(facts | {"parts": [_part(part, evidence) for part in claim.parts(study)], "book": book})
            arms.setdefault(claim.domain, set()).update(claim.arms(study))
    declared = {"study": study.name, "title": study.title, "margin": study.margin, "seeds": study.seeds}
    targets = {domain: _target(study.downstream_in(domain).name, used, evidence) for domain, used in arms.items()}
    return declared | {"targets": targets, "claims": claims}


def _target(name: str, arms: set[Arm], evidence: Evidence) -> dict[str, Any]:
    """Return a target's species with their groups, and one bit per arm, seed and image, images sorted by species."""
    evaluation = evidence.evaluations[name]
    species = evaluation.species
    levels = [*(level for level in TAXON_COLUMNS if (species[level] != NOT_STATED).any()), "name"]
    coded = {level: pd.Categorical(species[level]) for level in levels}  # its categories are sorted
    order = np.argsort(evaluation.labels, kind="stable")
    correct = {arm: evidence.evaluations[arm.downstream].correct[arm.name][:, order] for arm in sorted(arms)}
    return {
        "title": evaluation.downstream.title,
        "images": np.unique(evaluation.labels, return_counts=True)[1].tolist(),
        "levels": {level: {"names": one.categories.tolist(), "of": one.codes.tolist()} for level, one in coded.items()},
        "representation": species["representation"].tolist(),
        "arms": {
            _key(arm): [base64.b64encode(np.packbits(row).tobytes()).decode() for row in rows]
            for arm, rows in correct.items()
        },
    }


def _key(arm: Arm) -> str:
    return f"{arm.downstream}/{arm.name}"


def _part(part: Part, evidence: Evidence) -> dict[str, Any]:
    """Return a part as the page computes it: species by their row in the target's table."""
    evaluation = evidence.evaluations[part.downstream]
    species = species_of(part, evaluation)
    rows = np.searchsorted(evaluation.classes.index, species.index)
    facts = {name: getattr(part, name) for name in ("what", "test", "kind", "bound", "column")}
    facts |= {"unit": KINDS[part.kind].unit, "signed": KINDS[part.kind].signed}
    facts |= {"weights": {_key(arm): weight for arm, weight in part.weights.items()}}
    facts |= {"species": rows.tolist()} if part.figure1_only or len(rows) < len(evaluation.classes) else {}
    return facts | {"between": [rows[group.mask(species)].tolist() for group in part.between or ()]}


def plain_verdicts(tables: dict[str, Any]) -> pd.DataFrame:
    """Return what a page without JavaScript shows: the book's verdicts, each with its deciding test."""
    rows = []
    for claim in tables["claims"]:
        test = claim["book"]["tests"][claim["book"]["decisive"]]
        numbers = {name: 100 * test[name] for name in ("effect", "low", "high", "detectable")} | {"unit": test["unit"]}
        text = f"{claim['id']}. {claim['text']}"
        rows.append({"claim": text, "verdict": claim["book"]["verdict"], "tested": test["what"]} | numbers)
    return pd.DataFrame(rows).rename(columns={"low": "from", "high": "to"})


def facts(tables: dict[str, Any]) -> str:
    """Describe the plain table in a few sentences."""
    seeds = ", ".join(map(str, tables["seeds"]))
    return (
        f"Study {tables['study']} ({tables['title']}), seeds {seeds}, margin {100 * tables['margin']:g} points: the book's "
        "verdicts, with effect, 95 percent interval and smallest detectable effect. "
        "Changing the analysis needs JavaScript here, or Python: python -m pretraining_gain.tell.claims.what_if --help."
    )
