"""The way from clone to book: commands run in a real clone, and Snakemake's own records say what each rule took."""

from __future__ import annotations

import sys

from refusal import refused

from pretraining_gain.bench.clone import measure
from pretraining_gain.tell.software.performance import clone_table

#: Two outputs of one job, and two jobs of another rule that began before.
_JOBS = [("tables", "a", 20, 21.9), ("tables", "a", 20.1, 22), ("pretrain", "b", 0, 10), ("pretrain", "c", 5, 14)]
_WRITE = f"""
import json, pathlib
folder = pathlib.Path(".snakemake/metadata/deep")
folder.mkdir(parents=True)
for number, (rule, command, start, end) in enumerate({_JOBS}):
    (folder / str(number)).write_text(json.dumps(dict(rule=rule, shellcmd=command, starttime=start, endtime=end)))
"""


def test_a_clone_is_measured_and_shown_rule_by_rule(results):
    out = results / "bench" / "clone.json"
    out.parent.mkdir(parents=True)
    commands = {"installation": ("test", "-f", "Makefile"), "reproduce": (sys.executable, "-c", _WRITE), "start": ("true",)}
    measure(commands, out)
    shown = clone_table()
    assert shown["step"].tolist()[2:] == ["– pretrainings", "– tables", "start of one run alone"]
    assert shown.iloc[2:4, 1:].to_numpy().tolist() == [["2", "19", "14"], ["1", "2", "2"]]


def test_a_command_that_fails_in_the_clone_is_named(results):
    with refused("`false` failed in a new clone with exit status 1", unchanged=results):
        measure({"installation": ("false",)}, results / "clone.json")
