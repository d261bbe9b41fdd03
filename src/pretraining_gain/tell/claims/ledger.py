"""The claims ledger: a verdict on each claim of the paper for one study, with the rule behind it, as data for others.

Notebook `13_claims` writes `results/<study>/claims.json`; the book publishes it with its schema, `claims.schema.json`.
Chapters state verdicts by the role `verdict`, which fails the build when the ledger disagrees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from pretraining_gain.errors import InputError, one_line
from pretraining_gain.paths import make_writable, results_of, results_root, write_atomically
from pretraining_gain.plan.parameters import plain_parameters
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell import statistics
from pretraining_gain.tell.claims.declarations import ARMS, CLAIMS, EQUAL, GREATER, KINDS, Claim
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, evaluate, evaluate_part
from pretraining_gain.tell.results.evaluation import View

ALPHA = 0.05
SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_RUN = "supported", "contradicted", "not resolvable at this scale", "not run"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartOutcome(_Record):
    """One part of a claim: what was compared, the test, and what came out. Effects are fractions (0.01 = one point)."""

    what: str
    test: Literal["greater", "equal"] = Field(description="greater than the bound, or closer to 0 than the bound")
    kind: Literal["arms", "groups", "spread", "share"] = Field(
        description="a weighted sum of arms, or of the gain: a difference between groups of species, a standard deviation "
        "between groups of species, the share of species that gain"
    )
    unit: Literal["points", "%"] = Field(description="in which the effect, times 100, is stated")
    bound: float = Field(description="of `greater`: what must be exceeded; of `equal`: the study's equivalence margin")
    effect: float
    low: float = Field(description="95 % interval")
    high: float
    p_for: float
    p_against: float = Field(description="before Holm's correction over the parts of the claim")
    detectable: float = Field(description="effect that is found, or margin that is met, with probability 0.8")
    n_seeds: int
    n_classes: int
    n_images: int

    @classmethod
    def of(cls, outcome: Outcome) -> PartOutcome:
        declared = {name: getattr(outcome.part, name) for name in ("what", "test", "kind", "bound")}
        declared["unit"] = KINDS[outcome.part.kind].unit
        return cls(**declared, **{name: getattr(outcome, name) for name in cls.model_fields if name not in declared})

    def effect_text(self) -> str:
        """State the effect with its interval and unit, signed where the kind of estimate has a sign."""
        sign = "+" if KINDS[self.kind].signed else ""
        effect, low, high = (f"{100 * value:{sign}.1f}" for value in (self.effect, self.low, self.high))
        return f"{effect} {self.unit} ({low} to {high})"


class Verdict(_Record):
    """One claim in one study. `decisive` is the part of `tests` that decided, None where nothing was run."""

    claim: str
    text: str
    section: str = Field(description="of the paper")
    figure: str = Field(description="key of the figure in the book")
    estimand: str
    verdict: Literal["supported", "contradicted", "not resolvable at this scale", "not run"]
    rule: str = Field(description="why this verdict")
    decisive: int | None
    detectable: float | None = Field(description="of the decisive part; of a study not run: expected from the design")
    tests: list[PartOutcome]

    @classmethod
    def of(cls, claim: Claim, **found: Any) -> Verdict:
        facts = {name: getattr(claim, name) for name in ("text", "section", "figure", "estimand")}
        return cls(claim=claim.id, **facts | {"decisive": None, "tests": []} | found)

    def words(self) -> dict[str, str]:
        """State effect, detectable effect and evidence of the decisive part, for tables and chapters."""
        test = None if self.decisive is None else self.tests[self.decisive]
        unit = test.unit if test else KINDS[ARMS].unit
        detectable = "unknown" if self.detectable is None else f"{100 * self.detectable:.1f} {unit}"
        if test is None:
            return {"effect": "–", "detectable effect": detectable, "evidence": "–"}
        evidence = f"{test.n_seeds} seeds, {test.n_classes} species, {test.n_images:,} images"
        return {"effect": test.effect_text(), "detectable effect": detectable, "evidence": evidence}


class Ledger(_Record):
    """The verdicts on all claims in one study."""

    schema_version: Literal[2] = 2
    study: str
    alpha: float
    margin: float
    seeds: list[int]
    paired_factors: dict[str, float] = Field(
        description="by domain, out and in: how many times narrower pairing by image makes the interval of the gain"
    )
    verdicts: list[Verdict]

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Ledger:
        """Build from a notebook's `globals()`: study, vote_cut, well_represented and variances_from."""
        names = ("study", "vote_cut", "well_represented", "variances_from")
        given = plain_parameters(parameters, [name for name in names if name in parameters])
        variances_from = given.pop("variances_from", None)
        view = View.from_parameters(given | {"draws": 1})
        return cls.of(view, View(study=variances_from or view.study, draws=1).study)

    @classmethod
    def of(cls, view: View, variances_from: str = "") -> Ledger:
        """Judge all claims. A study without results gets the effects that its design could detect.

        `variances_from` names the study whose measured variances such a plan assumes.
        """
        study = load_study(view.study)
        facts: dict[str, Any] = {"study": study.name, "alpha": ALPHA, "margin": study.margin, "seeds": study.seeds}
        if not has_results(study.name):
            measured = Evidence.load(variances_from) if variances_from and has_results(variances_from) else None
            planned = []
            for claim in CLAIMS:
                detectable = expected_detectable(claim, study, measured) if measured else None
                planned.append(Verdict.of(claim, verdict=NOT_RUN, rule="not run here", detectable=detectable))
            return cls(**facts, paired_factors={}, verdicts=planned)
        evidence = Evidence.of(view)
        targets = {domain.split("_")[0]: one.correct for domain, one in evidence.by_domain.items()}
        factors = {
            name: statistics.paired_factor(arms[study.everything], arms[SCRATCH])
            for name, arms in targets.items()
            if study.everything in arms
        }
        return cls(**facts, paired_factors=factors, verdicts=[judge(claim, evidence) for claim in CLAIMS])

    def write(self) -> Path:
        """Write the ledger where the build finds it."""
        path = ledger_path(self.study)
        rounded = json.loads(self.model_dump_json(), parse_float=lambda text: round(float(text), 6))
        write_atomically(make_writable(path.parent) / path.name, (json.dumps(rounded, indent=1) + "\n").encode())
        return path

    def table(self) -> pd.DataFrame:
        """Return one row per claim: text, verdict, effect with interval, detectable effect, evidence, rule."""
        rows = {v.claim: {"claim": v.text, "verdict": v.verdict} | v.words() | {"rule": v.rule} for v in self.verdicts}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")

    def tests(self) -> pd.DataFrame:
        """Return one row per test, with all numbers."""
        rows = [{"claim": v.claim} | test.model_dump() for v in self.verdicts for test in v.tests]
        return pd.DataFrame(rows, columns=["claim", *PartOutcome.model_fields]).set_index("claim")

    def numbers(self) -> dict[str, str | float]:
        """Return what chapters paste: each claim's verdict, effect, detectable effect, evidence and rule, counts of
        verdicts, and how much narrower pairing makes the interval of the gain."""
        found: dict[str, str | float] = {f"paired_factor_{name}": value for name, value in self.paired_factors.items()}
        for verdict in self.verdicts:
            found |= {verdict.claim: verdict.verdict, f"{verdict.claim}_rule": verdict.rule}
            found |= {f"{verdict.claim}_{name.split()[0]}": text for name, text in verdict.words().items()}
        counts = pd.Series([verdict.verdict for verdict in self.verdicts]).value_counts()
        found |= {f"n_{name.split()[0]}": str(counts.get(name, 0)) for name in (SUPPORTED, CONTRADICTED, UNRESOLVED)}
        return found | {"n_not_run": str(counts.get(NOT_RUN, 0)), "margin": f"{100 * self.margin:g} points"}


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """Return the verdict on a claim from a study's results; see `decide`."""
    return verdict_on(claim, evaluate(claim, evidence))


