"""Pictures of the app: ``python -m experiments.serve.picture docs/app.png [SUBJECT]``.

Writes the page at 1180 px and, beside it, ``NAME-phone.png`` at 390 px in the dark theme.
"""

import shutil
import sys
from pathlib import Path

from circuits.errors import UserError
from experiments.serve.security import Access
from experiments.serve.server import in_background
from experiments.serve.subject import open_subject


def picture(out: Path, subject: str) -> None:
    """Ask the first prompt and screenshot question, answers and next tokens.

    Raises:
        UserError: there is no Chromium or no such subject.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise UserError("picture: expected chromium on the path")
    out.parent.mkdir(parents=True, exist_ok=True)
    found = open_subject(subject, None, "", "", lambda *_: None)
    phone = out.with_name(f"{out.stem}-phone{out.suffix}")
    with in_background(found, Access("127.0.0.1", 0)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for path, width, height, dark in ((out, 1180, 1330, False), (phone, 390, 1500, True)):
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
            )
            page.goto(url)
            page.locator("#bars .main-svg").first.wait_for()
            page.click("#ask")
            page.locator("#status", has_text="done").wait_for(timeout=60_000)
            page.locator("#bars .bars").first.wait_for()
            page.wait_for_timeout(1500)
            page.screenshot(path=str(path))
            page.close()
        browser.close()


if __name__ == "__main__":
    picture(Path(sys.argv[1]), (sys.argv[2:] or ["sure-gate"])[0])
