"""The claims ledger: a verdict on each claim of the paper for one study, with the rule behind it, as data for others.

Notebook `13_claims` writes `results/<study>/claims.json` with its default settings; the book publishes it with its schema,
`claims.schema.json`.
Chapters state verdicts by the role `verdict`, which fails the build when the ledger disagrees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.errors import InputError, one_line
from pretraining_gain.paths import has_results, make_writable, project_root, results_of, results_root, write_atomically
from pretraining_gain.plan.parameters import plain_parameters
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell import statistics
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, Record, evaluate
from pretraining_gain.tell.claims.parts import (
    ARMS,
    CONTRADICTED,
    EQUAL,
    GREATER,
    KINDS,
    NO_DIFFERENCE,
    NOT_RUN,
    NOT_TESTABLE,
    SHARE,
    SUPPORTED,
    UNRESOLVED,
    VERDICTS,
    Word,
)
from pretraining_gain.tell.claims.planned import planned_detectable
from pretraining_gain.tell.results.evaluation import View

_FILE = "claims.json"


class Verdict(Record):
    """One claim in one study. `decisive` is the part of `tests` that decided, None where nothing was run."""

    claim: str
    text: str
    section: str = Field(description="of the paper; `ours` for a question of our own")
    figure: str = Field(description="key of the figure in the book")
    estimand: str
    verdict: Word
    rule: str = Field(description="why this verdict")
    decisive: int | None
    detectable: float | None = Field(description="of the decisive part; of a study not run: expected from the design")
    unit: Literal["points", "%"] = Field(description="in which the effect, times 100, is stated")
    tests: list[Outcome]

    def words(self) -> dict[str, str]:
        """State effect, detectable effect and evidence of the decisive part, for tables and chapters."""
        test = None if self.decisive is None else self.tests[self.decisive]
        detectable = "unknown" if self.detectable is None else f"{100 * self.detectable:.1f} points"
        if test is None:
            return {"effect": "–", "detectable effect": detectable, "evidence": "–"}
        evidence = f"{test.n_seeds} seeds, {test.n_classes} species, {test.n_images:,} images"
        return {"effect": test.effect_text(), "detectable effect": detectable, "evidence": evidence}

    def resolution(self) -> str:
        """Say how much more a study would need to resolve the decisive part; nothing where that is resolved, or not known.

        A standard error shrinks with the root of what it is averaged over: species where groups of them are compared, else
        seeds and images together.
        """
        if self.verdict != UNRESOLVED or self.decisive is None or not self.detectable:
            return ""
        test, size = self.tests[self.decisive], self.detectable
        more = "seeds and evaluation images" if test.kind == ARMS else "species in each group" if test.kind != SHARE else "species"
        effect = abs(test.effect) if test.test == EQUAL else test.effect
        distance, supposed = abs(effect - test.bound), "the effect is as estimated"
        if test.test == EQUAL and size > test.bound:  # too small a study for its margin, whatever the effect
            distance, supposed = test.bound, "there is no difference"
        times = (size / distance) ** 2 if distance else np.inf
        amount = "more than a hundred" if times > 100 else f"about {max(times, 1.1):.2g}"
        return f"{amount} times as many {more}, if {supposed}"


class Runs(Record):
    """State how runs vary on a target, in fractions of top-1 over all its images."""

    sd: float = Field(description="standard deviation of one run, pooled over all arms; where they differ, over those of the gain")
    df: float = Field(description="degrees of freedom")
    homogeneity: float = Field(description="p of Bartlett's test that it is the same in all arms; below 0.01 each has its own")


class Ledger(Record):
    """The verdicts on all claims in one study."""

    schema_version: Literal[4] = 4
    study: str
    alpha: float
    margins: dict[str, float] = Field(description="by target: differences in top-1 below it are not relevant")
    margin_share: float | None = Field(description="the margin as a share of the gain of all classes")
    seeds: list[int]
    paired_factors: dict[str, float] = Field(
        description="by domain: how many times less the gain varies over images, paired, than with separate images per arm"
    )
    runs: dict[str, Runs] = Field(description="by target with two seeds or more")
    verdicts: list[Verdict]

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Ledger:
        """Build from a notebook's `globals()`: study, vote_cut, well_represented and variances_from."""
        names = ("study", "vote_cut", "well_represented", "variances_from")
        given = plain_parameters(parameters, [name for name in names if name in parameters])
        variances_from = given.pop("variances_from", "")
        view = View.from_parameters(given)
        load_study(variances_from or view.study)  # a misspelt name is an error also where results need no other's
        return cls.of(view, variances_from)

    @classmethod
    def of(cls, view: View, variances_from: str = "") -> Ledger:
        """Judge all claims. A study without results gets the effects that its design could detect.

        `variances_from` names the study whose measured variances such a plan assumes.
        """
        study = load_study(view.study)
        facts: Any = {"study": study.name, "alpha": statistics.LEVEL, "seeds": study.seeds, "margin_share": study.margin_share}
        if not has_results(study.name):
            measured = Evidence.if_run(variances_from or view.study)
            detectable = {claim: planned_detectable(claim, study, measured) if measured else None for claim in CLAIMS}
            planned = [verdict_on(claim, study, [], size) for claim, size in detectable.items()]
            margins = {one.name: study.margin for one in study.downstreams}
            return cls(**facts, margins=margins, paired_factors={}, runs={}, verdicts=planned)
        evidence, factors, runs = Evidence.of(view), {}, {}
        for domain in study.domains:
            target = evidence.target(domain)
            gain = target.gain(study.everything)
            if np.isfinite(factor := statistics.paired_factor(*(target.correct[arm] for arm in gain))):
                factors[domain] = factor
            estimate = statistics.estimate_mean(target.answers, gain)
            if estimate.run_df:  # one seed tells nothing of how runs vary
                sd = estimate.run_se / statistics.per_run(target.answers, gain) ** 0.5
                runs[target.downstream.name] = Runs(sd=sd, df=estimate.run_df, homogeneity=estimate.homogeneity)
        verdicts = [judge(claim, evidence) for claim in CLAIMS]
        return cls(**facts, margins=dict(evidence.margins), paired_factors=factors, runs=runs, verdicts=verdicts)

    def publish(self, parameters: Mapping[str, Any], book: Mapping[str, Any]) -> str:
        """Write the ledger if a notebook's `globals()` have the settings of the `book`; say whether it did."""
        other = {name: parameters[name] for name in book if parameters[name] != book[name]}
        if other:
            usual = {name: book[name] for name in other}
            return f"{_FILE} not written: it has {other}; accepted for the book: {usual}"
        return f"wrote {self.write().name}"

    def write(self) -> Path:
        """Write the ledger into the results folder, where the build finds it."""
        path = results_root() / self.study / _FILE
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
        return pd.DataFrame(rows, columns=["claim", *Outcome.model_fields]).set_index("claim")

    def numbers(self) -> dict[str, str | float]:
        """Return what chapters paste: each claim's effect, detectable effect and evidence, counts of
        verdicts (claims decided by one test count once), the margins, and how runs vary."""
        found: dict[str, str | float] = {}
        for domain, value in self.paired_factors.items():
            found[f"paired_factor_{domain.split('_')[0]}"] = value
        for verdict in self.verdicts:
            found |= {f"{verdict.claim}_{name.split()[0]}": text for name, text in verdict.words().items()}
        # By verdict and deciding test, the p of the least clear part: a claim holds only if all its parts do.
        deciding: dict[str, dict[object, float]] = {name: {} for name in VERDICTS}
        decisive = {v.claim: v.tests[v.decisive] for v in self.verdicts if v.decisive is not None}
        for verdict in self.verdicts:
            test, p_of = decisive.get(verdict.claim), deciding[verdict.verdict]
            key = (test.target, test.what, test.test) if test else verdict.claim
            p_of[key] = max([p_of.get(key, 0.0), *(one.p_for for one in verdict.tests)])
        found |= {f"n_{name.replace(' ', '_')}": str(len(tests)) for name, tests in deciding.items()}
        tests = {(test.target, test.what, test.test) for verdict in self.verdicts for test in verdict.tests}
        found |= {"n_claims": str(len(self.verdicts)), "n_tested": str(len(decisive)), "n_tests": str(len(tests))}
        supported = [*deciding[SUPPORTED].values()]  # Holm's method corrects them over those of the other claims, too
        others = [p for name in (CONTRADICTED, NO_DIFFERENCE, UNRESOLVED) for p in deciding[name].values()]
        found["n_supported_across"] = str(sum(statistics.holm(supported + others)[: len(supported)] < statistics.LEVEL))
        for target, margin in self.margins.items():
            found[f"margin_{target}"] = f"{100 * margin:.1f} points"
        if self.margin_share:
            found["margin_share"] = self.margin_share
        for target, runs in self.runs.items():
            found |= {f"{target}_run_sd": runs.sd, f"{target}_run_df": runs.df, f"{target}_homogeneity": runs.homogeneity}
        return found


