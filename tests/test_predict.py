"""Predictions go on in a table of their own network only; any other file stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from official import jpeg, put
from refusal import refused, whole
from safetensors.torch import save_file

from pretraining_gain.compute.models import build_model
from pretraining_gain.plan.weights import sha256_of
from pretraining_gain.predict import _done_in, predict

NETWORK = "a" * 12
CARD = f"""---
network:
  weights: network.safetensors
  sha256: {"a" * 64}
  backbone: resnet10_w16
  image_size_px: 32
  resize_px: 32
  normalisation: [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
  species: [Jay, Owl]
---
"""
HEADER = b"file,bytes,species,probability,second,third,network\n"
ROW = f"a.jpg,{len(jpeg(1))},Jay,0.9000,Owl,,{NETWORK}\n".encode()
FOREIGN: dict[str, Callable[[Path], object]] = {
    "a text without an end of its line": whole(b"my notes"),
    "a table without an end of its last line": whole(b"a,b\n1,2\n3,4"),
    "a header only": whole(b"a,b\n"),
    "an empty line": whole(b"\n"),
    "another network": whole(HEADER + ROW.replace(b"aaa", b"bbb") + b"cut"),
    "another photograph": whole(HEADER + ROW.replace(b"jpg,", b"jpg,9")),
    "a photograph that is not there": whole(HEADER + ROW + ROW.replace(b"a.jpg", b"b.jpg")),
    "a short row": whole(HEADER + b"a.jpg,Jay\n"),
    "an open quote": whole(HEADER + b'"a.jpg\n'),
    "no text": whole(b"\x89PNG\r\n\x1a\n\xff\xff"),
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_an_output_that_is_no_table_of_the_network_is_named_and_kept(tmp_path, make):
    (tmp_path / "network.md").write_text(CARD)
    put(tmp_path / "photographs" / "a.jpg", jpeg(1))
    make(tmp_path / "found.csv")
    with refused(str(tmp_path / "found.csv"), "; accepted: those of the same network and photographs", unchanged=tmp_path):
        predict(tmp_path / "network.md", tmp_path / "photographs", tmp_path / "found.csv")


@pytest.mark.parametrize(
    ("content", "kept", "done"),
    [(HEADER[:9], b"", set()), (b"", b"", set()), (HEADER + ROW + ROW[:8], HEADER + ROW, {"a.jpg"}), (HEADER, HEADER, set()),
     (HEADER + ROW.replace(b"a.jpg", b"\xff.jpg"), HEADER + ROW.replace(b"a.jpg", b"\xff.jpg"), {"\udcff.jpg"})],
)  # fmt: skip
def test_an_incomplete_last_line_of_its_own_table_is_cut_off(tmp_path, content, kept, done):
    (tmp_path / "found.csv").write_bytes(content)
    for name in done:
        put(tmp_path / name, jpeg(1))
    assert _done_in(tmp_path / "found.csv", NETWORK, tmp_path) == done
    assert (tmp_path / "found.csv").read_bytes() == kept


def write_card(folder: Path, n_species: int) -> Path:
    """Write the weights of a network and a card that says that it knows two species; return the card."""
    weights, card = folder / "network.safetensors", folder / "network.md"
    save_file({name: value.contiguous() for name, value in build_model("resnet10_w16", n_species, 0).state_dict().items()}, weights)
    card.write_text(CARD.replace("a" * 64, sha256_of(str(weights))))
    return card


def test_two_processes_at_once_write_each_photograph_once(tmp_path):
    card = write_card(tmp_path, 2)
    for i in range(3):
        put(tmp_path / "photographs" / f"{i}.jpg", jpeg(i))
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda _: predict(card, tmp_path / "photographs", tmp_path / "found.csv"), range(2)))
    rows = (tmp_path / "found.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["file", "0.jpg", "1.jpg", "2.jpg"]


def test_a_card_that_is_not_of_its_weights_is_named(tmp_path):
    card, weights = write_card(tmp_path, 3), tmp_path / "network.safetensors"
    put(tmp_path / "photographs" / "a.jpg", jpeg(1))
    with refused(f"card {card}: {weights} is no resnet10_w16 with 2 species; accepted", unchanged=tmp_path):
        predict(card, tmp_path / "photographs", tmp_path / "found.csv")
