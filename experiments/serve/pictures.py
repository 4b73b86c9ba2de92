"""Pictures of the pages: ``python -m experiments.serve.pictures report REPORT OUT [SECTION]`` and
``python -m experiments.serve.pictures app OUT [SUBJECT]``.

The app's are the page at 1180 px and, beside it, ``NAME-phone.png`` at 390 px in the dark theme.
"""

from pathlib import Path
from typing import Annotated

import typer

from circuits.errors import UserError
from experiments.serve.security import Access
from experiments.serve.server import in_background
from experiments.serve.subject import open_subject
from viz.browser import chromium

app = typer.Typer(add_completion=False)


@app.command("report")
def picture_report(
    report: Path, out: Path, section: Annotated[str | None, typer.Argument()] = None
) -> None:
    """Screenshot a report in Chromium: its top, or the section with this title."""
    if not report.is_file():
        raise UserError(f"picture: expected a report at {report}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with chromium("picture") as browser:
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.goto(report.resolve().as_uri())
        page.locator(".js-plotly-plot").nth(2).wait_for()
        page.wait_for_timeout(3000)  # plots are drawn one after the other
        shown = page if section is None else page.locator("section", has_text=section).first
        shown.screenshot(path=str(out))


@app.command("app")
def picture_app(out: Path, subject: Annotated[str, typer.Argument()] = "sure-gate") -> None:
    """Ask the first prompt and screenshot question, answers and next tokens."""
    out.parent.mkdir(parents=True, exist_ok=True)
    served = open_subject(subject, None, "", "", lambda *_: None)
    phone = out.with_name(f"{out.stem}-phone{out.suffix}")
    with in_background(served, Access("127.0.0.1", 0)) as url, chromium("picture") as browser:
        for path, width, height, theme in ((out, 1180, 1330, "light"), (phone, 390, 1500, "dark")):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            page.goto(url)
            page.locator("#bars .main-svg").first.wait_for()
            page.click("#ask")
            page.locator("#status", has_text="done").wait_for(timeout=60_000)
            page.locator("#bars .bars").first.wait_for()
            page.wait_for_timeout(1500)
            page.screenshot(path=str(path))
            page.close()


if __name__ == "__main__":
    app()
