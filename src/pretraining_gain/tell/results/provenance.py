"""Where a figure comes from: which runs or files it reads, and which code and configuration made them.

Shown as one line under the figure, and published as JSON beside the book (see `provenance_pages`).
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from pretraining_gain.paths import project_root, public, results_of
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.revision import revision
from pretraining_gain.tell.figures.declare import Figure, Files, StudyFile
from pretraining_gain.tell.results.evaluation import load_costs


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Version(_Record):
    """Of the code: 40 hex digits, or `unknown`; and whether tracked code differed from that commit."""

    commit: str
    changed: bool

    def __str__(self) -> str:
        return f"commit {self.commit[:7]}{' with uncommitted changes' if self.changed else ''}"


def _present() -> Version:
    return Version(**revision())


class Provenance(_Record):
    """What a figure rests on. With the name of the figure, `origin` makes it unique in the book: a study, or a topic."""

    origin: str
    title: str
    note: str = Field(default="", description="what it reads, where that is not finished runs")
    seeds: list[int] = []
    runs: list[str] = Field(default=[], description="finetunings and their pretrainings, each with its fingerprint")
    made_at: list[Version] = Field(default=[], description="the code that made the runs; one entry a version")
    config_hashes: list[str] = Field(default=[], description="of the study, as the runs' records have it")
    study_file_changed: bool = Field(default=False, description="the study file now says something else than these")
    files: dict[str, str] = Field(default={}, description="file read -> its SHA-256")
    drawn_at: Version = Field(default_factory=_present, description="the code that drew the figure")

    @classmethod
    def of_figure(
        cls, figure: Figure, study_name: str, source: Any = None, downstream: str = "", arm: str = ""
    ) -> Provenance:
        """Return that of a declared figure: of the runs, files or study file that it needs.

        `source` is what the figure is drawn from; `downstream` and `arm` are the reader's choice.
        """
        needs = figure.needs
        if isinstance(needs, Files):
            return cls.of_files(needs.origin, needs.title, *needs.paths(source))
        if isinstance(needs, StudyFile):
            return cls.of_study_file(study_name, needs.note)
        plan = Plan.of(study_name)
        needed = [run.run_id for run in figure.runs(plan, downstream, arm)]
        costs = load_costs(plan.study)
        return cls._of_costs(plan.study, costs[costs["run_id"].isin(needed)])

    @classmethod
    def of_run(cls, run: Run, record: Mapping[str, Any]) -> Provenance:
        """Of a figure that shows one run."""
        made = Version(**{name: record["provenance"][name] for name in Version.model_fields})
        facts = {"seeds": [run.seed], "runs": [f"{run.run_id}.{run.fingerprint}"], "made_at": [made]}
        hashes = [record["provenance"]["config_hash"]]
        return cls._of_study(run.plan, **facts, config_hashes=hashes, files=_hashes(run.record_path))

    @classmethod
    def of_study_file(cls, study_name: str, note: str, seeds: Iterable[int] = ()) -> Provenance:
        """Of what follows from the study file alone, or from data at hand; `note` says which."""
        study = load_study(study_name)
        return cls._of_study(study, note=note, seeds=list(seeds), config_hashes=[study.config_hash])

    @classmethod
    def of_files(cls, origin: str, title: str, *files: Path) -> Provenance:
        """Of a figure that reads files which belong to no single study; a file that is not there is not named."""
        return cls(origin=origin, title=title, files=_hashes(*files))

    @classmethod
    def _of_costs(cls, study: Study, costs: pd.DataFrame) -> Provenance:
        versions = costs[["commit", "changed"]].drop_duplicates().itertuples(index=False)
        tables = [results_of(study.name) / f"{name}.csv" for name in ("runs", "costs")]
        return cls._of_study(
            study,
            note="" if len(costs) else "no runs for this comparison",
            seeds=sorted(set(costs["seed"].tolist())),
            runs=(costs["run_id"] + "." + costs["fingerprint"]).tolist(),
            made_at=[Version(commit=commit, changed=changed == "yes") for commit, changed in versions],
            config_hashes=costs["config_hash"].unique().tolist(),
            files=_hashes(*tables),
        )

    @classmethod
    def _of_study(cls, study: Study, config_hashes: list[str], **facts: Any) -> Provenance:
        changed = any(one != study.config_hash for one in config_hashes)
        title = f"Study {study.name} ({study.title})"
        return cls(origin=study.name, title=title, config_hashes=config_hashes, study_file_changed=changed, **facts)

    def named(self, key: str) -> str:
        """The figure's name in the book, and that of its JSON."""
        return f"{self.origin}-{key}"

    def line(self, key: str) -> str:
        """The line as HTML. The empty element is where the book puts its links."""
        facts = " · ".join(map(html.escape, self._facts()))
        return f'<p class="provenance">{facts}<span data-provenance="{html.escape(self.named(key))}"></span></p>'

    def _facts(self) -> list[str]:
        facts = [self.title, self.note]
        facts.append(f"{_plural('seed', self.seeds)} {', '.join(map(str, self.seeds))}" if self.seeds else "")
        facts.append(f"{len(self.runs)} {_plural('run', self.runs)}" if self.runs else "")
        if not self.runs:
            facts += [f"{name}, SHA-256 {digest[:12]}" for name, digest in self.files.items()]
        facts += [str(version) for version in self.made_at]
        since = " (study file changed since)" if self.study_file_changed else ""
        hashes = ", ".join(self.config_hashes)
        facts.append(f"{_plural('configuration', self.config_hashes)} {hashes}{since}" if hashes else "")
        facts.append("" if self.made_at == [self.drawn_at] else f"drawn at {self.drawn_at}")
        return [fact for fact in facts if fact]


def _plural(word: str, things: list[Any]) -> str:
    return word if len(things) == 1 else f"{word}s"


def _hashes(*files: Path) -> dict[str, str]:
    """Where each file is, as a book may show it -> its SHA-256."""
    return {_shown(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}


def _shown(path: Path) -> str:
    path, root = path.resolve(), project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else public(str(path))
