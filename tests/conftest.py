"""Shared fixtures: a results folder per test, simulated results, the built book, and one browser for the whole session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import Browser, Page, Request, sync_playwright
from refusal import listing

from pretraining_gain.bench.simulated import write_run
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.paths import cache_root, results_root
from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import load_study, study_names
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.tables import write_tables
from pretraining_gain.workflow import book_studies

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PRETRAINING_GAIN_THREADS", "1")
MAIN = book_studies()[0]  # the main study of the book
PATIENCE_MS = 300_000  # bounds every wait in the browser, so that a hanging page fails; no measure of speed
os.fsync = lambda handle: None  # no test cuts the power, and thousands of small files wait for the disk
_SIMULATED = tempfile.TemporaryDirectory()  # of the session
#: Modules that train networks, run notebooks and workflows, simulate many studies, or read all predictions of the main one.
SLOW = (
    "test_anchors", "test_backbones", "test_bench", "test_compute", "test_controls", "test_devices", "test_execute",
    "test_faults", "test_features", "test_growth", "test_headlines", "test_machine", "test_notebooks", "test_own_study",
    "test_paper_study", "test_places", "test_playground", "test_playground_lab", "test_prepare", "test_resume",
    "test_slurm", "test_stale", "test_starts", "test_toy", "test_weights", "test_what_if", "test_workflow",
)  # fmt: skip
#: Fixtures of simulated results of `mini`, which take long to make.
_OF_MINI = {"mini", "mini_results", "own_mini_results"}
#: Modules and fixtures that write in this checkout, or copy it.
_IN_CHECKOUT = {"test_paper_study", "test_places", "test_stale", "test_workflow", "project", "clean_pages"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they need, so that `make check` can leave them out: fixtures, slow modules, commands of their own.

    Group them for pytest-xdist: those of a module run in one process, one after the other, as do all that write in this checkout,
    and all that need the simulated results of `mini`.
    """
    for item in items:
        needs = {item.path.stem, *getattr(item, "fixturenames", ())}
        for name in {"project", "small_book", "browser"} & needs:
            item.add_marker("browser" if name == "browser" else "book")
        if item.path.stem in SLOW or "checkout" in needs or "subprocess" in item.function.__code__.co_names:
            item.add_marker("slow")
        shared = "checkout" if _IN_CHECKOUT & needs else "mini" if _OF_MINI & needs else item.path.stem
        item.add_marker(pytest.mark.xdist_group(shared))


RECIPE = Recipe(
    epochs=3, batch_size=16, lr=0.05, lr_step_epochs=2, momentum=0.9, weight_decay=1e-4, freeze_backbone=False,
    frozen_batchnorm="eval", frozen_views=0, image_size_px=32, resize_px=32, crop_scale_min=0.5, flip=True,
)  # fmt: skip


def toy_pictures() -> ImageSet:
    """Return eight toy classes with six pictures each."""
    source = load_study("toy").source.model_copy(update={"train_images_per_class": 6})
    return load_images(source, load_class_table("toy_source").loc[:7], "train", 32)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def keep_results_in(place: Path, patch: pytest.MonkeyPatch) -> None:
    """Read and write results and cache in a folder while `patch` holds."""
    patch.setenv("PRETRAINING_GAIN_RESULTS", str(place / "results"))
    patch.setenv("PRETRAINING_GAIN_CACHE", str(place / "cache"))


