"""A real browser, which Debian calls chromium; pages are opened from their files."""

from __future__ import annotations

import os
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

_OWN = ("file:", "blob:", "data:")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail(f"these tests need a browser, one of {', '.join(_NAMES)}: apt-get install chromium")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page; at the end of the test nothing may have gone wrong in it, nor come from elsewhere."""
    faults, pages = [], []

    def opened(path, width=1200, height=800, dark=False):
        scheme = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
        page.on(
            "request",
            lambda asked: faults.append(asked.url) if not asked.url.startswith(("file:", "blob:", "data:")) else None,
        )
        page.on("requestfailed", lambda asked: faults.append(f"failed: {asked.url}"))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert not faults


@pytest.fixture
def violations():
    """What axe-core finds against the rules for people who see, hear or move differently."""

    def found(page):
        return [
            (rule["id"], [node["html"] for node in rule["nodes"]][:3])
            for rule in Axe().run(page).response["violations"]
        ]

    return found
