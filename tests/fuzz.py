"""Fuzz what the project reads: `python -m tests.fuzz --inputs 2000 --out results/reliability/fuzz.json`

Every input must give a result, or one line of `InputError`, and write no file outside its folder. `DOORS` are what is
opened with it; the tests try a few inputs per door, this command as many as one likes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.images.decoding import BrokenImage, read_image
from pretraining_gain.compute.images.packs import check_pack, load_packs, pack_path
from pretraining_gain.datasets.inat2021.manifest import checksum, read_manifest, verify_manifest
from pretraining_gain.datasets.inat2021.official import Listing, class_table, read_listing
from pretraining_gain.errors import InputError
from pretraining_gain.execute import check_parameters, read_parameters
from pretraining_gain.paths import project_root, write_atomically
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.run import Run
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.revision import revision

_ODD = st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=9) | st.just([1]) | st.just({"a": 1})
_TABLE = b"class_id,key,name,animal,grey\n0,emu,emu,true,40\n1,newt,newt,false,90\n"
_RECORD = {"run_id": "a", "cost": {"starts": 1}}
#: Parameters of 02_finetune with values that it takes, and what else someone may type.
_TAKEN = {
    "study": "toy", "downstream": "clean", "pool": "animal", "k": "4", "design": "", "seed": "1", "backbone": "resnet18",
    "epochs": "2", "image_size_px": "64",
}  # fmt: skip
_TYPED = [
    "mini", "all", "scratch", "matched_images", "12", "010", "1:30", "1e-3", "-1", "9" * 30, "nan", "true", "maybe", "null",
    "[1, 2", "{a: b}", "!!python/name:os.system", "*a", "../toy", "a.yml",
]  # fmt: skip
_PARAMETER = st.sampled_from([*_TAKEN.items()]) | st.tuples(
    st.sampled_from([*_TAKEN]) | st.text(max_size=5), st.sampled_from(_TYPED) | st.text(max_size=9)
)
_PARTS = [b"\0", b"\xff\xd9", b"\xff\xe1\0\2", b"\xff\xff", b",", b'"']


def _image(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker", 0x011A: 72.0, 0x8825: {1: "N", 2: (1.0, 2.0, 3.0)}})
    return exif


def _listing() -> dict:
    row = {"id": 0, "name": "Parus major", "common_name": "Great Tit", "supercategory": "Birds", "kingdom": "Animalia"}
    row |= {"order": "Passeriformes", "family": "Paridae", "image_dir_name": "00000_Parus"}
    photo = {"id": 7, "file_name": "train/00000_Parus/a.jpg", "license": 1, "rights_holder": "A"}
    notes = [{"id": 1, "image_id": 7, "category_id": 0}]
    return {"categories": [row], "images": [photo], "annotations": notes, "licenses": [{"id": 1, "name": "CC0", "url": "u"}]}


def _pack(index: object = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("00000.jpg", _image("JPEG"))
        index = {"images": [["00000.jpg", "a/0.jpg", "0" * 64]], "skipped": []} if index is None else index
        made.writestr("index.json", json.dumps(index))
    return buffer.getvalue()


def _state() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "state.pt", "run", 0)
        checkpoint.write({"epoch": 1, "model": {"weight": torch.zeros(2)}})
        return checkpoint.path.read_bytes()


@st.composite
def mutated(draw: st.DrawFn, *seeds: bytes) -> bytes:
    """Overwrite, cut, repeat or insert some bytes of one of `seeds`."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        new = draw(st.binary(min_size=1, max_size=6) | st.sampled_from(_PARTS))
        way = draw(st.sampled_from(["overwrite", "insert", "cut", "repeat"]))
        if way == "cut":
            del content[place:]
        elif way == "repeat":
            content[place:place] = content[place : place + 64]
        else:
            content[place : place + (len(new) if way == "overwrite" else 0)] = new
    return bytes(content)


@st.composite
def altered(draw: st.DrawFn, content: object) -> object:
    """Replace or remove one value anywhere in JSON `content`."""
    if isinstance(content, dict | list) and content and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(list(content) if isinstance(content, dict) else range(len(content))))
        copy = dict(content) if isinstance(content, dict) else list(content)
        if draw(st.integers(0, 9)) == 0:
            del copy[key]
        else:
            copy[key] = draw(altered(content[key]))
        return copy
    return draw(_ODD)


def _toy() -> bytes:
    return (project_root() / "notebooks" / "studies" / "toy.yml").read_bytes()


def _as_yaml(study: object) -> bytes:
    return yaml.safe_dump(study).encode()


def _as_json(content: object) -> bytes:
    return json.dumps(content).encode()


def _signed(content: bytes) -> bytes:
    """Add the checksum that a whole checkpoint has."""
    return content + hashlib.sha256(content).digest()


def open_study(path: Path) -> None:
    assert pretraining_runs(str(path))
    assert all(run.fingerprint for run in finetuning_runs(str(path)))