def judge(claim: Claim, evidence: Evidence, threshold: float | None = None) -> Verdict:
    """Return the verdict on a claim from a study's results; `threshold` replaces the bound of parts that say `greater`."""
    return verdict_on(claim, evidence.study, evaluate(claim, evidence, threshold))


def unanswered(claim: Claim, study: Study) -> tuple[Word, str]:
    """Say why a claim has no test in a study: *not testable* by any runs of it, or *not run*."""
    if reason := claim.untestable(study):
        return NOT_TESTABLE, reason
    if not has_results(study.name):
        return NOT_RUN, "not run here"
    if not claim.parts(study):
        return NOT_RUN, "the study has no runs for it"
    return NOT_TESTABLE, "too few species, or fewer than two groups with species on both sides of the comparison"


def verdict_on(claim: Claim, study: Study, outcomes: Sequence[Outcome], planned: float | None = None) -> Verdict:
    """Return the verdict that these outcomes give on a claim; *not testable* or *not run* where there are none.

    As every part must hold, a claim with a part that cannot be tested is at best not resolvable. `planned`: the effect that
    the design of a study without results could detect.
    """
    facts: dict[str, Any] = {name: getattr(claim, name) for name in ("text", "section", "figure", "estimand")}
    facts, parts = facts | {"claim": claim.id, "tests": [*outcomes]}, claim.parts(study)
    if not outcomes:
        facts["unit"] = KINDS[parts[0].kind if parts else ARMS].unit
        verdict, rule = unanswered(claim, study)
        return Verdict(**facts, verdict=verdict, rule=rule, decisive=None, detectable=planned)
    verdict, decisive, p = decide(outcomes)
    test, rule = outcomes[decisive], _rule(verdict, outcomes[decisive], len(outcomes), p)
    if len(parts) > len(outcomes) and verdict in (SUPPORTED, NO_DIFFERENCE):
        verdict, rule = UNRESOLVED, f"{rule}; but {len(parts) - len(outcomes)} of {len(parts)} parts cannot be tested"
    return Verdict(**facts, verdict=verdict, rule=rule, decisive=decisive, detectable=test.detectable, unit=test.unit)


