"""Controls with a known answer: how often each claim's verdict errs, and what it finds, on results whose truth is planted.

`python -m pretraining_gain.tell.validation.controls [--quick]` writes `results/controls/`: `worlds.csv`, `false_positives.csv`,
`power.csv`, `permutations.csv` and `estimators.csv`. What is finished is kept in `finished.jsonl` there, so that a run that
was stopped goes on where it was; a change of code, results, repetitions or seed makes what it concerns anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, results_root, write_atomically
from pretraining_gain.tell.claims.declarations import EQUAL
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.ledger import ALPHA, CONTRADICTED, SUPPORTED, decide
from pretraining_gain.tell.statistics import components
from pretraining_gain.tell.validation.detectable import at_detectable
from pretraining_gain.tell.validation.permutations import SHUFFLED, permutation_rows
from pretraining_gain.tell.validation.scenarios import ALL_AT_BOUND, BY_ID, DETECTABLE, NULL, POWER, Stage
from pretraining_gain.tell.validation.simulation import calibration, scenarios
from pretraining_gain.tell.validation.worlds import (
    INSIDE,
    OUT,
    Measured,
    Planted,
    Scene,
    liability_table,
    measure,
    paper_arms,
)

STUDY = "mini"
TABLES = ("worlds", "false_positives", "permutations", "power", "estimators")
#: Effects that power curves plant: of claims that something is greater, and that nothing differs. Top-1; of C1, mean gain.
GREATER_EFFECTS = (-0.05, 0.0, 0.025, 0.05, 0.075, 0.1)
EQUAL_EFFECTS = (0.0, 0.015, 0.03, 0.06, 0.1, 0.15)
SEEDS = (3, 5, 10)
Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How much of it: repetitions of nulls, of each point of the curves, shuffles, and repetitions of the estimators."""

    nulls: int = 1000
    power: int = 200
    shuffles: int = 1000
    estimators: int = 1000
    seed: int = 0


QUICK = Effort(nulls=120, power=12, shuffles=60, estimators=0)


