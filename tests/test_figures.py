"""What figures draw of any study: names as they are, every interval, axes whose labels are true, and static pictures alike."""

from __future__ import annotations

import re

import pandas as pd
import plotly.graph_objects as go
import pytest
from conftest import MAIN
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from pretraining_gain.plan.species import NOT_STATED, TAXON_COLUMNS
from pretraining_gain.tell.figures.anchors import figure_anchors
from pretraining_gain.tell.figures.audit import Audit
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.figures.static import _axes, _tick, draw_static
from pretraining_gain.tell.figures.style import POINTS_TICKS, SHARE_TICKS
from pretraining_gain.tell.figures.subsets import published, subset_curves
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.validation.anchors import AnchorView

#: Figures of estimates.
ESTIMATES = ["figure_1", "figure_2", "figure_3", "figure_4", "figure_6", "figure_designs", "figure_freezing", "figure_assigned",
             "figure_realised"]  # fmt: skip


@pytest.fixture
def shown(mini_results) -> StudyResults:
    return StudyResults(View.from_parameters({"study": "mini"}))


def species_in_figure_1(shown: StudyResults) -> set[str]:
    return {place for trace in FIGURES["figure_1"].draw(shown).data for place in trace.x}


def without_taxa(shown: StudyResults) -> None:
    shown.species = shown.species.assign(**dict.fromkeys(TAXON_COLUMNS, NOT_STATED))


@pytest.mark.parametrize(
    ("study", "counts"),
    [
        (MAIN, [("same species", 1), ("same family", 4), ("same class", 95)]),
        ("mini", [("in the source", 6), ("none", 30)]),  # its source states no taxa
    ],
)
def test_figure_1_colours_species_by_the_rank_shared_with_the_nearest_source_class(study, counts):
    drawn = FIGURES["figure_1"].draw(StudyResults.from_parameters({"study": study}))
    assert [(trace.name, len(trace.x)) for trace in drawn.data] == counts


def test_figure_1_has_a_colour_for_species_whose_rank_is_unknown(shown):
    ranks = ["species", "none", *[None] * (len(shown.species) - 2)]
    shown.out_of_domain.__dict__["nearest_ranks"] = pd.Series(ranks, shown.out_of_domain.classes.index)
    shown.species["representation"] = NOT_STATED
    names = [trace.name for trace in FIGURES["figure_1"].draw(shown).data]
    assert names == ["same species", "another phylum", NOT_STATED]


def test_without_taxa_each_species_stands_alone(shown):
    without_taxa(shown)
    assert species_in_figure_1(shown) == set(shown.species["name"])


def test_long_names_that_begin_alike_stay_apart(shown):
    without_taxa(shown)
    shown.species["name"] = "a name of more than thirty letters, number " + shown.species["class_id"].astype(str)
    assert len(species_in_figure_1(shown)) == len(shown.species)


@pytest.mark.parametrize("key", ["figure_1", "figure_2", "figure_assigned"])
def test_names_that_are_numbers_stay_names(shown, key):
    assert {axis.type for axis in FIGURES[key].draw(shown).select_xaxes()} == {"category"}


def test_figure_1_without_a_species_says_so(shown):
    shown.species = shown.species[:0]
    assert FIGURES["figure_1"].draw(shown).startswith("No species of Caltech-101 animals is a bird of a family")


@pytest.mark.parametrize("key", ESTIMATES)
def test_every_interval_that_is_drawn_is_stated(shown, key):
    estimates = [trace for trace in FIGURES[key].draw(shown).data if any(trace[f"error_{way}"].array is not None for way in "xy")]
    assert [trace.name for trace in estimates if "interval" not in trace.hovertemplate] == []


@pytest.mark.parametrize("key", ESTIMATES)
def test_labels_of_axes_are_not_rounded(shown, key):
    assert {axis.tickformat for axis in FIGURES[key].draw(shown).select_yaxes()} <= {POINTS_TICKS, SHARE_TICKS}


def test_each_arm_states_its_own_number_of_seeds(shown):
    arms = shown.arms("out_of_domain")
    arms["n_seeds"] = range(len(arms))
    [line] = [trace for trace in subset_curves(arms).data if trace.name == "random classes"]
    place = int(re.search(r"customdata\[(\d)\]} seeds", line.hovertemplate)[1])
    random = published(arms, "3").query("pool == 'random'").sort_values("k")
    assert [row[place] for row in line.customdata] == random["n_seeds"].tolist()


def test_intervals_of_two_targets_do_not_lie_on_each_other():
    drawn = figure_anchors(AnchorView.from_parameters({"simulations": 10, "seed": 0}).table())
    assert (drawn.layout.scattermode, len({trace.offsetgroup for trace in drawn.data})) == ("group", 2)


@pytest.mark.parametrize(
    ("value", "form", "label"),
    [(0.175, ".1~%", "17.5%"), (0.5, ".1~%", "50%"), (12, "+.1~f", "+12"), (-0.5, "+.1~f", "−0.5"), (1200, ",.0f", "1,200")],
)
def test_a_static_tick_says_its_value(value, form, label):
    assert _tick(value, form) == label


def test_many_static_panels_stand_in_their_order():
    layout = make_subplots(cols=11).to_plotly_json()["layout"]
    assert list(_axes(Figure(), layout)) == [str(number) for number in range(1, 12)]


LINE = go.Scatter(x=[1, 2], y=[5, 6])
BARS = {"x": [1, 2], "y": ["a", "b"], "orientation": "h"}
MARKS = [go.Scatter(x=[1, 2], y=["a", "b"], orientation="h", offsetgroup=name) for name in "cd"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (go.Figure(go.Bar(BARS, marker_color=["red", "blue"])), go.Figure(go.Bar(BARS, marker_color=["blue", "red"]))),
        (go.Figure(LINE, {"yaxis": {"rangemode": "tozero"}}), go.Figure(LINE)),
        (go.Figure(LINE).add_vline(x=1, line={"dash": "dot"}), go.Figure(LINE).add_vline(x=1)),
        (go.Figure(MARKS, {"scattermode": "group"}), go.Figure(MARKS)),
    ],
    ids=["colours of bars", "an axis from 0", "a dotted rule", "marks side by side"],
)
def test_a_static_picture_shows(one, other):
    assert draw_static(one) != draw_static(other)


def test_the_lines_of_figure_a1_have_a_colour_each(photographs):
    drawn = FIGURES["figure_thresholds"].draw(Audit(vote_cut=0.0, well=40))
    assert len({trace.line.color for trace in drawn.data}) == len(drawn.data)
