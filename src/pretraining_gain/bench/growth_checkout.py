"""A copy of the project in which a study of the paper's size has simulated results, its notebooks, and the book built.

The real checkout, its results and its book stay as they are.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, project_root

#: What of a checkout the book is made of.
_FOLDERS = ("src", "book", "notebooks", "profiles", "results")
_PARTS = (*_FOLDERS, "_config.yml", "_toc.yml", "Snakefile", "pyproject.toml", "CITATION.cff")
_LEFT = shutil.ignore_patterns("executed", "__pycache__", "*.lock", "toy", "paper")
#: Runs of the toy study, which are trained in the copy; its pages show them.
_TRAINED: dict[str, list[str]] = {"01_pretrain": [], "02_finetune": ["downstream field"]}


@dataclass(frozen=True)
class Took:
    """What a process and those it started took: seconds by the clock and of processors, and the largest one's memory."""

    seconds: float
    cpu_s: float
    peak_mb: float

    def row(self) -> dict[str, float]:
        return {"seconds": round(self.seconds, 1), "cpu_s": round(self.cpu_s, 1), "peak_mb": round(self.peak_mb)}


@dataclass(frozen=True)
class Checkout:
    """A copy below `root`, with places of its own for results, cache and prepared data."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Checkout:
        for name in _PARTS:
            source, target = project_root() / name, root / "project" / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=_LEFT, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        return cls(root)

    @property
    def project(self) -> Path:
        return self.root / "project"

    def environment(self, data: Path | None = None) -> dict[str, str]:
        places = {"RESULTS": self.project / "results", "CACHE": self.root / "cache", "PREPARED": self.root / "prepared"}
        places["DATA"] = data or data_root()
        own = {f"PRETRAINING_GAIN_{name}": str(place) for name, place in places.items()}
        return os.environ | own | {"PYTHONPATH": str(self.project / "src"), "PRETRAINING_GAIN_THREADS": "1"}

    def run(self, *arguments: str, data: Path | None = None) -> tuple[str, Took]:
        """Run Python with these arguments, alone; its output and what it took. Raises `InputError` where it fails."""
        log, start = self.root / "log", time.perf_counter()
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.project,
                env=self.environment(data),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        said = log.read_text(encoding="utf-8", errors="replace")
        if process.returncode:
            raise InputError(f"`python {' '.join(arguments)}` failed: {said[-2000:]}")
        unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
        return said, Took(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / unit)

    def task(self, name: str, data: Path | None = None, **given: object) -> dict[str, Any]:
        """A task of `growth_tasks`: what it tells, and its peak memory."""
        arguments = [f"{key}={value}" for key, value in given.items()]
        said, took = self.run("-m", "pretraining_gain.bench.growth_tasks", name, *arguments, data=data)
        return json.loads(said.strip().splitlines()[-1]) | {"peak_mb": round(took.peak_mb)}

    def pages(self) -> list[tuple[str, str]]:
        """(study, or nothing, page) of each executed notebook of the book."""
        toc = yaml.safe_load((self.project / "_build" / "_toc.yml").read_text(encoding="utf-8"))
        files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
        found = [re.fullmatch(r"book/executed/(?:(\w+)/)?(\w+)", file) for file in files]
        return [(match[1] or "", match[2]) for match in found if match]

    def execute(self, study: str, page: str) -> tuple[Path, Took]:
        """Execute a notebook as the workflow does."""
        output = self.project / "book" / "executed" / study / f"{page}.ipynb"
        given = [f"study {study}"] if study else []
        parameters = [word for one in [*given, *_TRAINED.get(page, [])] for word in ("-p", *one.split())]
        _, took = self.run("-m", "pretraining_gain.execute", f"notebooks/{page}.ipynb", str(output), *parameters)
        return output, took

    def build(self) -> Took:
        """Build the book from nothing, warnings being errors."""
        shutil.rmtree(self.project / "_build", ignore_errors=True)
        return self.run("-m", "pretraining_gain.tell.book.build")[1]


@dataclass(frozen=True)
class Page:
    """A page of the built book: bytes of its HTML, and of what it loads from beside it."""

    path: str
    html: bytes
    assets: dict[str, bytes]

    @classmethod
    def read(cls, html_root: Path, path: Path) -> Page:
        content = path.read_bytes()
        loaded = {one for one in map(path.parent.joinpath, _loaded(content.decode())) if one.is_file()}
        for style in [one for one in loaded if one.suffix == ".css"]:
            loaded |= {
                one for one in map(style.parent.joinpath, _fonts(style.read_text(encoding="utf-8"))) if one.is_file()
            }
        if b'class="gain-figure"' in content:
            loaded.add(html_root / "_static" / "plotly.min.js")
        assets = {one.resolve().relative_to(html_root.resolve()).as_posix(): one.read_bytes() for one in loaded}
        return cls(path.relative_to(html_root).as_posix(), content, assets)

    def row(self) -> dict[str, Any]:
        packed = len(gzip.compress(self.html, 6))
        return {"page": self.path, "html_mb": len(self.html) / 1e6, "html_gzip_mb": packed / 1e6}

    def weight(self) -> dict[str, float]:
        """Megabytes of the page with all that it loads, compressed as a server would: text by gzip, the rest as it is."""
        parts = {"the page itself": self.html} | self.assets
        packed = {name: _as_sent(name, content) for name, content in parts.items()}
        return {name: size / 1e6 for name, size in sorted(packed.items(), key=lambda item: -item[1])}


def _as_sent(name: str, content: bytes) -> int:
    kept = name.endswith((".woff2", ".woff", ".png", ".jpg"))
    return len(content) if kept else len(gzip.compress(content, 6))


def _loaded(html: str) -> Sequence[str]:
    """What a browser loads by itself: scripts, styles, images; not what has to be asked for."""
    tags = re.findall(r"<(?:script|link|img)\b[^>]*>", html)
    wanted = re.compile(r'<(?:script|img)|rel="(?:stylesheet|preload|icon|shortcut icon)')
    found = [re.search(r'(?:src|href)="([^"#?:]+)', tag) for tag in tags if wanted.search(tag)]
    return [match[1] for match in found if match]


def _fonts(css: str) -> Sequence[str]:
    """Fonts that a style names in the form that today's browsers take."""
    return re.findall(r"url\(['\"]?([^)'\"?#]+\.woff2)", css)


def pages_of(html_root: Path) -> list[Page]:
    """Every page of a built book."""
    return [Page.read(html_root, path) for path in sorted(html_root.rglob("*.html")) if "_static" not in path.parts]