def open_parameters(path: Path) -> None:
    notebook = project_root() / "notebooks" / "02_finetune.ipynb"
    given = read_parameters(json.loads(path.read_bytes()))
    check_parameters(notebook, given)
    assert Run.finetuning({"study": "toy"} | given).fingerprint


def open_image(path: Path) -> None:
    try:
        assert read_image(path, 16)[0].shape == (16, 16, 3)
    except BrokenImage as error:
        raise InputError(error) from None


def open_table(path: Path) -> None:
    with patch("pretraining_gain.plan.taxonomy.TABLE_FOLDERS", [path.parent]):
        load_class_table(path.stem)


def open_listing(path: Path) -> None:
    listing = read_listing(path)
    class_table(listing, len(listing.categories))


_MANIFEST = {"dataset": "inat2021", "drawn_from": "train.json", "without": "train_mini.json", "seed": 0, "images_per_class": 1,
             "short": {}, "images": {"0": [7]}}  # fmt: skip


def _manifest(images: object) -> bytes:
    """Return a manifest of these images, with the right checksum."""
    return _as_json(_MANIFEST | {"images": images, "checksum": checksum(images)})


def open_manifest(path: Path) -> None:
    photo, other = _listing()["images"][0], Listing(path, [], {}, {})
    verify_manifest(read_manifest(path, 1, 0), path, Listing(path, _listing()["categories"], {0: [photo]}, {}), other)


def open_pack(path: Path) -> None:
    with patch("pretraining_gain.compute.images.packs.prepared_root", return_value=path.parent):
        place = pack_path("d", "p", 32, "k")
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        with contextlib.suppress(InputError):  # loading reads less of it, and may still find it whole
            check_pack(place)
        data = load_packs("d", "p", 32, ["k"], 5)
        if len(data):
            data.images[torch.arange(len(data))]


def open_checkpoint(path: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        state = Checkpoint(path, "run", 0).read()
    if state is None:
        raise InputError(said.getvalue().rstrip("\n"))
    assert not said.getvalue()


#: Door -> the name of the file, what opens it, and the inputs.
DOORS: dict[str, tuple[str, Callable[[Path], None], st.SearchStrategy[bytes]]] = {
    "images": ("a.jpg", open_image, mutated(
        _image("JPEG"), _image("JPEG", exif=_turned(), progressive=True), _image("PNG"), _image("PNG", exif=_turned()),
        _image("GIF"), _image("BMP"), _image("WEBP"))),
    "study files": ("study.yml", open_study, mutated(_toy()) | altered(yaml.safe_load(_toy())).map(_as_yaml)),
    "parameters": ("given.json", open_parameters, st.lists(_PARAMETER, max_size=4, unique_by=lambda one: one[0]).map(_as_json)),
    "class tables": ("table.csv", open_table, mutated(_TABLE, _TABLE.decode().encode("utf-16"))),
    "iNaturalist files": ("train.json", open_listing, altered(_listing()).map(_as_json) | mutated(_as_json(_listing()))),
    "evaluation manifests": ("m.json", open_manifest, altered({"0": [7]}).map(_manifest) | altered(
        _MANIFEST | {"checksum": checksum(_MANIFEST["images"])}).map(_as_json)),
    "packs": ("k.zip", open_pack, mutated(_pack()) | altered(
        {"images": [["00000.jpg", "a/0.jpg", "0" * 64]], "skipped": []}).map(_pack)),
    "checkpoints": ("state.pt", open_checkpoint, mutated(_state()) | mutated(_state()[:-32]).map(_signed)),
    "records": ("record.json", lambda path: read_record(path)["run_id"], altered(_RECORD).map(_as_json) | mutated(
        _as_json(_RECORD))),
}  # fmt: skip


def fuzz(door: str, inputs: int) -> Counter[str]:
    """Open `door` with many inputs, the same in each campaign, and count `results` and `refusals`.

    Raises what the project should not: the first fault.
    """
    name, opened, contents = DOORS[door]
    counts: Counter[str] = Counter()

    @settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(contents)
    def one(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as outer:
            folder = Path(outer) / "inside"
            folder.mkdir()
            (folder / name).write_bytes(content)
            try:
                opened(folder / name)
                counts["results"] += 1
            except InputError as error:
                assert len(str(error).splitlines()) == 1, error
                counts["refusals"] += 1
            assert [path.name for path in Path(outer).iterdir()] == ["inside"]

    one()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="per door")
    parser.add_argument("--out", type=Path, required=True)
    given_ = parser.parse_args()
    doors = {door: dict(fuzz(door, given_.inputs)) for door in DOORS}
    tried = sum(sum(counts.values()) for counts in doors.values())
    facts = {"inputs": tried, "faults": 0, "doors": doors, **revision()}
    write_atomically(given_.out, (json.dumps(facts, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
