"""Count the verdicts that one changed choice of the analysis alters: the margin, the seeds, the species."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pretraining_gain.tell.claims.declarations import CLAIMS, claim_named
from pretraining_gain.tell.claims.evidence import Evidence, evaluate
from pretraining_gain.tell.claims.ledger import NOT_RUN, UNRESOLVED, decide
from pretraining_gain.tell.claims.what_if import Settings, narrowed


def single_changes(study_name: str) -> pd.DataFrame:
    """Return one row per change: what is changed, how many verdicts change, and which from what to what."""
    evidence = Evidence.load(study_name)
    before = {claim.id: _verdict(Settings(study=study_name, claim=claim.id)) for claim in CLAIMS}
    rows = []
    for words, by_domain in _changes(evidence):
        found = []
        for claim in (claim for claim in CLAIMS if claim.domain in by_domain):
            after = _verdict(Settings(study=study_name, claim=claim.id, **by_domain[claim.domain]))
            if after != before[claim.id]:
                found.append(f"{claim.id}: {before[claim.id]} → {after}")
        rows.append([words, len(found), "; ".join(found) or "none"])
    return pd.DataFrame(rows, columns=["change", "verdicts that change", "which"])


def _verdict(settings: Settings) -> str:
    """Return the verdict alone, without the detectable effect, which takes longer."""
    outcomes = evaluate(claim_named(settings.claim), narrowed(settings))
    verdict = decide(outcomes)[0] if outcomes else NOT_RUN
    return "not resolvable" if verdict == UNRESOLVED else verdict


def _changes(evidence: Evidence) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Yield each change in words, and the settings that make it for a claim about a target of each domain."""
    study, targets = evidence.study, evidence.by_domain
    for word, factor in (("halved", 0.5), ("doubled", 2)):
        yield f"margin {word}", {key: {"margin": study.margin * factor} for key in targets}
    for seed in study.seeds if len(study.seeds) > 1 else []:
        yield f"seed {seed} left out", {key: {"seeds": [one for one in study.seeds if one != seed]} for key in targets}
    sizes = {domain: one.species["supercategory"].value_counts() for domain, one in targets.items()}
    without = {domain: {"without": [size.index[0]]} for domain, size in sizes.items() if len(size) > 1}
    if without:
        yield "largest supercategory left out", without


def change_numbers(changes: pd.DataFrame) -> dict[str, Any]:
    """Return what the chapter states: how many verdicts any one change alters, and how many changes there are."""
    seeds = changes[changes["change"].str.startswith("seed ")]
    counts = changes.set_index("change")["verdicts that change"]
    return {
        "n_changes": len(changes),
        "most_changed": int(counts.max()),
        "most_by_seed": int(seeds["verdicts that change"].max()) if len(seeds) else 0,
        "by_halved": int(counts["margin halved"]),
        "by_doubled": int(counts["margin doubled"]),
    }
