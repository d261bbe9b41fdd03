"""The toy world: what a picture depends on, and what each of its dials does."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import yaml
from conftest import ROOT

from pretraining_gain.compute.images import load_images
from pretraining_gain.datasets import options_of, toy
from pretraining_gain.datasets.toy.shapes import ARTEFACTS, MARBLES, pattern
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table

SOURCE, TARGET = load_class_table("toy_source"), load_class_table("toy_animals")
ROWS = TARGET.to_dict("records")
MANY = range(600)


def pictures(row, indices, seed=0, table=TARGET, gap=0.0, **options):
    shown = toy.looks(row, table, indices, seed, options_of("toy", options))
    return toy.draw(row["key"], shown, indices, 32, seed, gap)


def looks(row, table=TARGET, **options):
    return toy.looks(row, table, MANY, 0, options_of("toy", options))


@pytest.mark.parametrize(
    "options", [{}, {"gap": 1}, {"gap": 0.4}, *({"shares": s, "strength": 0.5} for s in ("generic", "family"))]
)
def test_a_picture_depends_on_class_index_and_seed_only(options):
    alone = pictures(ROWS[3], range(7, 8), **options)
    assert np.array_equal(alone[0], pictures(ROWS[3], range(20), **options)[7])
    others = [(ROWS[4], 7, 0), (ROWS[3], 7, 1), (ROWS[3], 8, 0)]
    assert not any(np.array_equal(alone, pictures(row, range(i, i + 1), seed, **options)) for row, i, seed in others)


def test_half_of_each_family_is_in_the_source_drawn_as_in_the_target():
    named = TARGET[TARGET["represented_by"] != ""]
    assert (named.groupby("family").size() == 2).all()
    assert (TARGET.groupby("family").size() == 4).all()
    drawn = ["key", *(column for column in TARGET if column.startswith("draw_"))]
    assert named[drawn].to_numpy().tolist() == SOURCE.loc[SOURCE["animal"], drawn].to_numpy().tolist()


def test_no_marble_stands_out():
    """All are drawn by lot in the same way: none is nearly plain, and no two look alike."""
    axis = np.linspace(-0.6, 0.6, 32, dtype=np.float32)
    marks = np.stack([pattern(name, axis[None, None, :], axis[None, :, None]).ravel() for name in MARBLES])
    assert np.all((marks.mean(axis=1) > 0.15) & (marks.mean(axis=1) < 0.85))
    alike = np.corrcoef(marks) - 2 * np.eye(len(MARBLES))
    assert alike.max() < 0.85


def test_training_and_evaluation_pictures_differ():
    images = load_study("toy").downstreams[0].images
    train, held_out = (load_images(images, TARGET, split, 32) for split in ("train", "eval"))
    assert not set(train.image_ids) & set(held_out.image_ids)
    assert train.images.shape == (24 * 20, 3, 32, 32)
    assert len(held_out) == 24 * 30
    assert np.array_equal(np.bincount(train.labels), [20] * 24)


def test_the_dials_of_a_study_reach_the_pictures():
    source = load_study("toy").source.model_copy(update={"train_images_per_class": 4})
    turned = source.model_copy(update={"options": {"gap": 1, "shares": "generic", "strength": 0.5}})
    pixels, ids, *_ = toy.load_class(turned, ROWS[0], "train", 32)
    expected = pictures(ROWS[0], range(4), table=SOURCE, gap=1, shares="generic", strength=0.5)
    assert np.array_equal(pixels, expected)
    assert ids[3] == f"{ROWS[0]['key']}/3"
    assert not np.array_equal(pixels, toy.load_class(source, ROWS[0], "train", 32)[0])


def test_the_controls_turn_dials_and_plant_an_effect_or_none():
    study = yaml.safe_load((ROOT / "notebooks" / "studies" / "anchors.yml").read_text())
    turned = {d["name"]: options_of("toy", study["source"]["options"] | d["source_options"]) for d in study["designs"]}
    bird = looks(ROWS[0])[0]
    own = {name: np.mean([look == bird for look in looks(ROWS[0], **d.model_dump())]) for name, d in turned.items()}
    assert own["species_full"] == 1
    assert 0.4 < own["species_half"] < 0.65
    assert own["family_full"] < 0.1
    assert own["generic_full"] == 0
    assert {dials.gap for dials in turned.values()} == {0}


def _patchiness(gap: float) -> float:
    """Return the spread between the means of 4×4-pixel cells along the upper edge: patches of the ground, not its grain."""
    edge = pictures(ROWS[0], range(60), gap=gap)[:, :4].mean(-1)
    return edge.reshape(60, 4, 8, 4).mean(axis=(1, 3)).std(axis=1).mean()


def _uncovered(gap: float) -> float:
    """Return the share of pixels at which two patterns of the animal differ by no more than a blur does."""
    bird = looks(ROWS[0])[0]
    both = [[bird._replace(pattern=pattern)] * 60 for pattern in ("plain", "half")]
    plain, half = (toy.draw(ROWS[0]["key"], shown, range(60), 32, 0, gap).astype(int) for shown in both)
    return (np.abs(plain - half).max(-1) <= 60).mean()


def _light(gap: float) -> float:
    return pictures(ROWS[0], range(60), gap=gap).mean(axis=(1, 2, 3)).std()


@pytest.mark.parametrize("grows", [_patchiness, _uncovered, _light])
def test_the_gap_turns_a_close_up_into_a_cluttered_field(grows):
    assert np.all(np.diff([grows(gap) for gap in (0, 0.25, 0.5, 0.75, 1)]) > 0)


def test_a_picture_changes_smoothly_with_the_gap_and_ever_further():
    steps = np.linspace(0, 1, 51)
    path = np.stack([pictures(ROWS[8], range(10), gap=float(gap)).astype(int) for gap in steps])
    assert np.abs(np.diff(path, axis=0)).mean(axis=(1, 2, 3, 4)).max() < 255 * 0.02
    far = np.abs(path - path[0]).mean(axis=(1, 2, 3, 4))[::10]
    assert np.all(np.diff(far) > 0)


def _pattern_shares(row, **options):
    counts = Counter(look.pattern for look in looks(row, **options))
    return np.array([counts[marble] for marble in MARBLES]) / len(MANY)


@pytest.mark.parametrize(("shares", "strength"), [("species", 0), ("family", 1), ("family", 0)])
@pytest.mark.parametrize("sibling", [0, 1])
def test_where_nothing_of_the_species_is_shared_siblings_have_all_patterns_equally_often(sibling, shares, strength):
    sampling = 4 * np.sqrt(1 / 24 * 23 / 24 / len(MANY))
    assert np.abs(_pattern_shares(ROWS[sibling], shares=shares, strength=strength) - 1 / 24).max() < sampling


@pytest.mark.parametrize("strength", [0.25, 0.5, 1])
def test_strength_is_the_share_of_images_with_the_species_own_pattern(strength):
    shares = dict(zip(MARBLES, _pattern_shares(ROWS[0], strength=strength), strict=True))
    by_chance = (1 - strength) / len(MARBLES)
    assert shares.pop(ROWS[0]["draw_pattern"]) == pytest.approx(strength + by_chance, abs=0.08)
    assert max(shares.values()) == pytest.approx(by_chance, abs=0.05)
    assert {look[:3] for look in looks(ROWS[0], strength=strength)} == {looks(ROWS[0])[0][:3]}


def test_what_an_image_shows_at_one_strength_it_shows_at_every_higher_one():
    own = looks(ROWS[5])[0]
    shown = [np.array([look == own for look in looks(ROWS[5], strength=s)]) for s in (0, 0.3, 0.6, 1)]
    assert all(np.all(high[low]) for low, high in pairwise(shown))
    assert shown[0].sum() < shown[2].sum()


def test_family_strength_is_the_share_of_images_with_the_family_s_own_body():
    own = looks(ROWS[0])[0][:3]
    bodies = Counter(look[:3] for look in looks(ROWS[0], shares="family", strength=0.5))
    families = {(row["draw_body"], float(row["draw_girth"]), float(row["draw_head"])) for row in ROWS}
    assert bodies[own] / len(MANY) == pytest.approx(0.5 + 0.5 / 6, abs=0.08)
    assert set(bodies) == families
    assert {look[:3] for look in looks(ROWS[0], shares="family")} == {own}


@pytest.mark.parametrize("row", SOURCE.to_dict("records"), ids=lambda row: row["key"])
def test_generic_shows_one_artefact_or_nothing(row):
    [stand_in] = set(looks(row, SOURCE, shares="generic", strength=1))
    assert stand_in.body in ARTEFACTS
    assert stand_in.pattern not in MARBLES
    assert set(looks(row, SOURCE, shares="generic", strength=0.5)) == {stand_in, None}
    assert set(looks(row, SOURCE, shares="generic", strength=0)) == {None}


def test_a_bare_ground_is_the_same_whatever_the_class_would_show():
    bare = pictures(ROWS[0], range(5), shares="generic", strength=0)
    other = toy.draw(ROWS[0]["key"], [looks(ROWS[0])[0]] * 5, range(5), 32, 0, 0.0)
    corners = np.s_[:, :3, :3]
    assert np.array_equal(bare[corners], other[corners])
    assert bare.std(axis=(1, 2)).mean() < other.std(axis=(1, 2)).mean() / 2


