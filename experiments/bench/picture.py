"""A picture of a report: ``python -m experiments.bench.picture REPORT OUT [SECTION]``."""

import shutil
import sys
from pathlib import Path

from circuits.errors import UserError


def picture(report: Path, out: Path, width: int = 1180, section: str | None = None) -> None:
    """Screenshot a report in Chromium: its top, or the section with this title.

    Raises:
        UserError: there is no Chromium, or no such report or section.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None or not report.is_file():
        raise UserError(f"picture: expected chromium on the path and a report at {report}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(report.resolve().as_uri())
        page.locator(".js-plotly-plot").nth(2).wait_for()
        page.wait_for_timeout(3000)  # plots are drawn one after the other
        if section is None:
            page.screenshot(path=str(out))
        else:
            page.locator("section", has_text=section).first.screenshot(path=str(out))
        browser.close()


if __name__ == "__main__":
    picture(Path(sys.argv[1]), Path(sys.argv[2]), section=(sys.argv[3:] or [None])[0])
