"""COMPUTE: images, networks, training, evaluation (torch). Writes records, predictions and weights under `results/`.

PyPI's torchvision is built for CUDA; beside a CPU build of torch its compiled detection operators cannot load, and
importing torchvision then fails because it describes an operator that does not exist. This project uses
torchvision's networks only, so here, before torchvision is imported, the missing names are declared.
"""

import importlib.util

import torch


def _declare_missing_operators() -> None:
    if torch.version.cuda is not None or importlib.util.find_spec("torchvision") is None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        try:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:  # a torchvision built for this torch has it already
            return
    _KEEP.append(library)


_KEEP: list[torch.library.Library] = []
_declare_missing_operators()
