"""Declare the book's figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure: its key in a notebook, its number and title in the book, and the notebook that draws it."""

    key: str
    number: str
    title: str
    notebook: str


_ALL = [
    Figure("figure_1", "1", "Pretraining gain of each species", "10_taxa"),
    Figure("figure_2", "2", "Top-1 with and without pretraining by supercategory", "10_taxa"),
    Figure("figure_3", "3", "Top-1 out of domain by number of pretraining classes", "11_subsets"),
    Figure("figure_4", "4", "Top-1 in domain by number of pretraining classes", "11_subsets"),
    Figure("figure_5", "5", "The two domains side by side", "12_samples"),
    Figure("figure_6", "6", "Top-1 by expected number of animal classes", "11_subsets"),
    Figure("figure_designs", "B1", "Classes, images or steps", "15_beyond"),
    Figure("figure_freezing", "B2", "Each target finetuned with and without a frozen backbone", "15_beyond"),
    Figure("figure_assigned", "B3", "Representation assigned by chance", "15_beyond"),
    Figure("figure_realised", "B4", "Expected and realised animal classes", "15_beyond"),
    Figure("figure_costs", "L1", "Cost of each run", "18_costs"),
    Figure("figure_thresholds", "A1", "Well represented bird classes by threshold", "14_audit"),
    Figure("figure_classes", "A2", "Correct images of each bird class", "14_audit"),
    Figure("figure_power", "K1", "How often each verdict is reached", "16_controls"),
    Figure("figure_anchors", "K2", "Trained networks with a known answer", "17_anchors"),
    Figure("figure_targets", "P1", "Speed against what it is compared with", "21_performance"),
    Figure("figure_growth", "G1", "Time by number of species", "22_growth"),
]
FIGURES = {one.key: one for one in _ALL}
