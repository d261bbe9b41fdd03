"""Preparation: an estimate before it starts, refusal of a small disk, going on after a kill, checksums, broken files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, wait_for
from filelock import FileLock
from official import SPECIES, make_imagenet, make_inat_study, make_study
from refusal import Damage, changed, cut, missing

from pretraining_gain import prepare
from pretraining_gain.compute.images import load_images
from pretraining_gain.datasets.inat2021 import official
from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


@pytest.fixture
def study(inat, tmp_path) -> str:
    return make_inat_study(tmp_path / "study.yml")


def packs(tmp_path: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> when it was written, and its content."""
    found = sorted((tmp_path / "data" / "prepared").rglob("*.zip"))
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def training_set(study: str):
    return load_images(load_study(study).downstreams[0].images, load_class_table("inat2021_animals"), "train", 36)


def test_an_estimate_makes_no_pack_and_counts_the_cores_that_are_allowed(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert prepare.main([study, "--estimate"]) == 0
    said = capsys.readouterr().out
    assert "inat2021_animals train at 36 px: 12 classes, 48 images, about" in said
    assert "inat2021_animals eval at 36 px: 12 classes, 36 images, about" in said
    assert re.search(r"in all about [\d.]+kB of the [\d.]+[GT]B free in .*, and [\d:]+ \(h:min:s\) with 1 worker", said)
    assert not packs(tmp_path)


def test_the_estimate_of_disk_is_near_what_is_used(study, tmp_path):
    parts = prepare.parts_of(load_study(study))
    parts[0].preparation.set_up(parts[0].images)
    expected = prepare.estimate(parts, workers=1)
    prepare.prepare(study, workers=1)
    made = [size for part in parts for key in part.rows()["key"] for size in prepare.read_pack(part.path(key))[1][:, 1]]
    assert expected == pytest.approx(sum(made), rel=0.15)


def test_what_two_targets_share_is_counted_and_made_once(tmp_path):
    parts = prepare.parts_of(load_study(make_study(tmp_path / "study.yml")))
    assert [str(part) for part in parts] == [
        "imagenet1k train at 36 px", "inat2021_animals train at 36 px", "inat2021_animals eval at 36 px",
        "imagenet1k_animals train at 36 px", "imagenet1k_animals eval at 36 px",
    ]  # fmt: skip
    assert parts[0].path("n01440764") == parts[3].path("n01440764") != parts[4].path("n01440764")


@pytest.fixture
def four_ways(inat, tmp_path) -> str:
    """A study that evaluates on one class table in four ways."""
    study = yaml.safe_load(Path(make_inat_study(tmp_path / "study.yml")).read_text())
    [first] = study["downstreams"]
    ways = [{"options": {"evaluate_on": "val"}}, {"split_seed": 1}, {"eval_images_per_class": 2}, {}]
    for i, way in enumerate(ways):
        ways[i] = first | {"name": f"way_{i}", "title": f"way {i}", "images": first["images"] | way}
    study["downstreams"] = ways
    (tmp_path / "study.yml").write_text(yaml.safe_dump(study, sort_keys=False))
    return str(tmp_path / "study.yml")


def test_targets_that_differ_in_options_have_packs_each(four_ways):
    prepare.prepare(four_ways, workers=2)
    table = load_class_table("inat2021_animals")
    counts = [len(load_images(target.images, table, "eval", 36)) for target in load_study(four_ways).downstreams]
    assert counts == [2 * len(SPECIES), 3 * len(SPECIES), 2 * len(SPECIES), 3 * len(SPECIES)]


def test_the_price_counts_the_packs_of_each_way(four_ways, tmp_path):
    disk = [Plan.of(study).disk_table()["GB"] for study in (four_ways, make_inat_study(tmp_path / "one.yml"))]
    each = [table["prepared inat2021, eval"] for table in disk]
    assert each[0] / each[1] == pytest.approx((3 + 3 + 2 + 3) / 3)
    assert disk[0]["prepared inat2021, train"] == disk[1]["prepared inat2021, train"]


def test_targets_that_share_packs_treat_broken_images_alike(four_ways, tmp_path):
    study = yaml.safe_load(Path(four_ways).read_text())
    study["downstreams"][2]["images"]["broken_images"] = "skip"
    Path(four_ways).write_text(yaml.safe_dump(study, sort_keys=False))
    with pytest.raises(InputError, match="inat2021_animals train at 36 px has broken_images both stop and skip; accepted: one"):
        prepare.prepare(four_ways, workers=2)
    assert not packs(tmp_path)


def test_a_dataset_is_set_up_once_for_both_splits(study, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(official, "class_table", lambda *given, make=official.class_table: made.append(given) or make(*given))
    assert prepare.main([study, "--estimate"]) == 0
    assert len(made) == 1


def test_what_the_options_of_any_target_need_is_checked_first(four_ways, inat, tmp_path):
    (inat / "val.json").unlink()
    with pytest.raises(InputError, match=r"val\.json is missing"):
        prepare.prepare(four_ways, workers=2)
    assert not packs(tmp_path)


def test_too_small_a_disk_is_refused_before_anything_is_written(study, tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    assert prepare.main([study]) == 1
    out, err = capsys.readouterr()
    assert "48 images, about" in out  # said first
    assert "the packs need about" in err
    assert "PRETRAINING_GAIN_PREPARED" in err
    assert err.count("\n") == 1
    assert not packs(tmp_path)


def test_what_is_there_is_kept(study, tmp_path, capsys):
    prepare.prepare(study, workers=2)
    before = packs(tmp_path)
    assert len(before) == 2 * len(SPECIES)
    gone = Path(sorted(before)[3])  # of the evaluation set
    gone.unlink()
    capsys.readouterr()
    prepare.prepare(study, workers=2)
    after = packs(tmp_path)
    assert {path for path in after if after[path] != before[path]} == {str(gone)}
    assert after[str(gone)][1] == before[str(gone)][1]  # the same bytes again
    assert "eval at 36 px: 1 classes, 3 images" in capsys.readouterr().out


def test_a_killed_preparation_goes_on_where_it_was(inat, tmp_path):
    """A real SIGKILL, while the packs of ImageNet's thousand classes are made."""
    make_imagenet(tmp_path / "data" / "imagenet1k")
    study = make_study(tmp_path / "study.yml")
    command = [sys.executable, "-m", "pretraining_gain.prepare", study, "--workers", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(packs(tmp_path)) >= 20 or process.poll() is not None)
    process.kill()
    process.wait()
    kept = packs(tmp_path)
    assert 20 <= len(kept) < 1000
    half = Path(next(iter(kept))).with_name(".n01440764.zip.1.tmp")  # as a kill in the middle of a pack leaves it
    half.write_bytes(b"half")
    prepare.prepare(study, workers=1)
    done = packs(tmp_path)
    assert kept.items() <= done.items()
    assert len(done) == 1000 + 398 + 2 * len(SPECIES)
    assert not half.exists()
    prepare.check(study)


def test_two_preparations_do_not_mix(study, tmp_path, capsys):
    root = tmp_path / "data" / "prepared"
    root.mkdir()
    with FileLock(root / ".lock"):
        assert prepare.main([study]) == 1
    assert f"another preparation is at work in {root}" in capsys.readouterr().err


def test_everybody_who_shares_the_folder_can_take_its_lock(study, tmp_path):
    prepare.prepare(study, workers=2, only_estimate=True)
    assert (tmp_path / "data" / "prepared" / ".lock").stat().st_mode & 0o666 == 0o666


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "changed in its first picture": (changed(400, b"?!"), r"pack .*{key}\.zip is damaged", "is damaged"),
    "cut off": (cut(50), r"pack .*{key}\.zip is damaged .*delete it", "is damaged"),
    "missing": (missing, r"1 of 12 prepared classes are missing, first .*{key}", "is missing"),
}


@pytest.mark.parametrize(("damage", "read", "checked"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_pack_is_named_by_a_run_and_by_the_check_and_can_be_made_again(study, capsys, damage, read, checked):
    prepare.prepare(study, workers=2)
    part = prepare.parts_of(load_study(study))[0]
    key = part.rows()["key"][7]
    path = part.path(key)
    whole = path.read_bytes()
    damage(path)
    with pytest.raises(InputError, match=read.format(key=key)):
        training_set(study).images[torch.tensor([7 * 4])]
    assert prepare.main([study, "--check"]) == 1
    assert f"1 of 24 packs are not whole: pack {path} {checked}" in capsys.readouterr().err
    path.unlink(missing_ok=True)
    prepare.prepare(study, workers=2)
    assert prepare.main([study, "--check"]) == 0
    assert path.read_bytes() == whole


def test_a_broken_image_stops_with_its_path_or_is_listed(inat, tmp_path):
    path = sorted((inat / "train_mini").rglob("*.jpg"))[5]
    path.write_bytes(b"hello" * 50)
    with pytest.raises(InputError, match=f"image {path} cannot be decoded"):
        prepare.prepare(make_inat_study(tmp_path / "stop.yml"), workers=2)
    study = make_inat_study(tmp_path / "skip.yml", broken_images="skip")
    prepare.prepare(study, workers=2)
    data = training_set(study)
    assert data.skipped == [path.relative_to(inat).as_posix()]
    assert len(data) == 47


def test_a_study_without_large_datasets_needs_no_preparation(capsys):
    assert prepare.main(["toy"]) == 0
    assert "needs no preparation" in capsys.readouterr().out
