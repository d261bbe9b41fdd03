"""A reader's own photographs: how folders and manifests are read and split, which leaks are found, and what is refused."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from refusal import refused

from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.images.decoding import read_image
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.records import write_findings
from pretraining_gain.datasets.folder import findings, splitting
from pretraining_gain.datasets.folder.listing import list_photos
from pretraining_gain.datasets.folder.splitting import Alike, draw, hash_photos, near_duplicates, split_of
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.leaks import split_lines


def picture(seed: int, size: int = 48) -> Image.Image:
    """A smooth random picture, unlike any other seed's."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


def photos(folder: Path, n: int, seed: int) -> None:
    folder.mkdir(parents=True)
    for i in range(n):
        picture(1000 * seed + i).save(folder / f"{i:02}.jpg", quality=95)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three classes of twelve photographs, in a folder beside the study."""
    for variable in ("PREPARED", "CACHE", "RESULTS", "DATA"):
        monkeypatch.setenv(f"PRETRAINING_GAIN_{variable}", str(tmp_path / "made" / variable.lower()))
    for number, name in enumerate(("heron", "jay", "owl")):
        photos(tmp_path / "photos" / name, 12, number)
    return tmp_path / "photos"


@cache
def start() -> dict[str, torch.Tensor]:
    return build_model("resnet10_w16", 5, 0).state_dict()


def study(root: Path, images: dict[str, Any] | None = None, /, **options: Any) -> str:
    """Write a study of photographs beside them; return its path."""
    path = root.parent / "own.yml"
    torch.save(start(), root.parent / "start.pt")
    recipe = {"epochs": 1, "lr_step_epochs": 1, "batch_size": 8, "image_size_px": 32, "resize_px": 32}
    wanted = {"dataset": "folder", "options": {"path": root.name} | options} | (images or {})
    target = {"name": "mine", "title": "mine", "images": wanted, "recipe": {"based_on": "finetune_inat", "changes": recipe}}
    content = {"name": "own", "title": "own", "backbone": "resnet10_w16", "seeds": [0], "weights": {"start": "start.pt"}}
    content |= {"downstreams": [target], "throughput": {"device": "one CPU core", "train_images_per_s": 100, "source": "a guess"}}
    path.write_text(yaml.safe_dump(content))
    return str(path)


def images_of(path: str) -> Images:
    return load_study(path).downstreams[0].images


def loaded(path: str, split: str) -> list[str]:
    images = images_of(path)
    return load_images(images, load_class_table(images.class_table), split, 32).image_ids


def in_splits(root: Path, held_out: str = "val") -> None:
    """Turn the folder of classes into train/ and another folder, four photographs each of them to the other."""
    for name in [one.name for one in root.iterdir()]:
        (root / "train").mkdir(exist_ok=True)
        shutil.move(root / name, root / "train" / name)
        (root / held_out / name).mkdir(parents=True)
        for photo in sorted((root / "train" / name).iterdir())[8:]:
            shutil.move(photo, root / held_out / name)


def manifest(root: Path, **columns: Callable[[str], str]) -> Path:
    """Write a manifest of all photographs; each column is a function of the path."""
    files = sorted(one.relative_to(root.parent).as_posix() for one in root.rglob("*.jpg"))
    table = pd.DataFrame({"file": files, "label": [Path(file).parent.name for file in files]})
    path = root.parent / "manifest.csv"
    table.assign(**{name: [of(file) for file in files] for name, of in columns.items()}).to_csv(path, index=False)
    return path


def test_what_a_study_leaves_out_is_counted(root):
    images = images_of(study(root))
    assert (images.n_classes, images.train_images_per_class, images.eval_images_per_class) == (3, 8, 4)


def test_a_drawn_split_is_stratified_and_the_same_again(root):
    first = loaded(study(root), "train"), loaded(study(root), "eval")
    splitting._READ.clear()
    shutil.rmtree(root.parent / "made")
    assert (loaded(study(root), "train"), loaded(study(root), "eval")) == first
    assert [len(part) for part in first] == [24, 12]
    assert not set(first[0]) & set(first[1])
    assert pd.Series(first[1]).str.partition("/")[0].value_counts().tolist() == [4, 4, 4]


def test_a_damaged_split_is_made_again(root):
    path = study(root)
    wanted = loaded(path, "eval")
    (written,) = (root.parent / "made" / "prepared").rglob("split.csv")
    written.write_text(written.read_text().replace(",eval,", ",train,"))
    splitting._READ.clear()
    assert loaded(path, "eval") == wanted


@pytest.mark.parametrize("held_out", ["val", "test", "validation", "VAL"])
def test_given_splits_are_kept(root, held_out):
    train = "Train" if held_out.isupper() else "train"
    in_splits(root, held_out)
    (root / "train").rename(root / train)
    path = study(root)
    assert {Path(name).parts[0] for name in loaded(path, "train")} == {train}
    assert {Path(name).parts[0] for name in loaded(path, "eval")} == {held_out}
    assert findings(images_of(path))["split"] == "as given"


def test_where_there_is_a_test_split_val_is_left_out_and_said_so(root):
    in_splits(root, "val")
    shutil.copytree(root / "val", root / "test")
    assert "val" in findings(images_of(study(root)))["left_out"]


def test_photographs_in_no_folder_of_a_class_are_named(root):
    in_splits(root)
    picture(1).save(root / "loose.jpg")
    picture(2).save(root / "train" / "loose.jpg")
    picture(3).save(root / "val" / "loose.jfif", format="JPEG")
    left_out = list_photos(root).left_out
    assert left_out == dict.fromkeys(["loose.jpg", "train/loose.jpg", "val/loose.jfif"], "in no folder of a class")


def test_folders_whose_names_are_one_text_are_one_class(root):
    (root / "jay").rename(root / "M\u00e9sange")
    (root / "owl").rename(root / "Me\u0301sange")
    assert list_photos(root).counts["all"].to_dict() == {"M\u00e9sange": 24, "heron": 12}


@pytest.mark.parametrize("name", ["", "train", "train/owl", "train/owl/2026"])
def test_a_folder_that_cannot_be_read_is_named(root, monkeypatch, name):
    in_splits(root)
    photos(root / "train" / "owl" / "2026", 3, 9)
    for call in ("scandir", "listdir"):
        monkeypatch.setattr(os, call, partial(unless, root / name, getattr(os, call)))
    with refused(f"folder {root / name} cannot be read: Permission denied; accepted: a folder", unchanged=root.parent / "made"):
        list_photos(root)


def unless(refused: Path, call: Callable[[Any], Any], folder: Any = ".") -> Any:
    """Read a folder as the system does, but as if `refused` had no permissions: a test may be root's, whom they do not stop."""
    if isinstance(folder, int) or Path(folder) != refused:
        return call(folder)
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


