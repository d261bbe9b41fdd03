"""Per-image correctness: read strictly, cached, and never served from a cache that hides a changed file."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import simulate_results
from refusal import refused

from pretraining_gain.paths import cache_root
from pretraining_gain.tell.results import correctness
from pretraining_gain.tell.results.correctness import CorrectnessReader
from pretraining_gain.tell.results.evaluation import load_evaluation, load_table
from pretraining_gain.tell.results.stored import read_predictions
from pretraining_gain.tell.results.tables import write_tables


@pytest.fixture
def toy(results):
    """Return path and checksum of one finetuning's predictions, after the tables were made."""
    simulate_results("toy")
    write_tables("toy")  # fills this test's cache
    row = load_table("toy", "runs").iloc[0]
    return results / "toy" / "finetune" / row["predictions"], row["predictions_sha256"]


def read_each(monkeypatch) -> list[str]:
    """Record the names of predictions that are read as text from now on."""
    read: list[str] = []

    def watched(path, *rest):
        read.append(path.name)
        return read_predictions(path, *rest)

    monkeypatch.setattr(correctness, "read_predictions", watched)
    return read


def test_the_cache_returns_what_reading_returns(toy, monkeypatch):
    path, sha256 = toy
    read = read_each(monkeypatch)
    kept = CorrectnessReader("again").read(path, 24, sha256)
    assert read == []  # the tables have read it
    table = read_predictions(path, 24, "again", sha256)
    assert kept.image_ids.tolist() == table["image_id"].tolist()
    assert kept.labels.tolist() == table["label"].tolist()
    assert kept.right.tolist() == (table["label"] == table["prediction"]).tolist()
    assert kept.right.dtype == bool
    assert kept.images == correctness.Correctness.of(table).images


def test_notebooks_use_the_cache_that_the_tables_wrote(toy, monkeypatch):
    read = read_each(monkeypatch)
    first = load_evaluation("toy", "field")
    assert read == []
    for left in (cache_root() / "predictions").iterdir():
        left.unlink()
    again = load_evaluation("toy", "field")
    assert len(read) == len(set(read)) == again.runs["predictions_sha256"].nunique()
    assert all(np.array_equal(first.correct[arm], right) for arm, right in again.correct.items())


def in_each_entry(place: int, value: bytes):
    """Change a byte of all entries in a zip file's directory."""
    return lambda content: re.sub(rb"(PK\x01\x02.{%d})." % place, lambda one: one[1] + value, content, flags=re.DOTALL)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"not a zip file",
        lambda _: b"PK\x05\x06" + bytes(18),
        in_each_entry(4, b"\x01"),  # encrypted
        in_each_entry(6, b"\x63"),  # of an unknown compression
        in_each_entry(6, b"\x08"),  # compressed, which it is not
    ],
)
def test_a_damaged_cache_is_replaced(toy, damage, monkeypatch):
    path, sha256 = toy
    before = CorrectnessReader("again").read(path, 24, sha256)
    for kept in (cache_root() / "predictions").iterdir():
        kept.write_bytes(damage(kept.read_bytes()))
    read = read_each(monkeypatch)
    for _ in range(2):
        assert np.array_equal(CorrectnessReader("again").read(path, 24, sha256).right, before.right)
    assert read == [path.name]  # the second time, the cache is whole again


def test_runs_share_their_images_in_memory(toy):
    path, sha256 = toy
    reader = CorrectnessReader("again")
    kept = reader.read(path, 24, sha256)
    for left in (cache_root() / "predictions").iterdir():
        left.unlink()
    assert reader.read(path, 24, sha256).labels is kept.labels


def test_a_changed_file_is_refused_although_it_is_cached(toy, results):
    path, sha256 = toy
    path.write_bytes(path.read_bytes()[:-9])
    with refused(f"predictions {path}", "again", unchanged=results):
        CorrectnessReader("again").read(path, 24, sha256)


def test_a_cache_that_cannot_be_written_is_no_error(toy, tmp_path, monkeypatch):
    path, sha256 = toy
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "file"))
    assert len(CorrectnessReader("again").read(path, 24, sha256).right) == 24 * 20
