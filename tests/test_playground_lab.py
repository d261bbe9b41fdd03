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
from conftest import ROOT, simulate_results
from filelock import FileLock

from pretraining_gain.playground.choices import Choice
from pretraining_gain.playground.work import record_of

_PATIENCE_MS = 1_200_000  # only ends a wait that would never end


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
def lab(results, tmp_path) -> Iterator[str]:
    """Serve a copy of the notebook, beside simulated results of the toy study, in JupyterLab; yield its address."""
    simulate_results("toy")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "90_playground.ipynb", tmp_path / "notebooks")
    _quiet_settings(tmp_path / "settings")
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
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
        server.kill()  # asked to end, it may wait for a kernel for ever; kernels end with their server
        server.wait()


def _wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    """Wait until the server answers; fail with its log when it ends before."""
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=20).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


def _epochs(page) -> int:
    """Return how many epochs the curves show: each is a mark in two panels."""
    return page.locator(".js-plotly-plot").first.locator(".scatterlayer .point").count() // 2


def test_the_playground_trains_shows_curves_stops_and_shows_a_gain(lab, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    elsewhere: list[str] = []
    page.on(
        "request",
        lambda r: None if re.match(r"(https?|ws)://127\.0\.0\.1|data:|blob:", r.url) else elsewhere.append(r.url),
    )
    page.goto(lab)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.get_by_text("| Idle").wait_for()  # before, it would ask for a kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    train, stop = (page.get_by_role("button", name=name, exact=True) for name in ("Train", "Stop"))
    train.wait_for()
    status = page.locator("[role=status]", has_text=re.compile("rain|Done|Stop"))

    # What cannot be is not offered: k follows the pool.
    pool = page.get_by_label("Pretrain on")
    pool.select_option("from scratch")
    slider = page.locator(".widget-slider", has_text="How many classes (k)")
    slider.get_by_text("0", exact=True).wait_for()
    pool.select_option("animal classes")
    slider.get_by_text("12", exact=True).wait_for()
    page.get_by_text("Finished already: Train shows it and trains nothing.").wait_for()
    assert stop.is_disabled()
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Tab")
    page.get_by_text("To do: pretraining, finetuning, training from scratch; about").wait_for()

    record = record_of(Choice(study="toy", pool="animal", k=12, seed=7).run())
    record.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(record.with_suffix(".lock")):  # the finetuning waits, so that the training cannot end before Stop
        train.click()
        page.locator(".js-plotly-plot").first.locator(".scatterlayer .point").nth(1).wait_for()
        assert stop.is_enabled()
        assert train.is_disabled()
        assert pool.is_disabled()
        stop.click()
        status.filter(has_text="Stopped.").wait_for()
    page.get_by_role("button", name="Train", exact=True, disabled=False).wait_for()  # set after the text
    assert 1 <= _epochs(page) <= 12

    train.click()
    status.filter(has_text="Done. Gain").wait_for()
    assert _epochs(page) == 12 + 15 + 15
    assert re.search(r"Gain [+-]\d+\.\d points, 95 % interval [+-]\d+\.\d to [+-]\d+\.\d: .*seed 7", status.inner_text())
    gains = page.locator(".js-plotly-plot").nth(1)
    gains.get_by_text("yours: 12 animal classes, seed 7", exact=True).first.wait_for()
    gains.get_by_text("toy animals, field rendering, study toy").wait_for()
    assert gains.locator(".scatterlayer .point").count() == 6 + 6 * 3 + 1  # stored gains, their seeds, and the reader's
    assert elsewhere == []
    context.close()
