"""Packs: what was prepared is read back the same, in the order asked for, whatever the number of workers."""

from __future__ import annotations

import io
import json
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from pretraining_gain.compute.images import decoding, packs
from pretraining_gain.prepare import encode


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Nine images of 24 pixels in two packs, and each as it was encoded."""
    monkeypatch.setenv("PRETRAINING_GAIN_PREPARED", str(tmp_path))
    rng, contents = np.random.default_rng(0), []
    for key, n in (("a", 5), ("b", 4)):
        path = packs.pack_path("some", "train", 24, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        index = []
        with zipfile.ZipFile(path, "w") as pack:
            for number in range(n):
                original = tmp_path / f"{key}{number}.png"
                Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(original)
                content, sha256 = encode(original, 24)
                pack.writestr(zipfile.ZipInfo(f"{number}.jpg"), content)
                index.append([f"{number}.jpg", f"{key}/{number}", sha256])
                contents.append(content)
            pack.writestr(zipfile.ZipInfo("index.json"), json.dumps({"images": index, "skipped": []}))
    return packs.load_packs("some", "train", 24, ["a", "b"], limit=99), contents


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_images_come_in_the_order_asked_for_whatever_the_number_of_workers(stored, monkeypatch, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    data, contents = stored
    assert packs.n_workers() == cores
    assert data.images.shape == (9, 3, 24, 24)
    for wanted in ([8, 0, 3, 3], [5], list(range(9))):
        found = data.images[torch.tensor(wanted)]
        assert found.shape == (len(wanted), 3, 24, 24)
        assert found.dtype == torch.uint8
        for pixels, position in zip(found, wanted, strict=True):
            as_pillow_has_it = np.asarray(Image.open(io.BytesIO(contents[position])))
            assert np.abs(pixels.permute(1, 2, 0).numpy().astype(int) - as_pillow_has_it).max() <= 2
    assert len(data.images[torch.tensor([], dtype=torch.int64)]) == 0


def test_processes_that_share_a_run_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert packs.n_workers() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert packs.n_workers() == 1


def test_what_is_prepared_is_what_would_be_decoded_up_to_the_jpeg(tmp_path):
    smooth = np.uint8(127 + 100 * np.sin(np.mgrid[0:90, 0:120].sum(0) / 30))
    Image.fromarray(smooth).convert("RGB").save(tmp_path / "a.jpg", quality=95)
    content, _ = encode(tmp_path / "a.jpg", 32)
    direct = decoding.decode((tmp_path / "a.jpg").read_bytes(), 32)
    assert np.abs(np.asarray(Image.open(io.BytesIO(content))).astype(int) - direct).mean() < 1
