"""Name the species on photographs with a network of a study: `python -m pretraining_gain.predict CARD FOLDER [--output CSV]`

CARD is the `network.md` of a study with `keep_networks: true`. Columns of the CSV: file (below FOLDER), its bytes, species,
probability, second, third, network. The same command goes on where a former one was stopped. Photographs that cannot be read
are listed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from filelock import FileLock
from pydantic import Field
from torch import nn
from tqdm import tqdm

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.compute.images.decoding import BROKEN, decode, read_file
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import ImageSet, evaluation_batches
from pretraining_gain.compute.weights import read_published
from pretraining_gain.datasets.folder.listing import bytes_of, photos_below
from pretraining_gain.errors import Given, InputError, one_line
from pretraining_gain.paths import acquire, make_writable, whole_path
from pretraining_gain.plan.recipes import Recipe, RecipeChoice
from pretraining_gain.plan.weights import sha256_of
from pretraining_gain.plan.yamlfile import parse_yaml

_COLUMNS = ["file", "bytes", "species", "probability", "second", "third", "network"]
_BATCH = 64
_PYTHON_MB = 900  # interpreter, torch and decoding


#: Red, green, blue, from 0 to 1.
Channels = Annotated[tuple[float, float, float], Field(strict=False)]


class Network(Given):
    """The part of a card that describes the network; `weights` is a path beside the card."""

    weights: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    backbone: str
    image_size_px: int
    resize_px: int
    normalisation: Annotated[tuple[Channels, Channels], Field(strict=False)]
    species: Annotated[list[str], Field(min_length=2)]

    @classmethod
    def of(cls, card: Path) -> Network:
        """Read a card. Raises `InputError` for a file that is none."""
        accepted = "accepted: the network.md of a study with `keep_networks: true`"
        try:
            content = parse_yaml(card.read_text(encoding="utf-8").split("---\n")[1])
        except (OSError, IndexError, ValueError) as error:
            raise InputError(f"card {card} cannot be read ({error}); {accepted}") from None
        if not isinstance(content, dict) or not isinstance(content.get("network"), dict):
            raise InputError(f"card {card} describes no network; {accepted}")
        with one_line(f"card {card}"):
            network = cls.model_validate(content["network"])
            network.recipe()  # the sizes must fit
            return network

    def recipe(self) -> Recipe:
        """Return a recipe whose sizes are the network's. Raises pydantic's error where they are impossible."""
        sizes = {"image_size_px": self.image_size_px, "resize_px": self.resize_px}
        return RecipeChoice(based_on="pretrain", changes=sizes).resolve()

    def load(self, card: Path) -> nn.Module:
        """Build the network with its weights. Raises `InputError` where they are not those of the card."""
        path = card.parent / self.weights
        weights = read_published(path)
        if sha256_of(str(path)) != self.sha256:
            raise InputError(f"weights {path} are not those of card {card}; accepted: the file that the study wrote beside it")
        model = build_model(self.backbone, len(self.species), 0, self.image_size_px)
        try:
            model.load_state_dict(weights)
        except RuntimeError:  # as long as it has layers
            network = f"{self.backbone} with {len(self.species)} species"
            raise InputError(f"card {card}: {path} is no {network}; accepted: a card as the study wrote it") from None
        return model.eval()


def _done_in(table: Path, network: str, folder: Path) -> set[str]:
    """Return the files that a table has already, and cut off its last line if that is incomplete.

    Raises `InputError`, and leaves the table as it is, for anything but one of the same network and photographs: cameras
    give the same names again.
    """
    if not table.exists():
        return set()
    accepted = "accepted: those of the same network and photographs, or another --output"
    try:
        content = table.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        rows = list(csv.reader(io.StringIO(complete.decode(errors="surrogateescape"), newline=""), strict=True))
        own = rows[:1] == [_COLUMNS] or ",".join(_COLUMNS).encode().startswith(content)  # also a header that was cut off
        if not own or any(len(row) != len(_COLUMNS) or row[-1] != network for row in rows[1:]):
            raise InputError(f"{table} has other predictions; {accepted}")
        other = next((row[0] for row in rows[1:] if str(bytes_of(folder / row[0])) != row[1]), "")
        if other:
            raise InputError(f"{table} is of other photographs: {folder / other} is missing, or another one; {accepted}")
        os.truncate(table, len(complete))
    except (OSError, csv.Error) as error:
        raise InputError(f"{table} holds no predictions to go on with ({error}); {accepted}") from None
    return {row[0] for row in rows[1:]}


def predict(card: Path, folder: Path, output: Path) -> list[str]:
    """Add a row to `output` for each photograph below `folder` that it lacks; return those that cannot be read, with reasons.

    Raises `InputError` for a card, weights, folder or table that cannot be used.
    """
    network = Network.of(card)
    table = make_writable(output.parent) / output.name
    files, others = photos_below(folder)
    if not files:
        raise InputError(f"folder {folder} has no photographs; accepted: a folder with JPEG or PNG files, also in subfolders")
    unreadable = [f"{path.relative_to(folder)}: not a format that can be read" for path in others]
    key = hashlib.sha256(os.fsencode(table.resolve())).hexdigest()[:16]
    with acquire(FileLock(Path(tempfile.gettempdir(), f"predict-{key}.lock")), f"another process writes {table}"):
        done = _done_in(table, network.sha256[:12], folder)
        left = [path for path in files if path.relative_to(folder).as_posix() not in done]
        model, machine = network.load(card), this_machine()
        megabytes = _PYTHON_MB + (sum(w.nbytes for w in model.parameters()) + _BATCH * 60 * network.resize_px**2) / 1e6
        size = len(files) * (60 + 3 * max(map(len, network.species))) / 1e6
        print(
            f"{len(left):,} of {len(files):,} photographs to do, about {megabytes:,.0f} MB of memory and {size:.1f} MB for {output}"
        )
        return unreadable + _add_rows(network, model.to(machine.device), left, folder, table, machine.device)


def _add_rows(network: Network, model: nn.Module, left: list[Path], folder: Path, table: Path, device: str) -> list[str]:
    """Add a row for each photograph in `left`; return those that cannot be read, with reasons."""
    unreadable = []
    with (
        tqdm(total=len(left), unit="photograph") as bar,
        open(table, "a", encoding="utf-8", errors="surrogateescape", newline="") as file,  # a name need not be Unicode
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([] if file.tell() else [_COLUMNS])
        for start in range(0, len(left), _BATCH):
            batch, sizes, pixels = left[start : start + _BATCH], {}, []
            for path in batch:
                name = path.relative_to(folder).as_posix()
                try:
                    pixels.append(decode(read_file(path), network.resize_px))
                    sizes[name] = bytes_of(path)
                except BROKEN as error:
                    unreadable.append(f"{name}: {' '.join(str(error).split())}")
            if sizes:
                writer.writerows(_rows(network, model, sizes, np.stack(pixels), device))
                file.flush()
            bar.update(len(batch))
    return unreadable


@torch.inference_mode()
def _rows(network: Network, model: nn.Module, sizes: dict[str, int], pixels: np.ndarray, device: str) -> Iterator[list[Any]]:
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    labels = torch.zeros(len(sizes), dtype=torch.int64)
    data = ImageSet(images, labels, list(sizes), normalisation=network.normalisation)
    (_, batch), = evaluation_batches(data, network.recipe(), device, _BATCH)
    shares, order = model(batch).float().softmax(1).topk(min(3, len(network.species)))
    for file, share, best in zip(sizes.items(), shares[:, 0].tolist(), order.tolist(), strict=True):
        species = [network.species[label] for label in best]
        yield [*file, species[0], f"{share:.4f}", *[*species[1:], "", ""][:2], network.sha256[:12]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandLine("predict", __doc__ or "")
    parser.add_argument("card", help="network.md in the results of a study with keep_networks")
    parser.add_argument("folder", help="photographs, also in subfolders")
    parser.add_argument("--output", default="", help="CSV to write, or to go on with (default: species.csv here)")
    given: Any = parser.parse_args(arguments)

    def work() -> None:
        output = whole_path(given.output or "species.csv")
        unreadable = predict(whole_path(given.card), whole_path(given.folder), output)
        for line in unreadable:
            print(f"not readable: {line}", file=sys.stderr)
        print(f"wrote {output}; {len(unreadable)} photographs could not be read")

    return answer("predict", work)


if __name__ == "__main__":
    sys.exit(main())
