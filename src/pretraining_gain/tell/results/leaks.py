"""Say what a dataset found about its split (`images-<target>.json` beside the results): leaks, and what was left out."""

from __future__ import annotations

from typing import Any


def leaks_of(found: dict[str, Any]) -> list[str]:
    """Return a sentence per kind of leak from training into evaluation; none without a leak."""
    lines = []
    if images := found["leaking_eval_images"]:
        which = "1 of its images has a near-duplicate" if images == 1 else f"{images} of its images have a near-duplicate"
        lines.append(f"The evaluation leaks: {which} among the training images.")
    if groups := found["leaking_groups"]:
        which = "a group is" if len(groups) == 1 else f"{len(groups)} groups are"
        lines.append(f"The evaluation leaks: {which} in both training and evaluation, such as a camera or a place: {groups[0]}.")
    return lines


def split_lines(found: dict[str, Any]) -> list[str]:
    """Return sentences about a split: its sizes, its near-duplicates, its leaks, and what was left out."""
    sizes, left_out = found["images"], [*found["left_out"], *found["unreadable_formats"], *found["in_two_classes"]]
    lines = [
        f"The split was {found['split']}: {sizes['train']:,} images to train and {sizes['eval']:,} to evaluate; pairs of "
        f"near-duplicates: {found['near_duplicate_pairs']:,}, of them across the split: {found['leaking_pairs']:,}.",
        *leaks_of(found),
    ]
    if left_out:
        lines.append(f"{len(left_out)} left out: {', '.join(left_out[:10])}{', …' if len(left_out) > 10 else ''}.")
    return lines
