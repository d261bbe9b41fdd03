"""(3) Evaluation from JPEG files on disk: ours, with and without its cache of decoded images, against torchvision's loop."""

from __future__ import annotations

from functools import partial

from pretraining_gain.bench import baseline
from pretraining_gain.bench.given import N_CLASSES, Given, is_large
from pretraining_gain.bench.measure import Contestant, compare
from pretraining_gain.bench.ours import recipe_for
from pretraining_gain.bench.records import Comparison, Goal, Part
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.models import build_model

OURS, CACHED, TORCHVISION = "ours", "ours, decoded before", "torchvision loop"


def evaluation(given: Given) -> Part:
    return Part(comparisons=[_at(setting, given) for setting in given.scale.evaluations])


def _at(setting: Setting, given: Given) -> Comparison:
    """What is evaluated on are the files of a training set: files are files."""
    task, recipe = given.photographs.task(setting.images, N_CLASSES), recipe_for(setting)
    model = build_model(setting.backbone, N_CLASSES, seed=0).to(given.device)
    plain = baseline.network(setting.backbone, N_CLASSES, 0, given.device)
    load = task.packed if is_large(setting) else task.decoded

    def ours(afresh: bool) -> None:
        evaluate(model, load("train", recipe.resize_px, afresh=afresh), recipe, given.machine)

    def theirs(workers: int) -> None:
        with baseline.as_torch_comes():
            loader = baseline.torchvision_loader(task.folder / "train", recipe, workers, given.device, False)
            baseline.top1(plain, loader, given.device)

    workers = baseline.best_workers(theirs, given.scale.worker_counts)
    contestants = [
        Contestant(TORCHVISION, partial(theirs, workers), setting.images),
        Contestant(OURS, partial(ours, True), setting.images),
        Contestant(CACHED, partial(ours, False), setting.images),
    ]
    return compare(
        "evaluation",
        contestants,
        given.effort(given.scale.evaluation_s),
        setting=str(setting),
        reference=TORCHVISION,
        device=given.device,
        goals=[Goal(contestant=OURS, reference=TORCHVISION, at_least=1.0)],
        notes=[
            f"{setting.images} files, {TORCHVISION}: {workers} workers were the fastest of {given.scale.worker_counts}"
        ],
    )