@pytest.mark.parametrize("prefix", ["", "absolute"])
def test_a_manifest_is_read(root, prefix):
    path = manifest(root)
    if prefix:
        path.write_text(path.read_text().replace("photos/", f"{root}/"))
    assert len(loaded(study(root, path="manifest.csv"), "train")) == 24


def test_a_manifest_of_another_root_in_a_spreadsheet_of_windows(root):
    text = manifest(root).read_text().replace("photos/", "").replace("/", "\\").replace(",", ";").replace("file", "File")
    path = root.parent / "manifest.csv"
    path.write_bytes("\r\n".join(text.splitlines()).encode("utf-8-sig"))
    assert len(loaded(study(root, path="manifest.csv", root="$HERE/photos"), "train")) == 24


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))


def test_whole_groups_are_on_one_side(root):
    manifest(root, group=lambda file: f"camera {int(Path(file).stem) // 3}")
    images = images_of(study(root, path="manifest.csv"))
    photos = split_of(images).photos
    assert (photos.groupby("group")["split"].nunique() == 1).all()
    assert photos["split"].value_counts().to_dict() == {"train": 27, "eval": 9}
    assert findings(images)["leaking_groups"] == []


def test_photographs_of_no_known_group_are_no_group(root):
    manifest(root, group=lambda file: "NA")
    assert findings(images_of(study(root, path="manifest.csv")))["groups"] == 0


