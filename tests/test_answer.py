"""The answer on a study's page, and its confusions: sentences and counts that follow from results by rules."""

from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT, simulate_results

from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.book.answer import answer
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.results.confusions import confusions, histories
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import taxa_numbers
from pretraining_gain.tell.results.study import StudyResults


def answer_of(study: str) -> dict[str, str]:
    results = StudyResults.from_parameters({"study": study})
    return answer(results, taxa_numbers(results))


@pytest.mark.parametrize(
    ("gain", "begins"), [(0.2, "Use pretraining on all 24 classes: it raises top-1"), (-0.2, "Train from scratch: pretraining"),
                         (0.0, "We cannot tell whether pretraining")]
)  # fmt: skip
def test_the_first_sentence_follows_from_the_interval_of_the_gain(results, gain, begins):
    simulate_results("toy", gain)
    said = answer_of("toy")["answer_gain"]
    assert said.startswith(begins)
    assert ("−" in said) == (gain == 0)  # a sentence that says *lowers* has no sign to turn round


def test_where_nothing_is_clear_the_answer_says_how_large_a_study_would_be(results):
    simulate_results("toy", 0.0)
    said = answer_of("toy")["answer_limits"]
    assert re.search(r"To see a gain of 3.0.points, the study would need about [\d,]+ (seeds|evaluation)", said)


def test_one_photograph_per_species_is_too_few_to_say_how_large_a_study_would_be(results, tmp_path):
    text = (ROOT / "notebooks" / "studies" / "toy.yml").read_text().replace("name: toy", "name: one", 1)
    study = tmp_path / "one.yml"
    study.write_text(re.sub(r"eval_images_per_class: [1-9]\d*", "eval_images_per_class: 1", text))
    simulate_results(str(study), 0.0)
    said = answer_of(str(study))
    assert "we cannot tell" in said["answer_who"]
    assert "To see a gain" not in said["answer_limits"]


def test_the_margin_is_that_of_the_ledger(results):
    """A share of the gain, in a study with `margin_share`."""
    simulate_results("toy", 0.2)
    margin, study = Evidence.load("toy").margins["field"], load_study("toy")
    assert round(margin, 3) != study.margin
    assert f"{100 * margin:.1f}\u00a0points" in answer_of("toy")["answer_who"]


def test_families_of_one_species_each_are_not_compared_as_in_the_ledger(mini_results):
    assert "Whether families differ cannot be tested: most of those stated have one species" in answer_of("mini")["answer_who"]


def test_a_study_of_three_seeds_and_many_species_has_no_warning(mini_results):
    assert answer_of("mini")["answer_warnings"] == ""


def test_one_seed_and_leaks_are_warned_of(results, small_study):
    simulate_results(small_study)
    leaks = {"leaking_eval_images": 7, "leaking_groups": ["camera 1"]}
    (results / "small" / "images-field.json").write_text(json.dumps(leaks))
    said = answer_of(small_study)["answer_warnings"]
    assert said.startswith("One seed: the intervals do not cover chance in training.")
    assert "The evaluation leaks: 7 of its images have a near-duplicate" in said
    assert "1 groups" not in said


def test_an_arm_that_the_target_lacks_is_one_line(mini_results):
    evaluation = View(study="mini", downstream="caltech101_animals_frozen").evaluation()
    with pytest.raises(InputError, match="no results of 'half_animal-k7' for 'caltech101_animals_frozen'; there are: "):
        confusions(evaluation, "half_animal-k7")


def test_confusions_are_the_pairs_that_change_most(mini_results):
    """The simulated results take each wrong image for the next species."""
    evaluation = StudyResults.from_parameters({"study": "mini"}).out_of_domain
    table = confusions(evaluation, "all-k10")
    names = evaluation.species["name"].tolist()
    assert [names[(names.index(one) + 1) % len(names)] for one in table["species"]] == table["taken for"].tolist()
    assert table["change, points"].is_monotonic_increasing
    assert (table["from scratch"] - table["pretrained"]).mean() == pytest.approx(0.2, abs=0.15)


def test_histories_have_every_epoch_of_every_seed(mini_results):
    table = histories(StudyResults.from_parameters({"study": "mini"}).out_of_domain, ("all-k10", "scratch"))
    assert table.groupby(["arm", "seed"]).size().tolist() == [3] * 20
