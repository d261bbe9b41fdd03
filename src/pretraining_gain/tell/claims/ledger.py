"""The claims ledger: a verdict on each claim of the paper for each study, with the rule that gave it, as data for others.

`results/<study>/claims.json` is written anew with every build, by notebook `13_claims`; its form is published as
`claims.schema.json`. Chapters state verdicts only by pasting them or by the role `verdict`, which fails the build when
the ledger says another.
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
from pretraining_gain.tell.claims.declarations import CLAIMS, EQUAL, Claim, Evidence, Part
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.statistics.estimates import (
    design_error,
    holm,
    paired_factor,
    smallest_detectable,
    smallest_margin,
)

ALPHA = 0.05
SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_RUN = "supported", "contradicted", "not resolvable at this scale", "not run"
#: Where the variances come from that a study which was not run is planned with.
MEASURED = "mini"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartOutcome(_Record):
    """One part of a claim: what was compared, the test, and what came out. Effects are in top-1 (0.01 = one point)."""

    what: str
    test: Literal["greater", "equal"] = Field(description="greater than the bound, or closer to 0 than the bound")
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


class Verdict(_Record):
    """One claim in one study. `decisive` is the part of `tests` that decided, None where nothing was run."""

    claim: str
    text: str
    section: str = Field(description="of the paper")
    figure: str = Field(description="label of the figure in the book")
    estimand: str
    verdict: Literal["supported", "contradicted", "not resolvable at this scale", "not run"]
    rule: str = Field(description="why this verdict")
    decisive: int | None
    detectable: float | None = Field(description="of the decisive part; of a study not run: expected from the design")
    tests: list[PartOutcome]


class Ledger(_Record):
    """All claims in one study."""

    schema_version: Literal[1] = 1
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
        """From a notebook's `globals()`: study, vote_cut and well_represented."""
        given = plain_parameters(parameters, ["study", "vote_cut", "well_represented"])
        return cls.of(View.from_parameters(given | {"draws": 1}))

    @classmethod
    def of(cls, view: View) -> Ledger:
        study, evidence = load_study(view.study), Evidence.of(view)
        ran = has_results(study.name)
        measured = Evidence(load_study(MEASURED), MEASURED) if has_results(MEASURED) and not ran else None
        judged = [judge(claim, evidence) if ran else not_run(claim, study, measured) for claim in CLAIMS]
        facts = {"study": study.name, "alpha": ALPHA, "margin": study.margin, "seeds": study.seeds}
        return cls(**facts, paired_factors=_paired_factors(evidence) if ran else {}, verdicts=judged)

    def write(self) -> Path:
        """Write the ledger where the build finds it."""
        path = ledger_path(self.study)
        rounded = json.loads(self.model_dump_json(), parse_float=lambda text: round(float(text), 6))
        write_atomically(make_writable(path.parent) / path.name, (json.dumps(rounded, indent=1) + "\n").encode())
        return path

    def table(self) -> pd.DataFrame:
        """One row a claim: text, verdict, effect with interval, what was detectable, rule."""
        rows = {v.claim: {"claim": v.text, "verdict": v.verdict} | _words(v) | {"rule": v.rule} for v in self.verdicts}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")

    def tests(self) -> pd.DataFrame:
        """One row a test, for those who want to see all of it."""
        rows = [{"claim": v.claim} | test.model_dump() for v in self.verdicts for test in v.tests]
        return pd.DataFrame(rows, columns=["claim", *PartOutcome.model_fields]).set_index("claim")

    def numbers(self) -> dict[str, str | float]:
        """What chapters paste: verdict, effect, detectable and rule of each claim, how many got each verdict, and how
        much narrower pairing makes the interval of the gain on each target."""
        found: dict[str, str | float] = {f"paired_factor_{name}": value for name, value in self.paired_factors.items()}
        for verdict in self.verdicts:
            words = _words(verdict)
            found |= {verdict.claim: verdict.verdict, f"{verdict.claim}_rule": verdict.rule}
            found |= {f"{verdict.claim}_{name.split()[0]}": text for name, text in words.items()}
        counts = pd.Series([verdict.verdict for verdict in self.verdicts]).value_counts()
        found |= {f"n_{name.split()[0]}": str(counts.get(name, 0)) for name in (SUPPORTED, CONTRADICTED, UNRESOLVED)}
        return found | {"n_not_run": str(counts.get(NOT_RUN, 0)), "margin": f"{100 * self.margin:g} points"}


def _paired_factors(evidence: Evidence) -> dict[str, float]:
    targets = {"out": evidence.out, "in": evidence.inside}
    return {
        name: paired_factor(one.correct[evidence.everything], one.correct[SCRATCH]) for name, one in targets.items()
    }


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """Put a claim to a study's results; see `decide`. A study without the needed arms has not run it."""
    return verdict_on(claim, list(claim.parts(evidence)))


