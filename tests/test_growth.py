"""The growth measurement: simulated studies go through the real tables, figures and claims, each step in a fresh process."""

from __future__ import annotations

import json

from pretraining_gain.bench.growth import STEPS, grow
from pretraining_gain.tell.figures.performance import figure_growth
from pretraining_gain.tell.software.performance import growth_rows


def test_each_step_is_measured_and_drawn(results):
    """One small study; the figure has two measures of three steps."""
    path = results / "bench" / "growth.json"
    path.parent.mkdir(parents=True)
    grow({"species": (36,)}, path, images=2, seeds=2, ks=1)
    rows = growth_rows()
    assert rows.groupby("species")["step"].agg(list).to_dict() == {36: [*STEPS]}
    assert (rows[["seconds", "cpu_s", "peak_mb"]] > 0).all(axis=None)
    assert set(json.loads(path.read_text())["machine"]) >= {"processor", "cores", "memory_gb"}
    drawn = [trace for trace in figure_growth(None).data if trace.x is not None and len(trace.x)]
    assert [list(trace.x) for trace in drawn] == [[36]] * 2 * len(STEPS)
