"""The playground in JupyterLab, driven in a real browser: train, watch the curves, stop, go on, see the gain."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

_MOST_S = 120_000  # milliseconds that one step of a training may take on a busy machine


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _quiet_settings(folder: Path) -> None:
    """No question about news, as a first start of JupyterLab asks, and no checks for updates."""
    settings = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
    for name, content in settings.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))


@pytest.fixture
def lab(book, tmp_path, monkeypatch) -> Iterator[str]:
    """A JupyterLab of its own on a copy of the notebook, beside copies of the toy study's results; its address."""
    shutil.copytree(ROOT / "results" / "toy", tmp_path / "results" / "toy")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "90_playground.ipynb", tmp_path / "notebooks")
    _quiet_settings(tmp_path / "settings")
    places = {"PRETRAINING_GAIN_RESULTS": "results", "PRETRAINING_GAIN_CACHE": "cache", "JUPYTER_CONFIG_DIR": "config",
              "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
              "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}  # fmt: skip
    environment = os.environ | {name: str(tmp_path / place) for name, place in places.items()}
    port, token = _free_port(), secrets.token_hex(16)
    options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--no-browser", "--allow-root",
               "--LabApp.news_url=None", "--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={tmp_path / 'notebooks'}",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log)
    try:
        _wait_for(server, f"http://127.0.0.1:{port}/api?token={token}", tmp_path / "lab.log")
        yield f"http://127.0.0.1:{port}/lab/tree/90_playground.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


def _points(page) -> int:
    """How many epochs the curves of training top-1 have, together."""
    curves = page.locator("polyline.curve").evaluate_all("all => all.map(one => one.getAttribute('points').split(' ').length)")
    return sum(curves) // 2


@pytest.mark.browser
def test_the_playground_trains_shows_curves_stops_and_shows_a_gain(lab, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda r: None if re.match(r"(https?|ws)://127\.0\.0\.1|data:|blob:", r.url) else elsewhere.append(r.url))
    page.goto(lab)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)  # before, it would ask for a kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    train, stop = (page.get_by_role("button", name=name, exact=True) for name in ("Train", "Stop"))
    train.wait_for(timeout=60_000)
    status = page.locator("[role=status]", has_text=re.compile("rain|Done|Stop"))

    # What cannot be is not offered: k follows the pool.
    pool = page.get_by_label("Pretrain on")
    pool.select_option("none: from scratch")
    slider = page.locator(".widget-slider", has_text="How many classes (k)")
    slider.get_by_text("0", exact=True).wait_for()
    pool.select_option("animal classes")
    slider.get_by_text("12", exact=True).wait_for()
    page.get_by_text("Finished already: Train shows it, and trains nothing.").wait_for()
    assert stop.is_disabled()
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Tab")
    page.get_by_text("To do: pretraining, finetuning, training from scratch; about").wait_for()

    train.click()
    page.wait_for_function("document.querySelectorAll('polyline.curve').length >= 2", timeout=_MOST_S)
    assert stop.is_enabled() and train.is_disabled() and pool.is_disabled()
    stop.click()
    status.filter(has_text="Stopped.").wait_for(timeout=_MOST_S)
    kept = _points(page)
    assert 1 <= kept < 42 and train.is_enabled()

    train.click()
    status.filter(has_text="Done. Gain").wait_for(timeout=_MOST_S)
    assert _points(page) == 12 + 15 + 15
    said = status.inner_text()
    assert re.search(r"Gain [+-]\d+\.\d%, 95 % interval [+-]\d+\.\d% to [+-]\d+\.\d%", said) and "seed 7" in said
    gains = page.locator("svg[aria-label^='Pretraining gain on toy animals, field rendering, study toy']")
    assert gains.locator("polygon.mine").count() == 1 and gains.locator("circle").count() > 20
    assert "yours: 12 animal classes, seed 7" in gains.get_attribute("aria-label")
    assert elsewhere == []
    context.close()
