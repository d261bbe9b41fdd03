"""Measure how often each claim's verdict errs, and what it finds, on simulated studies and shuffled results.

`python -m pretraining_gain.tell.validation.controls` writes `results/controls/` (of another study: `results/controls-NAME/`):
`worlds.csv`, `false_positives.csv`, `permutations.csv`, `power.csv` and `estimators.csv`. Finished jobs are kept in
`finished.jsonl`, so an interrupted run continues; jobs start over when the code, the results or the effort change.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
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
from pretraining_gain.plan.code import inputs_of, normalised
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.ledger import decide
from pretraining_gain.tell.claims.parts import ARMS, CONTRADICTED, EQUAL, GREATER, NO_DIFFERENCE, SUPPORTED
from pretraining_gain.tell.statistics import LEVEL, Answers, components
from pretraining_gain.tell.validation.calibration import calibrate, scenarios
from pretraining_gain.tell.validation.permutations import permutation_rows
from pretraining_gain.tell.validation.planted_effects import Experiment
from pretraining_gain.tell.validation.simulator import Correct, Target, paper_arms
from pretraining_gain.tell.validation.tables import OF_SPECIES, STUDY

#: Effects on power curves, in top-1, of claims with a part that says `greater` and of claims of no difference.
GREATER_EFFECTS, EQUAL_EFFECTS = (-0.05, 0.0, 0.025, 0.05, 0.075, 0.1), (0.0, 0.015, 0.03, 0.06, 0.1, 0.15)
SEEDS = (3, 10)
Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """Repetitions of nulls, of each point of the power curves, of shuffles, and of the estimators per scenario; the seed."""

    nulls: int = 200
    power: int = 40
    shuffles: int = 100
    estimators: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Controls:
    """All controls of a study's design and measured variability, as jobs that make rows of the tables."""

    evidence: Evidence
    effort: Effort

    @cached_property
    def targets(self) -> dict[tuple[str, str], Target]:
        """The targets of the claims as measured, by name and by what is compared there.

        Scratch and a pretraining differ more between species than two pretrainings do, so the gain has a fit of its own.
        """
        found: dict[tuple[str, str], Target] = {}
        claims = [claim for claim in CLAIMS if claim.domain in self.evidence.study.domains]
        for name, compared in dict.fromkeys(map(self._fit_of, claims)):
            evaluation = self.evidence.evaluations[name]
            arms = paper_arms(evaluation)
            if compared == OF_SPECIES:
                arms = {arm: arms[arm] for arm in evaluation.gain(self.evidence.study.everything)}
            found[name, compared] = Target.of(evaluation, arms)
        return found

    def _fit_of(self, claim: Claim) -> tuple[str, str]:
        """Return a claim's target, and what it compares there: `ARMS`, or `OF_SPECIES`, the gain."""
        study = self.evidence.study
        of_arms = all(part.kind == ARMS for part in claim.parts(study))
        return claim.target(study), ARMS if of_arms else OF_SPECIES

    def experiment(self, claim: Claim, n_seeds: int = 0) -> Experiment:
        fit = self._fit_of(claim)
        return Experiment(claim, self.targets[fit], n_seeds or len(self.evidence.study.seeds), self.evidence.margins[fit[0]])

    def jobs(self, claims: Sequence[Claim] = CLAIMS) -> dict[tuple[str, str], Callable[[], Iterable[Row]]]:
        """Return what makes the rows of each (table, job)."""
        tested = [claim for claim in claims if claim.parts(self.evidence.study) and self.experiment(claim).parts]
        effort = self.effort.shuffles, self.effort.seed
        found: dict[tuple[str, str], Callable[[], Iterable[Row]]] = {("worlds", ""): self.worlds}
        found |= {("false_positives", one.id): partial(self.false_positives, one) for one in tested}
        found |= {("permutations", one.id): partial(permutation_rows, one, self.evidence, *effort) for one in tested}
        found |= {("power", f"{one.id} {n} seeds"): partial(self.power, one, n) for one in tested for n in SEEDS}
        return found | {("estimators", name): partial(self.estimators, name) for name in scenarios()}

    def false_positives(self, claim: Claim) -> Iterator[Row]:
        """Measure rates of wrong verdicts where the claim is just false, or its effects are just relevant: with the study's
        margin, and, for claims of no difference, with the margin that the design can show, as the test may never pass
        otherwise."""
        experiments = {"the study's margin": (first := self.experiment(claim))}
        if any(part.test == EQUAL for part in first.parts):
            experiments["the margin that the design can show"] = first.detectable()[0]
        repetitions, seed = self.effort.nulls, self.effort.seed
        limit = LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / repetitions)
        for bounds, one in experiments.items():
            wrong = [("one part at its bound", SUPPORTED, effects) for effects in one.nulls()]
            wrong.append(("all parts at their bounds", CONTRADICTED, one.all_at_bound()))
            if one is first and (relevant := one.all_at_margin()):
                wrong.append(("all comparisons at the margin", NO_DIFFERENCE, relevant))
            for scenario, verdict, effects in wrong:
                if rates := self._rates(one, effects, repetitions):
                    rate = rates[verdict]
                    yield {
                        "claim": claim.id, "scenario": scenario, "error": verdict, "bounds": bounds, "margin": one.margin,
                        "effects": " ".join(map("{:.4g}".format, effects)), "rate": rate, "repetitions": repetitions, "seed": seed,
                        "level": LEVEL, "limit": limit, "within": bool(rate <= limit),
                    }  # fmt: skip

    def power(self, claim: Claim, n_seeds: int) -> Iterator[Row]:
        """Measure rates of verdicts against the planted effect, and where the design promises a power of 0.8."""
        one = self.experiment(claim, n_seeds)
        equal = all(part.test == EQUAL for part in one.parts)
        grid, repetitions = EQUAL_EFFECTS if equal else GREATER_EFFECTS, self.effort.power
        planted = [("planted", one, one.planted(effect), effect, repetitions) for effect in grid]
        with suppress(InputError):  # no accuracies have what the design resolves
            promised, effects, size = one.detectable()
            # The ledger promises power for the study's own number of seeds: measure that well.
            often = self.effort.nulls if n_seeds == len(self.evidence.study.seeds) else repetitions
            planted.append(("detectable", promised, effects, promised.margin if equal else size, often))
        for scenario, where, effects, effect, repetitions in planted:
            if rates := self._rates(where, effects, repetitions):
                yield {
                    "claim": claim.id, "test": EQUAL if equal else GREATER, "parts": len(one.parts), "n_seeds": n_seeds,
                    "scenario": scenario, "effect": effect, "effects": " ".join(map("{:.4g}".format, effects)),
                    "margin": where.margin, **rates, "repetitions": repetitions, "seed": self.effort.seed, "level": LEVEL,
                }  # fmt: skip

    def _rates(self, experiment: Experiment, effects: Sequence[float], repetitions: int) -> dict[str, float]:
        """Return the rates of verdicts with these effects planted; nothing if no accuracies have them."""
        try:
            simulator = experiment.simulator(effects)
        except InputError:
            return {}
        # The same deviates for every effect make the curves smooth.
        rng = np.random.default_rng([self.effort.seed, CLAIMS.index(experiment.claim) + 1, experiment.n_seeds])
        verdicts = [decide(experiment.draw(simulator, rng))[0] for _ in range(repetitions)]
        return {verdict: verdicts.count(verdict) / repetitions for verdict in (SUPPORTED, CONTRADICTED, NO_DIFFERENCE)}

    def worlds(self) -> Iterator[Row]:
        """Describe each target's fits, with the variance components of differences of the fitted arms, real and simulated."""
        for (_, compared), target in self.targets.items():
            labels = target.evaluation.labels
            top1 = {arm: float(correct.mean()) for arm, correct in target.arms.items()}
            simulator = target.simulator(top1, len(self.evidence.study.seeds), "random")
            drawn: list[Correct] = [simulator.draw(np.random.default_rng([self.effort.seed, i])) for i in range(10)]
            row: Row = {"target": target.evaluation.downstream.title, "compared": compared, "top1": target.top1}
            row |= vars(target.liability)
            for name, studies in {"real": [target.arms], "simulated": drawn}.items():
                found = np.mean([difference_components(correct, labels) for correct in studies], axis=0)
                parts = [f"{name}_{part}" for part in ("run", "class", "run_class", "image", "residual")]
                row |= zip(parts, found, strict=True)
            yield row

    def estimators(self, name: str) -> list[Row]:
        seed = 1000 * self.effort.seed + list(scenarios()).index(name)
        table = calibrate(scenarios()[name], self.effort.estimators, seed)
        return table.assign(scenario=name, seed=seed, level=LEVEL).to_dict("records")

    def run(self, folder: Path, claims: Sequence[Claim] = CLAIMS) -> None:
        """Do all unfinished jobs, with a progress bar, and write the tables. Rows depend on effort, code, and results."""
        digest = hashlib.sha256(f"{astuple(self.effort)} {self.evidence.study.config_hash}".encode())
        for path in inputs_of(Path(__file__)):
            code = path.suffix == ".py"
            digest.update(normalised(path.read_text(encoding="utf-8")).encode() if code else path.read_bytes())
        for evaluation in self.evidence.evaluations.values():
            digest.update(b"".join(evaluation.correct[arm].tobytes() for arm in sorted(evaluation.correct)))
        finished = Finished(make_writable(folder) / "finished.jsonl", digest.hexdigest()[:16])
        by_table: dict[str, list[Row]] = {}
        for (table, what), work in tqdm(self.jobs(claims).items(), desc="controls", unit="job"):
            by_table.setdefault(table, []).extend(finished.rows(f"{table} {what}", work))
        for name, rows in by_table.items():
            text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.5g")
            write_atomically(folder / f"{name}.csv", text.encode())


