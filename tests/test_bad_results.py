"""Bad results: predictions, records, tables of runs and ledgers that are damaged, of another form or another study's."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pandas as pd
import pytest
from conftest import keep_results_in, simulate_results
from refusal import Damage, cut, folder, in_json, missing, recoded, refused, whole

from pretraining_gain.plan.runs import Run, finetuning_runs
from pretraining_gain.tell.claims.ledger import Ledger, ledger_path, read_ledger
from pretraining_gain.tell.results.evaluation import View, load_evaluation
from pretraining_gain.tell.results.stored import write_checksums
from pretraining_gain.tell.results.tables import write_tables

AGAIN = "make them with `make reproduce STUDY=toy`"


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    """Change a CSV file's rows, all columns as text."""
    return lambda path: change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def cell(column: str, value: str, row: int = 0) -> Damage:
    return table(lambda rows: rows.assign(**{column: [value if i == row else v for i, v in enumerate(rows[column])]}))


def signed(damage: Damage) -> Damage:
    """Damage, and new checksums: what is wrong is wrong in the content alone."""

    def both(path: Path) -> None:
        damage(path)
        study = path.parent if path.name == "runs.csv" else path.parents[1]
        if path.name != "runs.csv":
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            others = lambda rows: rows["predictions"] != path.name  # noqa: E731 - one use
            new = table(lambda rows: rows.assign(predictions_sha256=rows["predictions_sha256"].where(others(rows), sha256)))
            new(study / "runs.csv")
        write_checksums(study, {name: (study / name).read_bytes() for name in ("runs.csv", "costs.csv", "class_counts.csv")})

    return both


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Results of the toy study, once for all rows."""
    place = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        keep_results_in(place, patch)
        simulate_results("toy")
        Ledger.of(View(study="toy")).write()
    return place / "results"


@pytest.fixture
def toy(made, results) -> Path:
    """A copy of them for one row."""
    shutil.copytree(made, results)
    return results / "toy"


def first_run() -> Run:
    return finetuning_runs("toy")[0]


BAD_PREDICTIONS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, "cannot be read"),
    "a folder": (folder, "cannot be read"),
    "zero bytes": (whole(b""), "cannot be read"),
    "not compressed": (whole(b"image_id,label,prediction\na,0,0\n"), "cannot be read (Not a gzipped file"),
    "cut off": (cut(20), "cannot be read"),
    "cut off early": (lambda path: path.write_bytes(path.read_bytes()[:60]), "cannot be read"),
    "changed bytes": (flipped, "cannot be read"),
    "changed checksum": (lambda path: path.write_bytes(path.read_bytes()[:-8] + bytes(8)), "cannot be read (CRC check failed"),
    "binary": (whole(gzip.compress(bytes(range(256)))), "cannot be read"),
    "empty": (whole(gzip.compress(b"")), "cannot be read (No columns to parse"),
    "only a header": (whole(gzip.compress(b"image_id,label,prediction\n")), "has no rows; accepted: one row or more"),
    "another column": (
        table(lambda rows: rows.rename(columns={"prediction": "guess"})),
        "lacks column 'prediction'; accepted: image_id, label, prediction",
    ),
    "semicolons": (whole(gzip.compress(b"image_id;label;prediction\na;0;0\n")), "lacks column 'image_id'; accepted"),
    "too many fields": (whole(gzip.compress(b"image_id,label,prediction\na,0,0\nb,0,0,0\n")), "cannot be read"),
    "an unknown class": (cell("prediction", "24"), "column 'prediction' has class id 24; accepted: 0 to 23"),
    "an unknown label": (cell("label", "99"), "column 'label' has class id 99; accepted: 0 to 23"),
    "a negative class": (cell("prediction", "-1"), "column 'prediction' has class id -1; accepted: 0 to 23"),
    "a class by name": (cell("prediction", "emu"), "column 'prediction' has values that are no class ids; accepted: whole numbers"),
    "a class with a fraction": (cell("prediction", "1.5"), "column 'prediction' has values that are no class ids"),
    "no class": (cell("label", ""), "column 'label' has values that are no class ids"),
    "a class beyond all numbers": (cell("label", "9" * 30), "column 'label' has values that are no class ids"),
    "an image twice": (cell("image_id", "0/1"), "image '0/1' appears twice; accepted: each image once"),
    "one more right": (cell("prediction", "0"), "its checksum is"),
    "fewer images": (signed(table(lambda rows: rows[1:])), "was evaluated on other images than the rest"),
    "another label": (signed(cell("label", "1")), "was evaluated on other images than the rest"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), BAD_PREDICTIONS.values(), ids=BAD_PREDICTIONS)
def test_bad_predictions_are_named(toy, damage, said):
    damage(first_run().predictions_path)
    named = str(first_run().predictions_path) if "other images" not in said else "arm 'scratch' of toy/field"
    with refused(named, said, AGAIN, unchanged=toy):
        load_evaluation("toy", "field")


NO_RECORD = "accepted: a record as its run wrote it, delete it to do the run again"


def lacking(*fields: str) -> Damage:
    *way, last = fields
    return in_json(lambda content: reduce(dict.get, way, content).pop(last))


BAD_RECORDS: dict[str, tuple[Damage, str]] = {
    "a folder": (folder, f"is damaged (Is a directory); {NO_RECORD}"),
    "zero bytes": (whole(b""), f"is damaged (Expecting value: line 1 column 1 (char 0)); {NO_RECORD}"),
    "cut off": (cut(10), NO_RECORD),
    "UTF-16": (lambda path: path.write_bytes(path.read_text().encode("utf-16")[2:]), NO_RECORD),
    "Latin-1": (whole('{"study": "wörld"}'.encode("latin-1")), NO_RECORD),
    "a list": (whole(b"[1]"), f"is damaged (it holds a list); {NO_RECORD}"),
    "nested without end": (whole(b'{"a":' * 100_000), NO_RECORD),
    "an empty one": (whole(b"{}"), f"lacks 'sha256'; {NO_RECORD}"),
    "no images": (lacking("train_images"), f"lacks 'train_images'; {NO_RECORD}"),
    "no top-1": (lacking("top1"), f"lacks 'top1'; {NO_RECORD}"),
    "no cost": (lacking("cost"), f"lacks 'cost'; {NO_RECORD}"),
    "a cost of nothing": (in_json(lambda content: content.update(cost=None)), f"(its cost holds a NoneType); {NO_RECORD}"),
    "half of a cost": (lacking("cost", "train_wall_time_s"), f"lacks 'train_wall_time_s'; {NO_RECORD}"),
}  # fmt: skip


def pretrained_run() -> Run:
    return next(run for run in finetuning_runs("toy") if run.pretraining)


@pytest.mark.parametrize(("damage", "said"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_a_bad_record_is_named_and_no_table_is_written(toy, damage, said):
    damage(pretrained_run().record_path)
    with refused(f"record {pretrained_run().record_path}", said, unchanged=toy):
        write_tables("toy")


@pytest.mark.parametrize(("damage", "said"), [(cut(10), "is damaged"), (lacking("recipe", "batch_size"), "lacks 'batch_size'")])
def test_a_bad_record_of_a_pretraining_is_named_too(toy, damage, said):
    damage(pretrained_run().pretraining.record_path)
    with refused(f"record {pretrained_run().pretraining.record_path}", said, NO_RECORD, unchanged=toy):
        write_tables("toy")


def test_a_missing_record_is_named(toy):
    first_run().record_path.unlink()
    with refused("1 run(s) of study 'toy' are missing, first field--scratch-s0", AGAIN, unchanged=toy):
        write_tables("toy")


def test_missing_runs_of_a_study_file_are_made_by_its_path(results, small_study):
    with refused("10 run(s) of study 'small' are missing", f"`make reproduce STUDY={small_study}`", unchanged=results):
        write_tables(small_study)


BAD_RUNS: dict[str, tuple[Damage, str]] = {
    "a folder": (folder, "cannot be read"),
    "empty": (whole(b""), "column(s) missing: downstream, arm"),
    "only a header": (table(lambda rows: rows[:0]), "has no rows; accepted: one row or more"),
    "binary": (whole(bytes(range(256))), "is not UTF-8"),
    "UTF-16": (recoded("utf-16"), "is not UTF-8"),
    "a line cut off": (lambda path: path.write_text(path.read_text()[:-70]), "fields; accepted: 19, as in the header"),
    "too many fields": (lambda path: path.write_text(path.read_text() + "a," * 40 + "\n"), "41 fields; accepted: 19"),
    **{
        f"without {name}": (table(lambda rows, name=name: rows.drop(columns=name)), f"column(s) missing: {name}; accepted: a CSV")
        for name in ("downstream", "arm", "pool", "k", "seed", "animal_classes", "pretrain_steps", "top1", "predictions")
    },
    "another top-1": (cell("top1", "0.9"), "its checksum is"),
    "without its checksum": (lambda path: (path.parent / "SHA256SUMS").write_text(""), "SHA256SUMS has no checksum of runs.csv"),
    "without checksums": (lambda path: (path.parent / "SHA256SUMS").unlink(), "SHA256SUMS has no checksum of runs.csv"),
    "a seed that is none": (cell("seed", "one"), "column 'seed' has 'one'; accepted: numbers"),
    "no top-1": (cell("top1", ""), "line 2: column 'top1' has no value"),
    "an unknown arm": (signed(cell("arm", "animal-k5")), "has a run of arm 'animal-k5' on 'field'; accepted: runs of study 'toy'"),
    "an unknown target": (signed(cell("downstream", "forest")), "has a run of arm 'scratch' on 'forest'; accepted: runs of"),
    "an unknown seed": (signed(cell("seed", "7")), "field has seeds [1, 2, 7]; accepted: [0, 1, 2]"),
    "a run twice": (
        signed(table(lambda rows: pd.concat([rows, rows[:1]]))), "field has seeds [0, 0, 1, 2]; accepted: [0, 1, 2]",
    ),
    "a run too few": (signed(table(lambda rows: rows[1:])), "field has seeds [1, 2]; accepted: [0, 1, 2]"),
    "an arm too few": (
        signed(table(lambda rows: rows[rows["arm"] != "animal-k4"])),
        "arm 'animal-k4' of toy/field has seeds none; accepted: [0, 1, 2]",
    ),
    "another target's only": (
        signed(table(lambda rows: rows[rows["downstream"] != "field"])), "study 'toy' has no results for 'field'",
    ),
    "predictions that are not there": (signed(cell("predictions", "nowhere.csv.gz")), "finetune/nowhere.csv.gz cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_a_bad_table_of_runs_is_named(toy, damage, said):
    damage(toy / "runs.csv")
    with refused(said, AGAIN, unchanged=toy):
        load_evaluation("toy", "field")


BAD_LEDGERS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, "No such file or directory"),
    "a folder": (folder, "Is a directory"),
    "empty": (whole(b""), "Invalid JSON"),
    "cut off": (cut(30), "Invalid JSON"),
    "UTF-16": (recoded("utf-16"), "Invalid JSON"),
    "a list": (whole(b"[]"), "Input should be an object (got [])"),
    "another version": (in_json(lambda c: c.update(schema_version=1)), "schema_version: Input should be 4 (got 1)"),
    "an unknown field": (in_json(lambda c: c.update(extra=1)), "extra"),
    "no verdicts": (in_json(lambda c: c.pop("verdicts")), "field 'verdicts' is missing"),
    "a verdict of its own": (in_json(lambda c: c["verdicts"][0].update(verdict="proven")), "verdicts.0.verdict: Input should be"),
    "a claim without a rule": (in_json(lambda c: c["verdicts"][3].pop("rule")), "field 'verdicts.3.rule' is missing"),
    "another study's": (in_json(lambda c: c.update(study="mini")), "it is of study 'mini'"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), BAD_LEDGERS.values(), ids=BAD_LEDGERS)
def test_a_bad_ledger_is_named(toy, damage, said):
    """The results are the reader's own, so that no ledger that came along stands in for it."""
    damage(ledger_path("toy"))
    again = "accepted: one that notebook 13_claims wrote for study 'toy', run it again"
    with refused(f"claims ledger {ledger_path('toy')} cannot be read", said, again, unchanged=toy):
        read_ledger("toy")
