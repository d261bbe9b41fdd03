"""Say where a figure comes from: which runs or files it shows, and which code and configuration made them.

The book shows this as one line under the figure and publishes it as JSON (see `provenance_pages`).
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pretraining_gain.paths import project_root, public, results_of
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.plan.weights import weights_file
from pretraining_gain.revision import revision
from pretraining_gain.tell.figures.declare import Figure, Files, StudyFile
from pretraining_gain.tell.results.evaluation import in_ranges, load_table


class Version(BaseModel):
    """Version of the code: 40 hex digits, or `unknown`, and whether tracked code differed from that commit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    commit: str
    changed: bool

    def __str__(self) -> str:
        return f"commit {self.commit[:7]}{' with uncommitted changes' if self.changed else ''}"


class Provenance(BaseModel):
    """The sources of a figure. Its `origin`, a study or a topic, and its key together are unique in the book."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    origin: str
    title: str
    note: str = Field(default="", description="what it shows, where that is not finished runs")
    seeds: list[int] = []
    runs: list[str] = Field(default=[], description="finetunings and their pretrainings, each with its fingerprint")
    made_at: list[Version] = Field(default=[], description="the code that made the runs; one entry per version")
    weights: dict[str, str] = Field(default={}, description="published weights that runs start from -> file and its SHA-256")
    config_hashes: list[str] = Field(default=[], description="of the study, as the runs' records have it")
    study_file_changed: bool = Field(default=False, description="the study file differs from that of the runs")
    code_changed: bool = Field(default=False, description="today's training code or class tables would make other runs")
    files: dict[str, str] = Field(default={}, description="file read -> its SHA-256")
    drawn_at: Version = Field(default_factory=lambda: Version(**revision()), description="the code that drew the figure")

    @classmethod
    def of_figure(
        cls, figure: Figure, study_name: str, source: Any = None, downstream: str = "", arm: str = ""
    ) -> Provenance:
        """Return that of a declared figure: of the runs, files or study file that it needs.

        `source` is what the figure is drawn from; `downstream` and `arm` are the reader's choice.
        """
        needs = figure.needs
        if isinstance(needs, Files):
            return cls(origin=needs.origin, title=needs.title, files=_hashes(*needs.paths(source)))
        if isinstance(needs, StudyFile):
            return cls.of_study_file(study_name, needs.note)
        plan = Plan.of(study_name)
        needed = {run.run_id: run for run in figure.runs(plan, downstream, arm)}
        costs = load_table(study_name, "costs")
        costs = costs[costs["run_id"].isin(needed)]
        weights, changed = {}, False
        for run_id, fingerprint in zip(costs["run_id"], costs["fingerprint"], strict=True):
            run = needed[run_id]
            if run.weights and run.pool not in weights:
                record = read_record(results_of(plan.study.name) / run.stage / f"{run_id}.{fingerprint}.json")
                weights[run.pool] = ", SHA-256 ".join(record["weights"].values())
            here = not run.weights or weights_file(run.weights).exists()  # a reader of the tables need not have it
            changed |= here and run.fingerprint != fingerprint
        versions = costs[["commit", "changed"]].drop_duplicates().itertuples(index=False)
        return cls._of_study(
            plan.study,
            costs["config_hash"].unique().tolist(),
            note="" if len(costs) else "no runs for this comparison",
            seeds=sorted(set(costs["seed"].tolist())),
            runs=(costs["run_id"] + "." + costs["fingerprint"]).tolist(),
            made_at=[Version(commit=commit, changed=changed == "yes") for commit, changed in versions],
            code_changed=changed,
            weights=weights,
            files=_hashes(*(results_of(plan.study.name) / f"{name}.csv" for name in ("runs", "costs"))),
        )

    @classmethod
    def of_run(cls, run: Run, record: Mapping[str, Any]) -> Provenance:
        """Return that of a figure which shows one run."""
        origin = record["provenance"]
        return cls._of_study(
            run.plan,
            [origin["config_hash"]],
            seeds=[run.seed],
            runs=[f"{run.run_id}.{run.fingerprint}"],
            weights={run.pool: ", SHA-256 ".join(run.start_facts.values())} if run.start_facts else {},
            made_at=[Version(commit=origin["commit"], changed=origin["changed"])],
            files=_hashes(run.record_path),
        )

    @classmethod
    def of_study_file(cls, study_name: str, note: str) -> Provenance:
        """Return that of what follows from the study file alone, or from data at hand; `note` says which."""
        study = load_study(study_name)
        return cls._of_study(study, [study.config_hash], note=note)

    @classmethod
    def _of_study(cls, study: Study, config_hashes: list[str], **facts: Any) -> Provenance:
        changed = any(one != study.config_hash for one in config_hashes)
        title = f"Study {study.name} ({study.title})"
        return cls(origin=study.name, title=title, config_hashes=config_hashes, study_file_changed=changed, **facts)

    def named(self, key: str) -> str:
        """Return the name of the figure in the book, which is also that of its JSON."""
        return f"{self.origin}-{key}"

    def line(self, key: str) -> str:
        """Return the line as HTML. The book puts its links into the empty element."""
        facts = [self.title, self.note]
        facts.append(f"{_plural('seed', self.seeds)} {in_ranges(self.seeds)}" if self.seeds else "")
        facts.append(f"{len(self.runs)} {_plural('run', self.runs)}" if self.runs else "")
        if not self.runs:
            facts += [f"{name}, SHA-256 {digest[:12]}" for name, digest in self.files.items()]
        facts += [f"weights {name}: {text[:-52]}" for name, text in self.weights.items()]  # 12 of 64 digits
        facts += [str(version) for version in self.made_at]
        if self.config_hashes:
            since = " (study file changed since)" if self.study_file_changed else ""
            facts.append(f"{_plural('configuration', self.config_hashes)} {', '.join(self.config_hashes)}{since}")
        if self.code_changed and not self.study_file_changed:
            facts.append("the training code or a class table changed since these runs")
        facts.append("" if self.made_at == [self.drawn_at] else f"drawn at {self.drawn_at}")
        text = " · ".join(html.escape(fact) for fact in facts if fact)
        return f'<p class="provenance">{text}<span data-provenance="{html.escape(self.named(key))}"></span></p>'


def _plural(word: str, things: list[Any]) -> str:
    return word if len(things) == 1 else f"{word}s"


def _hashes(*files: Path) -> dict[str, str]:
    """Map each file that exists, named as a book may show it, to its SHA-256."""
    hashes = {}
    for path in (path for path in files if path.exists()):
        inside = path.resolve().is_relative_to(project_root())
        name = str(path.resolve().relative_to(project_root())) if inside else public(str(path))
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes
