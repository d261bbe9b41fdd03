"""Judge the claims on the further targets of a domain, beside the one that the ledger is about."""

from __future__ import annotations

import pandas as pd

from pretraining_gain.paths import has_results
from pretraining_gain.plan.experiments import further_targets
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.ledger import judge
from pretraining_gain.tell.results.evaluation import View


def other_targets(view: View) -> pd.DataFrame:
    """Return one row per claim and further target: claim, target, verdict, effect, detectable effect, evidence.

    Empty where the study has none, or no results.
    """
    study, rows = load_study(view.study), []
    for target in further_targets(study) if has_results(study.name) else ():
        other_way = study.finetuned_the_other_way(target)
        kept = [one for one in study.downstreams if one == other_way or one.domain != target.domain]
        evidence = Evidence.of(view, study.model_copy(update={"downstreams": [target, *kept]}))
        for claim in CLAIMS:
            if claim.domain == target.domain and claim.target(study) != target.name:
                verdict = judge(claim, evidence)
                named = {"claim": f"{claim.id}. {claim.text}", "target": target.title, "verdict": verdict.verdict}
                rows.append(named | verdict.words())
    return pd.DataFrame(rows)
