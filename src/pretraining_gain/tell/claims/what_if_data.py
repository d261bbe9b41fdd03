"""What the page "Change the analysis" computes with: which images each run got right, and how each claim is tested.

One bit an image and run, so that a study is a few kilobytes. A claim's parts are told as data: which estimator, which arms with
which weights, or which species. Beside them the verdicts of the book, unrounded.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.taxonomy import TAXON_COLUMNS
from pretraining_gain.tell.claims.declarations import CLAIMS, KINDS, Arm, Claim, Part
from pretraining_gain.tell.claims.evidence import Evidence, evaluate, species_of
from pretraining_gain.tell.claims.ledger import ALPHA, Verdict, verdict_on
from pretraining_gain.tell.claims.what_if import DRAWS

FORM = 2


def tweak_tables(study_name: str) -> dict[str, Any]:
    """All that the page needs of a study. Raises `InputError` when results are missing."""
    evidence = Evidence.load(study_name)
    study = evidence.study
    claims: list[Any] = []
    arms: dict[Any, Any] = {}
    for claim in CLAIMS:
        verdict = verdict_on(claim, evaluate(claim, evidence))
        if verdict.tests:
            claims.append(_claim(claim, verdict, evidence))
            arms.setdefault(claim.domain, set()).update(claim.arms(study))
    return {
        "form": FORM,
        "study": study.name,
        "title": study.title,
        "margin": study.margin,
        "seeds": study.seeds,
        "draws": DRAWS,
        "alpha": ALPHA,
        "targets": {domain: _target(study.downstream_in(domain).name, used, evidence) for domain, used in arms.items()},
        "claims": claims,
    }


def _target(name: str, arms: set[Arm], evidence: Evidence) -> dict[str, Any]:
    """A target's species with their groups, and for each arm and seed one bit an image, images in the order of species."""
    evaluation = evidence.evaluations[name]
    species = evaluation.species
    levels = [name for name in TAXON_COLUMNS if (species[name] != "not stated").any()]
    order = np.argsort(evaluation.labels, kind="stable")
    return {
        "title": evaluation.downstream.title,
        "images": np.unique(evaluation.labels, return_counts=True)[1].tolist(),
        "levels": {level: _coded(species[level]) for level in [*levels, "name"]},
        "representation": species["representation"].tolist(),
        "arms": {_key(arm): _bits(evidence.evaluations[arm.downstream].correct[arm.name][:, order]) for arm in sorted(arms)},
    }


def _key(arm: Arm) -> str:
    return f"{arm.downstream}/{arm.name}"


def _coded(groups: pd.Series) -> dict[str, list[Any]]:
    names = sorted(set(groups))
    return {"names": names, "of": groups.map({name: code for code, name in enumerate(names)}).tolist()}


def _bits(correct: np.ndarray) -> list[str]:
    return [base64.b64encode(np.packbits(row).tobytes()).decode() for row in correct]


def _claim(claim: Claim, verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    facts = {name: getattr(claim, name) for name in ("id", "text", "estimand", "figure", "domain")}
    book = verdict.model_dump(include={"verdict", "rule", "decisive", "tests"})
    return facts | {"parts": [_part(part, evidence) for part in claim.parts(evidence.study)], "book": book}


def _part(part: Part, evidence: Evidence) -> dict[str, Any]:
    """A part as the page computes it: species by their places in the target's table."""
    evaluation = evidence.evaluations[part.downstream]
    species = species_of(part, evaluation)
    places = np.searchsorted(evaluation.classes.index, species.index)
    facts = {name: getattr(part, name) for name in ("what", "test", "kind", "bound", "column")}
    facts |= {"unit": KINDS[part.kind].unit, "signed": KINDS[part.kind].signed}
    facts |= {"weights": {_key(arm): weight for arm, weight in part.weights.items()}}
    facts |= {"species": places.tolist()} if part.figure1_only else {}
    return facts | {"between": [places[group.mask(species)].tolist() for group in part.between or ()]}


def plain_verdicts(tables: dict[str, Any]) -> pd.DataFrame:
    """What a page without JavaScript shows: the verdicts of the book, the deciding test of each, in points of top-1."""
    rows = []
    for claim in tables["claims"]:
        test = claim["book"]["tests"][claim["book"]["decisive"]]
        numbers = {name: 100 * test[name] for name in ("effect", "low", "high", "detectable")}
        text = f"{claim['id']}. {claim['text']}"
        rows.append({"claim": text, "verdict": claim["book"]["verdict"], "tested": test["what"]} | numbers)
    return pd.DataFrame(rows).rename(columns={"low": "from", "high": "to"})


def facts(tables: dict[str, Any]) -> str:
    """What the plain table is of, in one sentence."""
    seeds = ", ".join(map(str, tables["seeds"]))
    return (
        f"Study {tables['study']} ({tables['title']}), seeds {seeds}, margin {100 * tables['margin']:g} points: the book's "
        "verdicts. Effect, 95 percent interval and smallest detectable effect in points (of C1: percent of species). "
        "Changing the analysis needs JavaScript here, or Python: python -m pretraining_gain.tell.claims.what_if --help."
    )
