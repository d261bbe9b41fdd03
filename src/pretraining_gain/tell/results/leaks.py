"""Say what the datasets of a study found about their splits: photographs that are on both sides, and what was left out."""

from __future__ import annotations

import json
from typing import Any

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.studies import load_study


def leak_lines(study_name: str) -> list[str]:
    """Return sentences about the splits of a study's targets, leaks first; none where no dataset looks for any.

    Reads `images-<target>.json`, which a run writes beside its results. Raises `InputError` for a damaged file.
    """
    study, lines = load_study(study_name), []
    for target in study.downstreams:
        path = results_of(study.name) / f"images-{target.name}.json"
        if path.exists():
            try:
                lines += [f"{target.title}: {line}" for line in lines_of(json.loads(path.read_text(encoding="utf-8")))]
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise InputError(f"{path} is damaged ({error}); accepted: as its run wrote it, delete it and run again") from None
    return lines


def lines_of(found: dict[str, Any]) -> list[str]:
    """Return sentences about one split, as a dataset's `findings` describe it."""
    n, leaking, groups = found["images"]["eval"], found["leaking_eval_images"], found["leaking_groups"]
    lines = []
    if leaking:
        have = "has a near-duplicate" if leaking == 1 else "have near-duplicates"
        lines.append(f"{leaking} of {n:,} evaluation images {have} among the training images, so top-1 is too high.")
    if groups:
        on = "is" if len(groups) == 1 else "are"
        lines.append(f"{len(groups)} of {found['groups']} groups {on} on both sides, first {groups[0]}, so top-1 is too high.")
    lines.append(
        f"The split was {found['split']}: {found['images']['train']:,} images to train and {n:,} to evaluate; "
        f"pairs of near-duplicates: {found['near_duplicate_pairs']:,}, of them across the split: {found['leaking_pairs']:,}."
    )
    left_out = [*found["left_out"], *found["unreadable_formats"], *found["in_two_classes"]]
    if left_out:
        lines.append(f"{len(left_out)} left out: {', '.join(left_out[:10])}{', …' if len(left_out) > 10 else ''}.")
    return lines