def test_a_drawn_split_is_used_whole(root):
    """Five photographs of a camera are more than the share of four that are to be evaluated on."""
    manifest(root, group=lambda file: f"{Path(file).parent.name} {int(Path(file).stem) // 5}")
    path = study(root, path="manifest.csv")
    assert findings(images_of(path))["images"] == {"train": 21, "eval": 15}
    assert [len(loaded(path, split)) for split in ("train", "eval")] == [21, 15]


def test_a_study_may_want_fewer_than_a_drawn_split_has(root):
    path = study(root, {"train_images_per_class": 6, "eval_images_per_class": 2})
    assert [len(loaded(path, split)) for split in ("train", "eval")] == [18, 6]


def near_copy(root: Path, of: str, to: str) -> None:
    """Save a photograph again, smaller and darker, under another name."""
    small = Image.open(root / of).resize((40, 40)).point(lambda value: value * 0.9)
    small.save(root / to, quality=80)


def test_near_duplicates_are_on_one_side_of_a_drawn_split(root):
    for i in range(12):
        near_copy(root, f"owl/{i:02}.jpg", f"owl/copy{i:02}.jpg")
    photos = split_of(images_of(study(root))).photos.set_index("file")["split"]
    assert [photos[f"owl/{i:02}.jpg"] for i in range(12)] == [photos[f"owl/copy{i:02}.jpg"] for i in range(12)]
    assert photos[photos.index.str.startswith("owl")].nunique() == 2


def test_a_planted_near_duplicate_and_a_planted_group_across_a_given_split_are_told(root):
    path = manifest(
        root,
        split=lambda file: "train" if int(Path(file).stem) < 8 else "val",
        group=lambda file: "pond" if Path(file).stem in ("00", "11") else Path(file).stem,
    )
    near_copy(root, "owl/00.jpg", "owl/11.jpg")
    run = Run(study=study(root, path=path.name), pool="scratch", downstream="mine")
    found = findings(run.images)
    assert (found["leaking_pairs"], found["leaking_eval_images"], found["leaking_groups"]) == (1, 1, ["pond"])
    assert found["pairs"][0][:2] == ["photos/owl/00.jpg", "photos/owl/11.jpg"]
    run.folder.mkdir(parents=True)
    write_findings(run)
    (written,) = run.folder.parent.glob("images-*.json")
    said = " ".join(split_lines(json.loads(written.read_text())))
    assert "1 of its images has a near-duplicate among the training images" in said
    assert "a group is in both training and evaluation, such as a camera or a place: pond" in said


def alike(hashes: np.ndarray, **columns: Any) -> Alike:
    """Compare photographs of these hashes; without columns there are no splits and no groups."""
    table = pd.DataFrame({"split": "", "group": ""} | columns, index=range(len(hashes)))
    return near_duplicates(table, hashes, np.ones(len(hashes), bool))


def test_only_copies_are_near_duplicates(tmp_path):
    for name, image in {"a": picture(1), "b": picture(1).resize((60, 60)), "c": picture(2), "d": picture(3)}.items():
        image.save(tmp_path / f"{name}.jpg")
    hashes, contents = hash_photos(sorted(tmp_path.glob("*.jpg")))
    assert [list(pair[:2]) for pair in alike(hashes).pairs] == [[0, 1]]
    assert len(set(contents)) == 4


def test_many_identical_photographs_are_one_unit():
    found = alike(np.ones((700, 4), np.uint64))
    assert len(found.pairs) < 700 * 21
    assert set(found.unit) == {0}


def test_a_photograph_is_linked_to_all_of_its_near_duplicates():
    """Also where they are too many to list, and not like each other."""
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (1, 256), np.uint8), 301, axis=0)
    for row in bits[1:]:
        row[rng.choice(256, splitting.ALIKE_BITS, replace=False)] ^= 1
    assert set(alike(np.packbits(bits, axis=1).view(np.uint64)).unit) == {0}


