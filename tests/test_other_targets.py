"""The claims on a further target of a domain: judged as if it were the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import yaml
from conftest import ROOT, simulate_results

from pretraining_gain.plan.runs import finetuning_runs
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import class_table_path
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.other_targets import other_targets
from pretraining_gain.tell.results.designs import design_numbers
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.study import StudyResults


def toy_but(**changes: object) -> dict[str, Any]:
    """Return the toy study with two seeds, without designs, and with `changes`."""
    toy = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
    return toy | {"seeds": [0, 1], "designs": []} | changes


def test_the_claims_are_judged_on_a_further_target(results, tmp_path):
    study = toy_but(name="two_targets")
    (tmp_path / "others.csv").write_bytes(class_table_path("toy_animals").read_bytes())
    images = study["downstreams"][0]["images"] | {"class_table": "others.csv"}
    further = study["downstreams"][0] | {"name": "again", "title": "Another target", "images": images}
    path = tmp_path / "study.yml"
    path.write_text(yaml.safe_dump(study | {"downstreams": [*study["downstreams"], further]}))
    simulate_results(str(path))
    table = other_targets(View(study=str(path)))
    assert set(table["target"]) == {"Another target"}
    about = [claim for claim in CLAIMS if claim.domain == "out_of_domain"]
    assert table["claim"].tolist() == [f"{claim.id}. {claim.text}" for claim in about]
    c1 = table.set_index(table["claim"].str.partition(".")[0]).loc["C1"]
    assert c1["verdict"] == "supported"
    assert c1["effect"].startswith(f"{100 * share_that_gains(str(path)):.1f} %")


def test_freezing_is_judged_on_a_further_target_that_is_finetuned_both_ways(results, tmp_path):
    study = toy_but(name="both_ways", arms={"all": [24]})
    (tmp_path / "others.csv").write_bytes(class_table_path("toy_animals").read_bytes())
    full, _, frozen = study["downstreams"]
    images = full["images"] | {"class_table": "others.csv"}
    frozen = frozen | {"name": "again_frozen", "title": "Another target, frozen", "images": images}
    further = [frozen, full | {"name": "again", "title": "Another target", "images": images}]
    path = tmp_path / "study.yml"
    path.write_text(yaml.safe_dump(study | {"downstreams": [full, *further[::-1]]}))
    simulate_results(str(path))
    top1 = pd.read_csv(results / "both_ways" / "runs.csv").groupby(["downstream", "arm"])["top1"].mean()
    table = other_targets(View(study=str(path)))
    [found] = table.loc[table["claim"].str.startswith("C14"), "effect"]
    effect = 100 * (top1["again", "all-k24"] - top1["again_frozen", "all-k24"])
    assert found.startswith(f"{effect:+.1f} points".replace("-", "−"))


def share_that_gains(path: str) -> float:
    """Recompute from the files of predictions alone."""
    top1 = {}
    for run in finetuning_runs(path):
        if run.downstream == "again" and run.arm in (load_study(path).everything, "scratch"):
            table = pd.read_csv(run.predictions_path)
            right = (table["label"] == table["prediction"]).groupby(table["label"]).mean()
            top1.setdefault(run.arm == "scratch", []).append(right)
    gain = np.mean(top1[False], axis=0) - np.mean(top1[True], axis=0)
    return float((gain > 1e-12).mean())


def test_the_gain_over_another_schedule_is_the_difference_of_the_two_targets(results, tmp_path):
    study = toy_but(name="long")
    further = study["downstreams"][0] | {"name": "field_long", "title": "Trained longer", "pools": ["scratch"]}
    path = tmp_path / "study.yml"
    path.write_text(yaml.safe_dump(study | {"downstreams": [*study["downstreams"], further]}))
    simulate_results(str(path))
    top1 = pd.read_csv(results / "long" / "runs.csv").groupby(["downstream", "arm"])["top1"].mean()
    numbers = design_numbers(StudyResults.from_parameters({"study": str(path)}))
    wanted = top1["field", load_study(str(path)).everything] - top1["field_long", "scratch"]
    assert numbers["field_long_gain_low"] < numbers["field_long_gain"] < numbers["field_long_gain_high"]
    assert abs(numbers["field_long_gain"] - wanted) < 1e-4


def test_a_study_with_one_target_per_domain_has_no_further_one(results):
    simulate_results("toy")
    assert other_targets(View(study="toy")).empty
    assert other_targets(View(study="paper")).empty