def verdict_on(claim: Claim, outcomes: Sequence[Outcome]) -> Verdict:
    """Return the verdict that these outcomes give on a claim; *not run* where there are none."""
    if not outcomes:
        return Verdict.of(claim, verdict=NOT_RUN, rule="the study has no runs for it", detectable=None)
    verdict, decisive, p_against = decide(outcomes)
    tests = [PartOutcome.of(outcome) for outcome in outcomes]
    test, rule = tests[decisive], _rule(verdict, tests[decisive], len(tests), p_against)
    return Verdict.of(claim, verdict=verdict, rule=rule, decisive=decisive, detectable=test.detectable, tests=tests)


def decide(outcomes: Sequence[Outcome]) -> tuple[str, int, float]:
    """Return the verdict, the part that decided, and that part's p-value against after Holm's correction.

    Supported when every part holds at level alpha; contradicted when the opposite of any does, after the correction.
    """
    against = statistics.holm([outcome.p_against for outcome in outcomes])
    least = max(range(len(outcomes)), key=lambda i: outcomes[i].p_for)
    if outcomes[least].p_for < ALPHA:
        return SUPPORTED, least, float(against[least])
    if against.min() < ALPHA:
        return CONTRADICTED, int(against.argmin()), float(against.min())
    return UNRESOLVED, least, float(against[least])