def verdict_on(claim: Claim, parts: list[Part]) -> Verdict:
    """The verdict that these parts give on a claim; see `decide`."""
    if not parts:
        return _verdict(claim, NOT_RUN, "the study has no runs for it", None, None, [])
    verdict, decisive, p_against = decide(parts)
    rule = _rule(verdict, parts[decisive], len(parts), p_against)
    return _verdict(claim, verdict, rule, decisive, parts[decisive].detectable, parts)


def decide(parts: Sequence[Part]) -> tuple[str, int, float]:
    """The verdict on a claim of these parts, the part that decided, and its p-value against after Holm's correction.

    Supported when every part holds at level alpha, contradicted when the opposite of any does (corrected), else not
    resolvable.
    """
    against = holm([part.p_against for part in parts])
    least = max(range(len(parts)), key=lambda i: parts[i].p_for)
    if parts[least].p_for < ALPHA:
        verdict, decisive = SUPPORTED, least
    elif against.min() < ALPHA:
        verdict, decisive = CONTRADICTED, int(against.argmin())
    else:
        verdict, decisive = UNRESOLVED, least
    return verdict, decisive, float(against[decisive])


def _rule(verdict: str, part: Part, n_parts: int, p_against: float) -> str:
    of_all = f"; all of {n_parts} parts hold, this one least clearly" if n_parts > 1 else ""
    of_any = f"; one of {n_parts} parts, corrected by Holm" if n_parts > 1 else ""
    what = {"greater": f"{part.what} > {part.bound:g}", "equal": f"|{part.what}| < {part.bound:g}"}[part.test]
    if verdict == SUPPORTED:
        return f"{what} (p = {part.p_for:.2g}){of_all}"
    if verdict == CONTRADICTED:
        return f"not {what}: the opposite is clear (p = {p_against:.2g}){of_any}"
    among = f"; of {n_parts} parts this one holds least clearly" if n_parts > 1 else ""
    return f"neither {what} (p = {part.p_for:.2g}) nor its opposite{among}"


def not_run(claim: Claim, study: Study, measured: Evidence | None) -> Verdict:
    """A claim in a study without results: what it could detect by design, with the variances measured in `mini`."""
    return _verdict(claim, NOT_RUN, "not run here", None, expected_detectable(claim, study, measured), [])


def expected_detectable(claim: Claim, study: Study, measured: Evidence | None) -> float | None:
    """Largest over the claim's parts of the effect (or margin) that the design resolves with probability 0.8.

    From the design alone, with the variance components of the same comparisons in `mini`; None where those are unknown.
    """
    if measured is None:
        return None
    images = study.downstream_in(claim.domain).images
    found = []
    for part in claim.parts(measured):
        if part.spread is not None:
            sizes = len(study.seeds), images.n_classes, images.eval_images_per_class
            se, df = design_error(part.spread, *sizes, classes="fixed")
            found.append(smallest_margin(se, df) if part.test == EQUAL else smallest_detectable(se, df))
    return max(found, default=None)


def _verdict(
    claim: Claim, verdict: str, rule: str, decisive: int | None, detectable: float | None, parts: list[Part]
) -> Verdict:
    shown = [PartOutcome(**{name: getattr(part, name) for name in PartOutcome.model_fields}) for part in parts]
    facts = {name: getattr(claim, name) for name in ("text", "section", "figure", "estimand")}
    outcome = {"verdict": verdict, "rule": rule, "decisive": decisive, "detectable": detectable, "tests": shown}
    return Verdict(claim=claim.id, **facts, **outcome)


def _words(verdict: Verdict) -> dict[str, str]:
    """Effect and detectable effect as texts: in points of top-1, shares of species in percent."""
    share = verdict.claim == "C1"
    unit = " %" if share else " points"
    detectable = "unknown" if verdict.detectable is None else f"{100 * verdict.detectable:.1f}{unit}"
    if verdict.decisive is None:
        return {"effect": "–", "detectable effect": detectable, "evidence": "–"}
    test = verdict.tests[verdict.decisive]
    sign = "" if share or test.what.startswith("standard deviation") else "+"
    effect, low, high = (f"{100 * value:{sign}.1f}" for value in (test.effect, test.low, test.high))
    evidence = f"{test.n_seeds} seeds, {test.n_classes} species, {test.n_images:,} images"
    return {"effect": f"{effect}{unit} ({low} to {high})", "detectable effect": detectable, "evidence": evidence}


def has_results(study_name: str) -> bool:
    return (results_of(study_name) / "runs.csv").exists()


def ledger_path(study_name: str) -> Path:
    return results_root() / study_name / "claims.json"


def read_ledger(study_name: str) -> Ledger:
    """The ledger of a study as the last build wrote it. Raises `InputError` when it is missing or of another form."""
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
    """The ledger's JSON schema, as published beside it."""
    return json.dumps(Ledger.model_json_schema(), indent=1) + "\n"
