"""Name weights that a study starts from: files of its author, or published ones of timm or torchvision. Reads no tensor."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationInfo

from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, path_beside

SUFFIXES = (".safetensors", ".pth", ".pt")
#: Names of torchvision, e.g. `ResNet50_Weights.IMAGENET1K_V1`, and of timm, e.g. `resnet50.a1_in1k`.
_PUBLISHED = re.compile(r"(?!.*\.(bin|ckpt|tar|pkl|h5|onnx)$)([A-Za-z0-9_]+_Weights\.[A-Z0-9_]+|[a-z0-9_]+(\.[a-z0-9_]+)?)")
#: Means and deviations of the channels R, G, B, from 0 to 1.
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
#: ImageNet's own, the convention of torchvision's recipes [assumed].
IMAGENET: Normalisation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: What a study may say of a file of weights, as which images its network was trained on.
NormalisationName = Literal["imagenet", "half", "clip"]
NORMALISATIONS: dict[NormalisationName, Normalisation] = {
    "imagenet": IMAGENET,
    "half": ((0.5,) * 3, (0.5,) * 3),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
_FORMS = f"a file that ends in {', '.join(SUFFIXES)}, or a name such as ResNet50_Weights.IMAGENET1K_V1 or resnet50.a1_in1k"


def check_weights(text: str, info: ValidationInfo) -> str:
    """Return a published name as it is, and a file as an absolute path; a study file, if known, is the validation's context."""
    if text.endswith(SUFFIXES):
        return str(path_beside(study_file_of(info), text))
    if not _PUBLISHED.fullmatch(text):
        raise ValueError(f"{text!r} is neither; accepted: {_FORMS}")
    return text


def study_file_of(info: ValidationInfo) -> Path:
    """Return the study file beside which paths are meant: the context of a validation, else one in the working folder."""
    return info.context or Path.cwd() / "study.yml"


def is_published(text: str) -> bool:
    """Tell whether weights are a name of timm or torchvision, which `make data` fetches, and no file."""
    return not text.endswith(SUFFIXES)


def architecture_of(text: str) -> str:
    """Return the network that published weights are of, as timm or torchvision name it."""
    return text.partition("_Weights.")[0].partition(".")[0].lower()


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
    return str(_about(text)["licence"]) if is_published(text) else "not stated in the file"


def normalisation_of(text: str) -> Normalisation:
    """Return how images are normalised for published weights, as `make data` noted it. Raises `InputError` where it did not."""
    try:
        mean, std = (tuple(map(float, values)) for values in _about(text)["normalisation"])
        return mean, std
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(f"weights {weights_file(text)} say nothing of normalisation; delete them and fetch them again with "
                         "`make data STUDY=…`") from None  # fmt: skip


def _about(text: str) -> dict[str, Any]:
    """Read what `make data` noted about published weights."""
    with open(weights_file(text), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["about"])


@cache
def _sha256(path: Path, _mtime_ns: int, _size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