def copy_project(root: Path) -> None:
    """Copy what the workflow reads, without predictions and without what runs and builds of this checkout made."""
    left_out = shutil.ignore_patterns("executed", "__pycache__", "*.safetensors", "*.csv.gz", "*.checkpoint.pt")
    for name in ("Snakefile", "Makefile", "CITATION.cff", "_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    for name in ("src", "notebooks", "book", "profiles", "results"):
        shutil.copytree(ROOT / name, root / name, ignore=left_out)
    for made in ("toy", "paper"):
        shutil.rmtree(root / "results" / made, ignore_errors=True)


def do_runs(study: str) -> None:
    """Do all runs of a study in this process."""
    for run in finetuning_runs(study):
        pretrain(run.pretraining)
        finetune(run)


def simulate_results(study_name: str, gain: float = 0.2, scratch: float = 0.3) -> None:
    """Write seeded records and predictions of every run: `scratch` is top-1 from scratch, and pretrained ones get `gain` more.

    Those of a study of the project are made once per session and copied, with what the tables left in the cache.
    """
    if study_name in study_names():
        made = simulated(study_name, gain, scratch)
        for kept, place in ((f"results/{study_name}", results_root() / study_name), ("cache", cache_root())):
            shutil.copytree(made / kept, place, copy_function=shutil.copy, dirs_exist_ok=True)
    else:
        _simulate(study_name, gain, scratch)


def simulated(study_name: str, gain: float = 0.2, scratch: float = 0.3) -> Path:
    """Simulate the results of a study once a session. Return the folder that has them, and a cache, for reading only."""
    place = Path(_SIMULATED.name, f"{study_name}-{gain}-{scratch}")
    if not place.exists():
        with pytest.MonkeyPatch.context() as patch:
            keep_results_in(place, patch)
            _simulate(study_name, gain, scratch)
    return place


def _simulate(study_name: str, gain: float, scratch: float) -> None:
    for run in finetuning_runs(study_name):
        top1, per_class = scratch + gain * (run.pool != "scratch"), min(run.images.eval_images_per_class, 20)
        write_run(run, 100 * run.images.n_classes, top1, per_class)
    for start in pretraining_runs(study_name):
        write_run(start, 1000 * start.k)
    write_tables(study_name)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test an empty results folder and cache."""
    keep_results_in(tmp_path, monkeypatch)
    return tmp_path / "results"


@pytest.fixture
def mini_results(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give simulated results of `mini`, which all tests read and none writes."""
    place = simulated("mini")
    keep_results_in(place, monkeypatch)
    before = listing(place / "results")
    yield place / "results"
    assert listing(place / "results") == before


@pytest.fixture
def own_mini_results(results: Path) -> Path:
    """Give one test its own copy of simulated results of `mini`."""
    simulate_results("mini")
    return results


@pytest.fixture
def photographs(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Find the real datasets of `mini`, or skip the test."""
    for place in (os.environ.get("PRETRAINING_GAIN_DATA"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "caltech-101").is_dir():
            monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(place))
            return Path(place)
    pytest.skip("no data: set PRETRAINING_GAIN_DATA, or run `make data STUDY=mini`")


@pytest.fixture
def bird(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write two classes of `cifar-10/train`, `bird` and `cat`, with four PNG files each; return the folder of the first."""
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("bird", "cat"):
        folder = tmp_path / "data" / "cifar-10" / "train" / name
        folder.mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:04d}.png")
    return folder.with_name("bird")


@pytest.fixture
def inat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write iNaturalist 2021 in its official layout, in miniature; return its folder."""
    from official import make_inat

    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    make_inat(tmp_path / "data" / "inat2021")
    return tmp_path / "data" / "inat2021"


@pytest.fixture
def small_study(tmp_path: Path) -> str:
    """Write the toy study cut down to seconds (one seed, pools `all` and `animal` 4, few images, two epochs); return its path."""
    path = str(shutil.copy(ROOT / "notebooks" / "studies" / "toy.yml", tmp_path / "small.yml"))
    changes = {
        "name: toy\n": "name: small\n",
        "seeds: [0, 1, 2]": "seeds: [0]",
        "  animal: [4, 12]\n  non_animal: [4, 12]\n  random: [12]\n": "  animal: [4]\n",
        "train_images_per_class: 50": "train_images_per_class: 8",
        "train_images_per_class: 20": "train_images_per_class: 4",
        "eval_images_per_class: 30": "eval_images_per_class: 5",
        "epochs: 12, lr_step_epochs: 4": "epochs: 2, lr_step_epochs: 1",
        "epochs: 15, lr_step_epochs: 5": "epochs: 2, lr_step_epochs: 1",
        "changes: {batch_size: 64, image": "changes: {epochs: 2, batch_size: 64, image",
    }
    change_study(path, changes)
    return path


@pytest.fixture
def one_target(small_study: str) -> str:
    """Leave `small_study` its first target: two pretrainings, three finetunings."""
    text = Path(small_study).read_text()
    Path(small_study).write_text(text[: text.index("  - name: clean")] + text[text.index("throughput:") :])
    return small_study


@pytest.fixture
def clean_pages() -> Iterator[None]:
    """Remove the executed notebooks of `small_study` afterwards."""
    yield
    shutil.rmtree(ROOT / "book" / "executed" / "small", ignore_errors=True)


def change_study(path: str, changes: dict[str, str]) -> None:
    """Replace texts in a study file; each must be present."""
    text = Path(path).read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    Path(path).write_text(text)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bring the toy study and the executed notebooks of this checkout up to date; build the book of a copy with two more studies.

    That of `odd` has simulated results, and names that nothing may read as code. That of `birds` is made as README says.
    Returns the copy, whose package is read-only and beside which `printed` holds what `make reproduce` said.
    """
    from birds import make_birds
    from odd import write_odd_study

    copy = tmp_path_factory.mktemp("project") / "copy"
    train_toy()
    _snakemake(ROOT, ROOT / "src", "--omit-from", "book")
    ignored = shutil.ignore_patterns("_build", ".git", ".venv", ".snakemake", "runs", "data", "cache", "again", "*.safetensors")
    shutil.copytree(ROOT, copy, ignore=ignored)
    study = write_odd_study(copy.parent, copy / "src" / "pretraining_gain" / "metadata")
    simulate = f"from conftest import simulate_results; simulate_results({str(study)!r})"
    paths = os.pathsep.join([str(copy / "src"), str(copy / "tests")])
    done = subprocess.run([sys.executable, "-c", simulate], cwd=copy, env=_environment(paths), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    _snakemake(copy, copy / "src", "--omit-from", "book", "--config", f"study={study}")
    for path in [copy / "src", *(copy / "src").rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    (copy.parent / "printed").write_text(make_birds(copy, _environment(copy / "src")))
    return copy


_RUNS_OF_TOY = """
import sys
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.plan.runs import finetuning_runs

starts = {}
for run in finetuning_runs("toy"):
    if starts.setdefault(run.pretraining, len(starts)) % 2 == int(sys.argv[1]):
        pretrain(run.pretraining)
        finetune(run)
"""


def train_toy() -> None:
    """Do the runs of `toy` in this checkout, in two processes. The workflow, which would start a kernel for each, finds them."""
    command = [sys.executable, "-c", _RUNS_OF_TOY]
    both = [subprocess.Popen([*command, part], cwd=ROOT, env=_environment(ROOT / "src")) for part in "01"]
    assert [one.wait() for one in both] == [0, 0]


def _environment(paths: Path | str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "PRETRAINING_GAIN_RESULTS"}
    return own | {"PYTHONPATH": str(paths)}


def _snakemake(folder: Path, source: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=folder, env=_environment(source), capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


@pytest.fixture(scope="session")
def book(project: Path) -> Path:
    """Return the folder of the built pages, of this checkout's book and one more study."""
    return project / "_build" / "html"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium or Chrome, else Playwright's own."""
    from pretraining_gain.tell.book.pdf import (
        CHROMIUMS,  # with the ledger and its statistics, which not every test needs
    )

    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found, args=flags) as running:
        yield running


def write_page(folder: Path, *parts: str) -> Path:
    """Write a page that holds HTML as the book's theme frames it, beside the book's scripts; return its path."""
    from pretraining_gain.tell.book.extension import add_applications  # Sphinx, which few tests need

    shutil.copytree(ROOT / "book" / "_static", folder / "_static", dirs_exist_ok=True)
    colours = "--pst-color-text-base:#222832;--pst-color-text-muted:#48566b;--pst-color-surface:#f3f4f5;--pst-color-link:#176de8;"
    colours += "--pst-color-primary:#0a7d91;--pst-color-border:#c9c9c9"
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>page</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="_static/book.css">'
        f"<style>html{{{colours}}}body{{font-family:sans-serif;margin:8px}}</style>"
        '<script src="_static/figures.js" defer></script></head>'
        f"<body><article>{add_applications(''.join(parts))}</article></body></html>",
        encoding="utf-8",
    )
    return folder / "page.html"


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """Give one test a page that runs no JavaScript."""
    with browser.new_context(java_script_enabled=False, offline=True) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


@lru_cache(maxsize=4)
def soup(book: Path, page: str) -> BeautifulSoup:
    """Return a page of the built book, such as `book/index`, for tests that only read it."""
    return BeautifulSoup((book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def settle(page: Page, act: Callable[[], object], selector: str, count: str) -> None:
    """Act and wait until the application at `selector` has counted up its attribute `count`: it has drawn or computed again."""
    before = int(page.locator(selector).get_attribute(count) or 0)
    act()
    page.wait_for_function(f"+document.querySelector('{selector}').getAttribute('{count}') > {before}")


class Watched:
    """A page without a network that collects console errors, uncaught errors and requests to anywhere but `home`.

    `home` is the start of allowed addresses: the disk, or a local server.
    """

    def __init__(self, browser: Browser, width: int = 1280, scheme: str = "light", home: str = "file:") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=home == "file:")
        context.set_default_timeout(PATIENCE_MS)
        self.home = home
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._asked)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the browser drops what it still loads when it leaves a page
            self.complaints.append(f"failed: {request.url}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.complaints.append(request.url)

    def open(self, path: Path) -> Page:
        self.page.goto(path.as_uri())
        return self.page

    def draw_all(self) -> list[int]:
        """Bring each figure into view, opening its tab first; return the number of marks in each."""
        page = self.page
        for label in [None, *page.locator(".sd-tab-set > label").all()]:
            if label:
                label.click()
            for figure in page.locator(".gain-figure:visible").all():
                figure.scroll_into_view_if_needed()
                figure.locator(".main-svg").first.wait_for()
        page.wait_for_function("!document.querySelector('.gain-figure:not([data-drawn])')")
        marks = "all => all.map(one => one.querySelectorAll('.trace path, .trace .point, .bars path').length)"
        return page.locator(".gain-figure").evaluate_all(marks)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds, however slow the machine; a caller includes the end of what it waits for."""
    while not condition():
        time.sleep(0.02)
