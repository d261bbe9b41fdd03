"""What the page "Change the analysis" computes with: which images each run got right, and how each claim is tested.

One bit an image and run, so that a study is a few kilobytes. A claim's parts are told as data: which estimator, which arms with
which weights, or which species. Beside them the verdicts of the book, unrounded.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.taxonomy import TAXON_COLUMNS
from pretraining_gain.tell.claims.declarations import CLAIMS, FROZEN, Claim, Contrast, Evidence, Part
from pretraining_gain.tell.claims.ledger import ALPHA, Ledger, Verdict
from pretraining_gain.tell.claims.what_if import DRAWS, GROUPED
from pretraining_gain.tell.results.evaluation import Evaluation, View
from pretraining_gain.tell.results.gains import figure1_species

FORM = 1


def tweak_tables(study_name: str) -> dict[str, Any]:
    """All that the page needs of a study. Raises `InputError` when results are missing."""
    view = View.from_parameters({"study": study_name, "draws": 1})
    evidence, ledger = Evidence.of(view), Ledger.of(view)
    study = evidence.study
    claims = [
        _claim(claim, verdict, evidence) for claim, verdict in zip(CLAIMS, ledger.verdicts, strict=True) if verdict.tests
    ]
    used = {domain: {arm for one in claims for arm in _arms(one, domain)} for domain in ("out_of_domain", "in_domain")}
    frozen = evidence.out_other_way
    more = {f"{FROZEN}{evidence.everything}": (frozen, evidence.everything)} if frozen else {}
    return {
        "form": FORM,
        "study": study.name,
        "title": study.title,
        "margin": study.margin,
        "seeds": study.seeds,
        "draws": DRAWS,
        "alpha": ALPHA,
        "gain": {evidence.everything: 1.0, SCRATCH: -1.0},
        "targets": {
            "out_of_domain": _target(evidence.out, used["out_of_domain"], more),
            "in_domain": _target(evidence.inside, used["in_domain"], {}),
        },
        "claims": claims,
    }


def _arms(claim: dict[str, Any], domain: str) -> set[str]:
    return {arm for part in claim["parts"] for arm in part.get("weights", {})} if claim["domain"] == domain else set()


def _target(evaluation: Evaluation, arms: set[str], more: dict[str, tuple[Evaluation, str]]) -> dict[str, Any]:
    """A target's species with their groups, and for each arm and seed one bit an image, images in the order of species.

    `more`: arms of the same images that another evaluation holds under another name.
    """
    species = evaluation.species
    levels = [name for name in TAXON_COLUMNS if (species[name] != "not stated").any()]
    sources = {arm: (evaluation, arm) for arm in evaluation.correct if arm in arms | {evaluation.study.everything, SCRATCH}}
    order = np.argsort(evaluation.labels, kind="stable")
    return {
        "title": evaluation.downstream.title,
        "images": np.unique(evaluation.labels, return_counts=True)[1].tolist(),
        "levels": {level: _coded(species[level]) for level in [*levels, "name"]},
        "representation": species["representation"].tolist(),
        "arms": {name: _bits(one.correct[arm][:, order]) for name, (one, arm) in (sources | more).items()},
    }


def _coded(groups: pd.Series) -> dict[str, list[Any]]:
    names = sorted(set(groups))
    return {"names": names, "of": groups.map({name: code for code, name in enumerate(names)}).tolist()}


def _bits(correct: np.ndarray) -> list[str]:
    return [base64.b64encode(np.packbits(row).tobytes()).decode() for row in correct]


def _claim(claim: Claim, verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    parts = list(claim.parts(evidence))
    if claim.id in GROUPED:
        specs = _about_species(claim.id, evidence)
    else:
        specs = [{"estimator": "mean", "weights": dict(_contrast(part).weights)} for part in parts]
    told = [{"what": part.what, "test": part.test, "bound": part.bound} for part in parts]
    facts = {name: getattr(claim, name) for name in ("id", "text", "estimand", "figure", "domain")}
    return facts | {
        "level": GROUPED.get(claim.id, ""),
        "species": _places(figure1_species(evidence.out.species, evidence.out).index, evidence)
        if claim.id in ("C1", "C2", "C3")
        else None,
        "parts": [one | spec for one, spec in zip(told, specs, strict=True)],
        "book": verdict.model_dump(include={"verdict", "rule", "decisive", "tests"}),
    }


def _contrast(part: Part) -> Contrast:
    if part.contrast is None:
        raise InputError(f"part {part.what!r} is no contrast of arms, and no page can compute it")
    return part.contrast


def _about_species(claim: str, evidence: Evidence) -> list[dict[str, Any]]:
    """The estimators of the claims about species, each with what it compares."""
    species = evidence.out.species
    if claim == "C1":
        return [{"estimator": "share"}]
    if claim == "C3":
        return [{"estimator": "spread", "level": "family"}]
    if claim == "C4":
        mammals = species["supercategory"] == "Mammals"
        parts = {"spread": {"estimator": "spread", "level": "supercategory"}, "difference": _difference(mammals, evidence)}
        groups = species["supercategory"].nunique()
        kept = {"spread": 1 < groups < len(species), "difference": min(mammals.sum(), (~mammals).sum()) > 1}
        return [part for name, part in parts.items() if kept[name]]
    shown = figure1_species(species, evidence.out)
    grade = next(grade for grade in sorted(set(shown["representation"])) if grade not in (NONE, "some"))
    return [
        {
            "estimator": "difference",
            "first": _places(shown.index[shown["representation"] == grade], evidence),
            "second": _places(shown.index[shown["representation"] == NONE], evidence),
        }
    ]


def _difference(first: pd.Series, evidence: Evidence) -> dict[str, Any]:
    places = {"first": _places(first.index[first], evidence), "second": _places(first.index[~first], evidence)}
    return {"estimator": "difference"} | places


def _places(class_ids: pd.Index, evidence: Evidence) -> list[int]:
    return np.searchsorted(evidence.out.classes.index, class_ids).tolist()


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