def decide(outcomes: Sequence[Outcome]) -> tuple[Word, int, float]:
    """Return the verdict, the part that decided, and the p-value of what it showed.

    A part that says *greater* shows no relevant difference when its effect is closer to 0 than the margin; otherwise it
    holds at level alpha, or its opposite does. One opposite contradicts the claim; it is supported when every part holds, and
    there is no relevant difference when some hold and the rest show none. As one part suffices for an opposite and for no
    relevant difference, Holm's method corrects these over the parts.
    """
    against = statistics.holm([outcome.p_against for outcome in outcomes])
    compared = {place: outcome.p_within for place, outcome in enumerate(outcomes) if outcome.p_within is not None}
    within = np.ones(len(outcomes))
    within[[*compared]] = statistics.holm([*compared.values()])
    of_part = []
    for outcome, opposite, small in zip(outcomes, against, within, strict=True):
        clear = SUPPORTED if outcome.p_for < statistics.LEVEL else CONTRADICTED if opposite < statistics.LEVEL else UNRESOLVED
        of_part.append(NO_DIFFERENCE if small < statistics.LEVEL else clear)
    shown = {CONTRADICTED: against, NO_DIFFERENCE: within}
    for verdict in (CONTRADICTED, UNRESOLVED, NO_DIFFERENCE, SUPPORTED):
        parts = [place for place, one in enumerate(of_part) if one == verdict]
        if parts:
            p_values = shown.get(verdict, np.array([outcome.p_for for outcome in outcomes]))
            clearest = min if verdict in shown else max
            decisive = clearest(parts, key=lambda place: p_values[place])
            return verdict, decisive, float(p_values[decisive])
    raise InputError("no parts to decide on; accepted: one or more")


def _rule(verdict: str, test: Outcome, n_parts: int, p: float) -> str:
    bound = f"{100 * test.bound:.3g} {test.unit}" if test.bound else "0"
    what = f"{test.what} > {bound}" if test.test == GREATER else f"|{test.what}| < {bound}"
    if verdict == SUPPORTED:
        rule, among = f"{what} ({p_text(p)})", f"all of {n_parts} parts hold, this one least clearly"
    elif verdict == CONTRADICTED:
        rule = f"not {what}: the opposite is clear ({p_text(p)})"
        among = f"one of {n_parts} parts, corrected by Holm"
    elif verdict == NO_DIFFERENCE:
        rule = f"{test.what} is closer to 0 than the margin ({p_text(p)})"
        among = f"the clearest of {n_parts} parts, corrected by Holm; the others hold, or are within the margin, too"
    else:
        rule = f"neither {what} ({p_text(p)}) nor its opposite"
        among = f"the least clear of {n_parts} parts"
    return f"{rule}; {among}" if n_parts > 1 else rule


def p_text(p: float) -> str:
    """State a p-value; below 0.0001 only that, as no t distribution is credible so far out."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def ledger_path(study_name: str) -> Path:
    """Return where to read a ledger: of results in the results folder only there, else also where ledgers came along."""
    own = results_root() / study_name
    return (own if (own / "runs.csv").exists() else results_of(study_name, _FILE)) / _FILE


def ledger_paths() -> dict[str, Path]:
    """Return the ledgers of all studies that have one, by study."""
    names = {path.parent.name for root in (results_root(), project_root() / "results") for path in root.glob(f"*/{_FILE}")}
    return {name: path for name in sorted(names) if (path := ledger_path(name)).exists()}


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
