"""Keep the state of a running training: two generations on disk, each whole or recognised as damaged."""

from __future__ import annotations

import hashlib
import io
import sys
import time
from pathlib import Path
from typing import Any

import torch

from pretraining_gain.errors import InputError
from pretraining_gain.paths import write_atomically
from pretraining_gain.plan.runs import Run

_DIGEST_BYTES = hashlib.sha256().digest_size


class Checkpoint:
    """The state of one run in `path`, and the state before it in `….previous.pt`, until the run is finished.

    A file holds what `torch.save` writes, followed by its SHA-256. `owner` names the run; another run's file is refused.
    `every_s`: seconds of work that may be lost, apart from the current batch. `starts` counts starts of the run.
    """

    def __init__(self, path: Path, owner: str, every_s: float) -> None:
        self.path, self._owner, self._every_s = path, owner, every_s
        self._previous = path.with_suffix(f".previous{path.suffix}")
        self._kept_at = time.monotonic()
        self.starts = 0

    def is_due(self) -> bool:
        return time.monotonic() - self._kept_at >= self._every_s

    def write(self, state: dict[str, Any]) -> None:
        """Keep `state`. The previous one stays in its place until this one is whole on disk, and then as a reserve."""
        buffer = io.BytesIO()
        torch.save(state | {"owner": self._owner, "starts": self.starts}, buffer)
        content = buffer.getvalue()
        write_atomically(self.path, content + hashlib.sha256(content).digest(), keep_as=self._previous)
        self._kept_at = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return the newest whole state, or None. Names a damaged file in one line on stderr and passes over it.

        Raises `InputError` for the state of another run.
        """
        state = None
        for path in (self.path, self._previous):
            if state is None and path.exists():
                state = self._read(path)
        self.starts = (state["starts"] if state else 0) + 1
        return state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._previous.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Any] | None:
        whole = path.read_bytes()  # a disk that fails stops the run; the state is there
        try:
            content, digest = whole[:-_DIGEST_BYTES], whole[-_DIGEST_BYTES:]
            if hashlib.sha256(content).digest() != digest:
                raise ValueError("wrong checksum")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            owner = state["owner"]
        except Exception as error:  # torch raises many kinds for a damaged file; none of them may stop the run
            reserve = "the one before it" if path == self.path and self._previous.exists() else "the beginning"
            reason = " ".join(str(error).split())[:120]
            print(f"checkpoint {path} is damaged ({reason}); resuming from {reserve}", file=sys.stderr)
            return None
        if owner != self._owner:
            raise InputError(f"checkpoint {path} is of run {owner}, not of {self._owner}; delete it to start this run again")
        return state


def checkpoint_of(run: Run, every_s: float) -> Checkpoint:
    return Checkpoint(run.checkpoint_path, f"{run.run_id}.{run.fingerprint}", every_s)