def _rule(verdict: str, test: PartOutcome, n_parts: int, p_against: float) -> str:
    what = f"{test.what} > {test.bound:g}" if test.test == GREATER else f"|{test.what}| < {test.bound:g}"
    if verdict == SUPPORTED:
        rule, among = f"{what} (p = {test.p_for:.2g})", f"all of {n_parts} parts hold, this one least clearly"
    elif verdict == CONTRADICTED:
        rule = f"not {what}: the opposite is clear (p = {p_against:.2g})"
        among = f"one of {n_parts} parts, corrected by Holm"
    else:
        rule = f"neither {what} (p = {test.p_for:.2g}) nor its opposite"
        among = f"of {n_parts} parts this one holds least clearly"
    return f"{rule}; {among}" if n_parts > 1 else rule


def expected_detectable(claim: Claim, study: Study, measured: Evidence) -> float | None:
    """Return the largest effect (or margin), over the claim's parts, that the design resolves with probability 0.8, with
    the variance components that the same comparisons have in `measured`; None where those are unknown."""
    if claim.domain not in study.domains:
        return None
    images = study.downstream_in(claim.domain).images
    sizes = len(study.seeds), images.n_classes, images.eval_images_per_class
    found = []
    for part in claim.parts(measured.study):
        outcome = evaluate_part(part, measured) if part.kind == ARMS else None
        if outcome:
            parts = statistics.components(outcome.values, outcome.labels)
            find = statistics.smallest_margin if part.test == EQUAL else statistics.smallest_detectable
            found.append(find(*statistics.design_error(parts, *sizes, classes="fixed")))
    return max(found, default=None)


def has_results(study_name: str) -> bool:
    return (results_of(study_name) / "runs.csv").exists()


def ledger_path(study_name: str) -> Path:
    return results_root() / study_name / "claims.json"


def read_ledger(study_name: str) -> Ledger:
    """Read the ledger that the last build wrote. Raises `InputError` when it is missing or of another form."""
    path = ledger_path(study_name)
    where = f"claims ledger {path} cannot be read"
    again = f"accepted: one that notebook 13_claims wrote for study {study_name!r}, run it again"
    try:
        with one_line(where):
            ledger = Ledger.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{where}: {error.strerror}; {again}") from None
    except InputError as error:
        raise InputError(f"{error}; {again}") from None
    if ledger.study != study_name:
        raise InputError(f"{where}: it is of study {ledger.study!r}; {again}")
    return ledger


def schema() -> str:
    """Return the ledger's JSON schema, as published beside it."""
    return json.dumps(Ledger.model_json_schema(), indent=1) + "\n"
