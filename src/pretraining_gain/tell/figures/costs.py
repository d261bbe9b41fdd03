"""Figure L1: what each run of a study cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pretraining_gain.tell.figures.declare import Runs, figure

if TYPE_CHECKING:
    from pretraining_gain.tell.software.costs import Costs


@figure(key="figure_costs", number="L1", title="Cost of each run", notebook="18_costs", needs=Runs())
def figure_costs(costs: Costs) -> go.Figure:
    """Draw wall time, device time and memory of each run; a menu chooses which."""
    return costs.figure()