def test_near_duplicates_link_groups():
    found = alike(np.array([[0], [2**64 - 1], [0], [2**32 - 1]], np.uint64).repeat(4, axis=1), group=["a", "a", "", "b"])
    assert found.unit.tolist() == [0, 0, 0, 1]


def test_all_near_duplicates_across_a_split_are_counted_and_the_first_are_listed():
    found = alike(np.ones((60, 4), np.uint64), split=["train"] * 30 + ["eval"] * 30)
    assert (found.n_pairs, found.n_leaking_pairs, found.leaking.sum()) == (60 * 59 // 2, 30 * 30, 60)
    assert {(one < 30, other < 30) for one, other, _ in found.pairs} == {(True, False)}


def test_the_leaks_of_a_burst_of_frames_are_told(root):
    for i in range(1, 60):
        near_copy(root, "owl/00.jpg", f"owl/{i:02}.jpg")
    manifest(root, split=lambda file: "train" if int(Path(file).stem) % 2 else "val")
    found = findings(images_of(study(root, path="manifest.csv")))
    assert (found["leaking_pairs"], found["leaking_eval_images"]) == (30 * 30, 30)


def test_black_photographs_are_near_duplicates_and_broken_files_are_not(root):
    for i in range(8):
        Image.new("RGB", (48 + i, 48)).save(root / "owl" / f"{i:02}.jpg")
    for i in range(8, 10):
        (root / "owl" / f"{i:02}.jpg").write_bytes(b"no photograph")
    images = images_of(study(root, {"broken_images": "skip"}))
    photos = split_of(images).photos.set_index("file")["split"]
    assert photos[[f"owl/{i:02}.jpg" for i in range(8)]].nunique() == 1
    assert findings(images)["near_duplicate_pairs"] == 8 * 7 // 2


@pytest.mark.parametrize("seed", range(5))
def test_each_class_has_photographs_on_both_sides_of_a_drawn_split(seed):
    rng = np.random.default_rng(seed)
    labels = pd.Series([f"c{i}" for i in rng.integers(0, 8, 400)])
    side = draw(labels, rng.integers(0, 60, 400), 0.3, seed)
    shares = pd.Series(side == "eval").groupby(labels).mean()
    assert shares.between(0.15, 0.5).all()


def test_photographs_in_folders_below_a_class_are_read(root):
    photos(root / "owl" / "2026" / "May", 3, 9)
    assert len(list_photos(root).photos) == 39


#: 64 x 48 pixels of one red, as a telephone saves them.
HEIC = (
    "eNpdUDFLw0AUfpejJaBWQQsVpLS6FKd2czNof0jjNSEPcs3RhloHxaKLm5OzLq5d1Und3VzddHEqgtDBEt9Lo0O/u3ffe999l9w9ANjw4yMTeKiAoNFvcK"
    "7R9QHEsfZiF2aoBu2wm+VgUMUwh00Mo/QjTQcEDYK4mTFhnWILseOnFatFKjwrq4K+anBaMBjrf8sUTdcQv6FREXGfbPtCsnSZmspj+JlOJgDLskUnSo5Y"
    "FEnCBskOybP8YDkubW7vCTG3c10Z5q4+32/v7+ygXiFJ8gLVA7Lnm+Kp93hBP1lVUdjtqHBA6hLkT0law57xspc5WdRU6Jos58vXM2ZYSZKMmSlWDA6QRW"
    "nbNlEJjf5rMvUtN7Rk7pwbrtsuN7lYE6OF1vfH2Sj5gsOX58KJ3n3d+QUX/VNE"
)


def test_a_photograph_of_a_telephone_is_read(tmp_path):
    (tmp_path / "a.heic").write_bytes(zlib.decompress(base64.b64decode(HEIC)))
    pixels, _ = read_image(tmp_path / "a.heic", 32)
    assert np.abs(pixels.mean(axis=(0, 1)) - [200, 30, 60]).max() < 12


def test_the_place_of_the_photographs_does_not_count_their_names_do(root, tmp_path):
    def fingerprint(path: str) -> str:
        return Run(study=path, pool="scratch", downstream="mine").fingerprint

    before = fingerprint(study(root))
    moved = tmp_path / "elsewhere" / "photos"
    shutil.copytree(root, moved)
    hashed = load_study(study(root)).config_hash
    assert fingerprint(study(moved)) == before
    assert load_study(str(moved.parent / "own.yml")).config_hash == hashed
    picture(77).save(moved / "owl" / "one_more.jpg")
    list_photos.cache_clear()
    os.utime(moved.parent / "own.yml", (1, 1))
    assert fingerprint(str(moved.parent / "own.yml")) != before


def test_a_species_table_beside_the_study_chooses_and_orders_the_classes(root):
    (root.parent / "some.csv").write_text("folder\nowl\nheron\n")
    path = study(root, {"class_table": "some.csv"})
    assert images_of(path).n_classes == 2
    assert loaded(path, "train")[0].startswith("owl")
    assert findings(images_of(path))["left_out"] == {"jay": "not in the class table, or too few photographs"}


def test_classes_with_few_photographs_are_left_out_where_the_study_says_so(root):
    for photo in sorted((root / "jay").iterdir())[4:]:
        photo.unlink()
    images = images_of(study(root, few_images="leave_out"))
    assert load_class_table(images.class_table)["key"].tolist() == ["heron", "owl"]


def test_results_are_read_without_the_photographs(root):
    (root.parent / "some.csv").write_text("folder\nowl\nheron\n")
    path = study(root, {"class_table": "some.csv", "n_classes": 2, "train_images_per_class": 8, "eval_images_per_class": 4})
    shutil.rmtree(root)
    assert images_of(path).n_classes == 2


def test_unreadable_photographs_are_skipped_where_the_study_says_so(root):
    (root / "owl" / "00.jpg").write_bytes(b"no photograph")
    (root / "owl" / "clip.mp4").write_bytes(b"video")
    path = study(root, {"broken_images": "skip"})
    assert len(loaded(path, "train")) + len(loaded(path, "eval")) == 35
    assert findings(images_of(path))["unreadable_formats"] == ["owl/clip.mp4"]


def in_manifest(old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = manifest(root)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return damage


def only(*kept: str) -> Callable[[Path], object]:
    return lambda root: [shutil.rmtree(one) for one in root.iterdir() if one.name not in kept]


def flat(root: Path) -> None:
    only("owl")(root)
    [shutil.move(photo, root) for photo in (root / "owl").iterdir()]
    (root / "owl").rmdir()


def one_image(root: Path) -> None:
    [photo.unlink() for photo in sorted((root / "jay").iterdir())[1:]]


OF_FOLDER = "photos"
OF_MANIFEST = "manifest.csv"
BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "images but no classes": (OF_FOLDER, flat, "has 12 photographs and no folders of classes; accepted: a folder of <class>/*.jpg"),
    "one class": (OF_FOLDER, only("owl"), "has one class, 'owl'; accepted: two classes or more"),
    "no photograph": (OF_FOLDER, only(), "has no photographs"),
    "missing": (OF_FOLDER, shutil.rmtree, "is missing; accepted: a folder of <class>/*.jpg"),
    "a class of one image": (OF_FOLDER, one_image, "1 of 3 classes have fewer than least_images=10 photographs"),
    "the same image in two classes": (
        OF_FOLDER, lambda root: shutil.copy(root / "owl" / "00.jpg", root / "jay" / "00.jpg"),
        "jay/00.jpg in class 'jay' and owl/00.jpg in class 'owl' are the same image (2 such files); accepted: each image in one"),
    "a TIFF": (OF_FOLDER, lambda root: (root / "owl" / "a.tif").touch(), "1 files of formats that cannot be read here, such as"),
    "a video": (OF_FOLDER, lambda root: (root / "owl" / "a.MP4").touch(), "such as owl/a.MP4; accepted: convert or remove them"),
    "a JPEG of another ending": (
        OF_FOLDER, lambda root: (root / "owl" / "00.jpg").rename(root / "owl" / "00.jfif"), "such as owl/00.jfif; accepted"),
    "a folder that is no Unicode": (
        OF_FOLDER, lambda root: os.rename(root / "owl", os.fsencode(root) + b"/h\xe9ron"), r"'h\udce9ron/00.jpg' is an odd name"),
    "an empty folder that is no Unicode": (OF_FOLDER, lambda root: os.mkdir(os.fsencode(root) + b"/\xe9"), r"'\udce9' is an odd"),
    "a folder of two lines": (OF_FOLDER, lambda root: (root / "owl").rename(root / "o\nwl"), r"'o\nwl/00.jpg' is an odd name"),
    "a label of two lines": (OF_MANIFEST, in_manifest("00.jpg,heron", '00.jpg,"a\nb"'), r"'a\nb' is an odd name; accepted"),
    "a class in one split only": (
        OF_FOLDER, lambda root: (in_splits(root), shutil.rmtree(root / "val" / "owl")), "or none in one split: owl (8)"),
    "a label without file": (OF_MANIFEST, in_manifest("photos/jay/00.jpg", ""), "line 14: column 'file' has no value"),
    "a file without label": (OF_MANIFEST, in_manifest("jay/00.jpg,jay", "jay/00.jpg,"), "line 14: column 'label' has no value"),
    "a file that is not there": (OF_MANIFEST, in_manifest("jay/00.jpg", "jay/x.jpg"), "1 of 36 files are missing, first"),
    "a file outside the root": (OF_MANIFEST, in_manifest("photos/jay/00", "../photos/jay/00"), "file '../photos/jay/00.jpg'"),
    "a file twice": (OF_MANIFEST, in_manifest("photos/jay/01.jpg", "photos/jay/00.jpg"), "is listed twice; accepted"),
    "a file of two classes": (OF_MANIFEST, in_manifest("photos/jay/00.jpg", "photos/owl/00.jpg"), "as 'jay' and as 'owl'"),
    "no label column": (OF_MANIFEST, in_manifest("label", "species"), "column(s) missing: label; accepted: a CSV file"),
    "an unknown split": (OF_MANIFEST, lambda root: manifest(root, split=lambda _: "dev"), "column 'split' has 'dev'; accepted"),
    "a split in some lines": (
        OF_MANIFEST, lambda root: manifest(root, split=lambda file: "train" if "owl" in file else ""), "empty in 24 of 36 lines"),
    "a label with a slash": (OF_MANIFEST, in_manifest("00.jpg,jay", "00.jpg,a/b"), "label 'a/b' has a slash in it"),
    "all of one group": (OF_MANIFEST, lambda root: manifest(root, group=lambda _: "here"), "are one group, or near-duplicates"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "damage", "said"), BAD.values(), ids=BAD)
def test_bad_photographs_are_named(root, path, damage, said):
    damage(root)
    with refused(said, unchanged=root):
        split_of(images_of(study(root, path=path)))


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no path": ({"path": ""}, "folder option path=''; accepted: relative to the study file"),
    "a variable that is not set": ({"path": "$NOWHERE/x"}, "uses $NOWHERE, which is not set"),
    "a share of one": ({"eval_share": 1.0}, "folder option eval_share=1.0; accepted: share to evaluate on"),
    "an unknown option": ({"splits": 3}, "folder option 'splits' is unknown; accepted: path, root"),
}


@pytest.mark.parametrize(("options", "said"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_named(root, options, said):
    with refused(said, unchanged=root):
        load_study(study(root, **options))


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "folder option path is missing; accepted: relative to the study file"),
     ({"path": "photos", 3: 4}, "folder option '3' is unknown; accepted: path, root")],
)  # fmt: skip
def test_options_that_are_none_are_named(root, options, said):
    with refused(said, unchanged=root):
        load_study(study(root, {"options": options}))
