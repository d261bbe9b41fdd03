"""Name weights that a study starts from: files of its author, or published ones of timm or torchvision. Reads no tensor."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path

from pydantic import ValidationInfo

from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, path_beside

SUFFIXES = (".safetensors", ".pth", ".pt")
#: Names of torchvision, e.g. `ResNet50_Weights.IMAGENET1K_V1`, and of timm, e.g. `resnet50.a1_in1k`.
_PUBLISHED = re.compile(r"(?!.*\.(bin|ckpt|tar|pkl|h5|onnx)$)([A-Za-z0-9_]+_Weights\.[A-Z0-9_]+|[a-z0-9_]+(\.[a-z0-9_]+)?)")
_FORMS = f"a file that ends in {', '.join(SUFFIXES)}, or a name such as ResNet50_Weights.IMAGENET1K_V1 or resnet50.a1_in1k"


def check_weights(text: str, info: ValidationInfo) -> str:
    """Return a published name as it is, and a file as an absolute path; a study file, if known, is the validation's context."""
    if text.endswith(SUFFIXES):
        return str(path_beside(info.context or Path.cwd() / "study.yml", text))
    if not _PUBLISHED.fullmatch(text):
        raise ValueError(f"{text!r} is neither; accepted: {_FORMS}")
    return text


def is_published(text: str) -> bool:
    """Tell whether weights are a name of timm or torchvision, which `make data` fetches, and no file."""
    return not text.endswith(SUFFIXES)


def weights_file(text: str) -> Path:
    """Return the file that holds weights; of published ones, where `make data` puts them."""
    return data_root() / "weights" / f"{text}.safetensors" if is_published(text) else Path(text)


def sha256_of(text: str) -> str:
    """Return the SHA-256 of a weights file. Raises `InputError` when it cannot be read."""
    path = weights_file(text)
    try:
        state = path.stat()
        return _sha256(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        how = "fetch them with `make data STUDY=…`" if is_published(text) else f"accepted: {_FORMS}"
        raise InputError(f"weights {path} cannot be read ({error.strerror}); {how}") from None


def licence_of(text: str) -> str:
    """Return the licence of published weights as `make data` noted it; of other files it is not known."""
    if not is_published(text):
        return "not stated in the file"
    with open(weights_file(text), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return str(json.loads(header["__metadata__"]["about"])["licence"])


@cache
def _sha256(path: Path, _mtime_ns: int, _size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