@dataclass(frozen=True)
class Controls:
    """All controls of one study's design, with its measured variability, as jobs that give rows of the tables."""

    evidence: Evidence
    effort: Effort

    @classmethod
    def of(cls, study: str = STUDY, effort: Effort | None = None) -> Controls:
        return cls(Evidence.load(study), effort or Effort())

    @cached_property
    def measured(self) -> dict[str, Measured]:
        return {OUT: measure(self.evidence.out), INSIDE: measure(self.evidence.inside)}

    def jobs(self, claims: Sequence[str] = tuple(BY_ID)) -> dict[tuple[str, str], Callable[[], list[Row]]]:
        """(table, what) -> what makes its rows."""
        found: dict[tuple[str, str], Callable[[], list[Row]]] = {("worlds", ""): self._worlds}
        for claim in claims:
            found["false_positives", claim] = partial(self.false_positives, claim)
            if claim in SHUFFLED:
                effort = self.effort.shuffles, self.effort.seed
                found["permutations", claim] = partial(permutation_rows, claim, self.evidence, *effort)
            found |= {("power", f"{claim} {n} seeds"): partial(self.power, claim, n) for n in SEEDS}
        if self.effort.estimators:
            found |= {("estimators", name): partial(self._estimators, name) for name in scenarios()}
        return found

    def false_positives(self, claim: str) -> list[Row]:
        """Rates of wrong verdicts where the truth is just on the wrong side, with the study's margin and, for claims that
        something makes no difference, with the margin its design can show, where the test can pass at all."""
        stage = Stage.of(claim, self.evidence.study, self.measured, len(self.evidence.study.seeds))
        stages = {"the study's margin": stage}
        if any(part.part.test == EQUAL for part in stage.parts):
            stages["the margin that the design can show"] = at_detectable(stage).stage
        rows = []
        for margin, one in stages.items():
            wrong = [(NULL, SUPPORTED, effects) for effects in one.nulls()]
            for scenario, verdict, effects in [*wrong, (ALL_AT_BOUND, CONTRADICTED, one.all_at_bound())]:
                try:
                    rates = self._rates(one, one.scene(effects), self.effort.nulls)
                except InputError:
                    continue  # no top-1 between 0 and 1 has this effect
                row = {
                    "claim": claim,
                    "scenario": scenario,
                    "error": verdict,
                    "bounds": margin,
                    "margin": one.study.margin,
                }
                row |= {"effects": _text(effects), "rate": rates[verdict], **self._effort(self.effort.nulls)}
                limit = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / self.effort.nulls)
                rows.append(row | {"limit": limit, "within": rates[verdict] <= limit})
        return rows

    def power(self, claim: str, n_seeds: int) -> list[Row]:
        """Rates of verdicts against planted effect, and where the design says that an effect is found with power 0.8."""
        stage = Stage.of(claim, self.evidence.study, self.measured, n_seeds)
        equal = all(part.part.test == EQUAL for part in stage.parts)
        planted = [
            (POWER, stage, stage.planted(effect), effect) for effect in (EQUAL_EFFECTS if equal else GREATER_EFFECTS)
        ]
        detectable = at_detectable(stage)
        size = detectable.stage.study.margin if equal else detectable.size
        planted.append((DETECTABLE, detectable.stage, detectable.effects, size))
        rows = []
        for scenario, one, effects, effect in planted:
            # The study's own number of seeds is the one that its ledger makes promises for.
            own = scenario == DETECTABLE and n_seeds == len(self.evidence.study.seeds)
            repetitions = self.effort.nulls if own else self.effort.power
            try:
                rates = self._rates(one, one.scene(effects), repetitions)
            except InputError:
                continue
            row = {
                "claim": claim,
                "test": "equal" if equal else "greater",
                "parts": len(stage.parts),
                "n_seeds": n_seeds,
            }
            row |= {"scenario": scenario, "effect": effect, "effects": _text(effects), "margin": one.study.margin}
            rows.append(row | rates | self._effort(repetitions))
        return rows

    def _rates(self, stage: Stage, scene: Scene, repetitions: int) -> dict[str, float]:
        # The same deviates for every effect: curves are smooth, and differ by what is planted.
        rng = np.random.default_rng([self.effort.seed, int(stage.claim.id[1:]), stage.n_seeds])
        verdicts = [decide(stage.draw(scene, rng))[0] for _ in range(repetitions)]
        return {verdict: verdicts.count(verdict) / repetitions for verdict in (SUPPORTED, CONTRADICTED)}

    def _effort(self, repetitions: int) -> Row:
        return {"repetitions": repetitions, "seed": self.effort.seed, "level": ALPHA}

    def _worlds(self) -> list[Row]:
        """How the simulated predictions are made, and the variance components of differences of arms, real and simulated."""
        rows = liability_table(self.measured)
        for row, one in zip(rows, self.measured.values(), strict=True):
            real = paper_arms(one.evaluation)
            scene = Scene(
                one,
                Planted({arm: float(correct.mean()) for arm, correct in real.items()}),
                len(self.evidence.study.seeds),
            )
            drawn = [scene.draw(np.random.default_rng([self.effort.seed, i])) for i in range(10)]
            for name, seen in {"real": [real], "simulated": drawn}.items():
                parts = [_components(correct, one.evaluation.labels) for correct in seen]
                names = ("seed", "class", "seed_class", "image", "residual")
                row |= {f"{name}_{part}": value for part, value in zip(names, np.mean(parts, axis=0), strict=True)}
        return rows

    def _estimators(self, name: str) -> list[Row]:
        numbered = list(scenarios()).index(name)
        seed = 1000 * self.effort.seed + numbered
        table = calibration(self.effort.estimators, seed, {name: scenarios()[name]}, bootstrap=False)
        return table.assign(seed=seed, level=ALPHA).to_dict("records")

    def run(self, folder: Path, claims: Sequence[str] = tuple(BY_ID)) -> dict[str, pd.DataFrame]:
        """Do all jobs that are not finished, with a progress bar; write and return the tables."""
        finished = Finished(make_writable(folder) / "finished.jsonl", self._state())
        by_table: dict[str, list[Row]] = {table: [] for table in TABLES}
        jobs = sorted(self.jobs(claims).items(), key=lambda job: TABLES.index(job[0][0]))
        for (table, what), work in tqdm(jobs, desc="controls", unit="job"):
            by_table[table] += finished.rows(f"{table} {what}", work)
        tables = {table: pd.DataFrame(rows) for table, rows in by_table.items() if rows}
        for name, table in tables.items():
            text = table.to_csv(index=False, lineterminator="\n", float_format="%.5g")
            write_atomically(folder / f"{name}.csv", text.encode())
        return tables

    def _state(self) -> str:
        """What the rows depend on: effort, code of the statistics, and results."""
        digest = hashlib.sha256(repr(astuple(self.effort)).encode())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            if path.name not in ("book.py", "build.py", "figures.py", "figures_beyond.py", "control_tables.py"):
                digest.update(path.read_bytes())
        for one in self.measured.values():
            digest.update(b"".join(one.evaluation.correct[arm].tobytes() for arm in sorted(one.evaluation.correct)))
        return digest.hexdigest()[:16]


def _components(correct: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Mean over all pairs of arms of the variance components of their difference."""
    pairs = combinations(correct.values(), 2)
    return np.mean([astuple(components(first.astype(float) - second, labels)) for first, second in pairs], axis=0)


def _text(effects: Sequence[float]) -> str:
    return " ".join(f"{effect:.4g}" for effect in effects)


@dataclass(frozen=True)
class Finished:
    """A file of finished jobs, one a line; those of another state do not count."""

    path: Path
    state: str

    def rows(self, key: str, work: Callable[[], list[Row]]) -> list[Row]:
        """The rows of a job, done now if they are not there."""
        if key not in self._known:
            made = json.loads(pd.DataFrame(work()).to_json(orient="records", double_precision=12))
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"state": self.state, "key": key, "rows": made}) + "\n")
            self._known[key] = made
        return self._known[key]

    @cached_property
    def _known(self) -> dict[str, list[Row]]:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        # A line that a kill cut off is no line.
        whole = [json.loads(line) for line in lines if line.endswith("]}")]
        return {one["key"]: one["rows"] for one in whole if one["state"] == self.state}


def main() -> int:
    parser = CommandLine("tell.validation.controls", __doc__ or "")
    parser.add_argument("--quick", action="store_true", help="few repetitions, without the estimators")
    parser.add_argument("--study", default=STUDY, help="whose design and variability are simulated")
    given = parser.parse_args()

    def work() -> None:
        folder = results_root() / ("controls_quick" if given.quick else "controls")
        Controls.of(given.study, QUICK if given.quick else Effort()).run(folder)
        print(f"The tables are in {folder}")

    return answer("controls", work)


if __name__ == "__main__":
    sys.exit(main())
