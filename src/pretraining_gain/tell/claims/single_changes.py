"""What becomes of the verdicts when one choice of the analysis is changed: the margin, the seeds, the species."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd

from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.evidence import evaluate
from pretraining_gain.tell.claims.ledger import NOT_RUN, UNRESOLVED, decide
from pretraining_gain.tell.claims.what_if import Settings, narrowed
from pretraining_gain.tell.results.evaluation import View

COLUMNS = ["change", "verdicts that change", "which"]


def verdict_with(settings: Settings) -> str:
    """The verdict alone, without what could be detected, which costs more."""
    outcomes = evaluate(settings.claim_asked, narrowed(settings), settings.threshold)
    return decide(outcomes)[0] if outcomes else NOT_RUN


def single_changes(study_name: str) -> pd.DataFrame:
    """One row a change: what is changed, how many verdicts it changes, and which from what to what."""
    before = {claim.id: verdict_with(Settings(study=study_name, claim=claim.id)) for claim in CLAIMS}
    rows = []
    for words, changes in _changes(study_name):
        found = []
        for claim in CLAIMS:
            after = verdict_with(Settings(study=study_name, claim=claim.id, **changes(claim.domain)))
            if after != before[claim.id]:
                found.append(f"{claim.id}: {_short(before[claim.id])} → {_short(after)}")
        rows.append([words, len(found), "; ".join(found) or "none"])
    return pd.DataFrame(rows, columns=COLUMNS)


def _short(verdict: str) -> str:
    return "not resolvable" if verdict == UNRESOLVED else verdict


def _changes(study_name: str) -> Iterator[tuple[str, Any]]:
    """Words, and the settings for a claim about a target of a domain."""
    study = load_study(study_name)
    for word, factor in (("halved", 0.5), ("doubled", 2)):
        yield f"margin {word}", lambda _, margin=study.margin * factor: {"margin": margin}
    for seed in study.seeds if len(study.seeds) > 1 else []:
        others = [one for one in study.seeds if one != seed]
        yield f"seed {seed} left out", lambda _, others=others: {"seeds": others}
    yield "largest supercategory left out", lambda domain: {"without": [_largest(study_name, domain)]}


@cache
def _largest(study_name: str, domain: str) -> str:
    species = View(study=study_name, draws=1).evaluation(domain).species
    return str(species["supercategory"].value_counts().index[0])


def change_numbers(changes: pd.DataFrame) -> dict[str, Any]:
    """What the chapter states: how many verdicts any one change changes, and how many changes there are."""
    seeds = changes[changes["change"].str.startswith("seed ")]
    counts = changes.set_index("change")["verdicts that change"]
    return {
        "n_changes": len(changes),
        "most_changed": int(counts.max()),
        "most_by_seed": int(seeds["verdicts that change"].max()) if len(seeds) else 0,
        "by_halved": int(counts["margin halved"]),
        "by_doubled": int(counts["margin doubled"]),
    }