def difference_components(correct: Correct, labels: np.ndarray) -> np.ndarray:
    """Return the variance components of the difference of two arms, averaged over all pairs of arms."""
    answers = Answers(correct, labels)
    pairs = [{first: 1.0, second: -1.0} for first, second in combinations(correct, 2)]
    return np.mean([astuple(components(answers, weights)) for weights in pairs], axis=0)


@dataclass(frozen=True)
class Finished:
    """A file of finished jobs, one per line; those of another state do not count."""

    path: Path
    state: str

    def rows(self, key: str, work: Callable[[], Iterable[Row]]) -> list[Row]:
        """Return the rows of a job; do it if it is not in the file."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            # A killed run may have left an incomplete line; each job starts a new one.
            if line.endswith("]}") and (one := json.loads(line))["state"] == self.state and one["key"] == key:
                return one["rows"]
        made = json.loads(pd.DataFrame(work()).to_json(orient="records", double_precision=12))
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"state": self.state, "key": key, "rows": made}) + "\n")
        return made


def main() -> int:
    parser = CommandLine("tell.validation.controls", __doc__ or "")
    parser.add_argument("--study", default=STUDY, help="whose design and variability are simulated")
    study = parser.parse_args().study
    return answer("controls", lambda: _make(study))


def _make(study_name: str) -> None:
    """Make the tables of a study; those of another than the book's do not replace the book's."""
    evidence = Evidence.load(study_name)
    name = evidence.study.name
    Controls(evidence, Effort()).run(results_root() / ("controls" if name == STUDY else f"controls-{name}"))


if __name__ == "__main__":
    sys.exit(main())
