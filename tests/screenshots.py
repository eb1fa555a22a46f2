"""The pictures of the documentation: python tests/screenshots.py RUN [LABELS], a run with a page and a table with one.

They are those of docs/pictures: small, and made again when the pages change.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH = 1100


def kept(page: Page, name: str, height: int | None = None) -> None:
    """As a PNG of few colours, for such pictures are not looked at closely."""
    page.wait_for_timeout(600)
    image = Image.open(io.BytesIO(page.screenshot()))
    if height is not None:
        image = image.crop((0, 0, image.width, height))
    image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def main() -> None:
    run = Path(sys.argv[1])
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": WIDTH, "height": 640}, color_scheme="light")
        page.goto((run / "explore" / "index.html").resolve().as_uri())
        page.wait_for_selector(".card")
        page.select_option("#sort", "purity" if page.locator("#sort option[value=purity]").count() else "size")
        kept(page, "explorer")
        page.locator(".card").nth(4).click()
        page.wait_for_selector(".item")
        page.get_by_label("Name").fill("Horses")
        page.locator(".item").nth(3).click()
        kept(page, "cluster")
        page.fill("#search", "Horses")
        page.wait_for_selector("h3")
        kept(page, "search", 260)
        page.goto((run / "report.html").resolve().as_uri())
        page.set_viewport_size({"width": WIDTH, "height": 1400})
        page.evaluate("document.querySelector('img').scrollIntoView()")
        kept(page, "report", 900)
        phone = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme="dark")
        phone.goto((run / "explore" / "index.html").resolve().as_uri())
        phone.wait_for_selector(".card")
        kept(phone, "phone")
        if len(sys.argv) > 2:
            page.set_viewport_size({"width": WIDTH, "height": 520})
            page.goto((Path(sys.argv[2]) / "index.html").resolve().as_uri())
            page.wait_for_selector(".card")
            kept(page, "items")
        browser.close()


if __name__ == "__main__":
    main()
