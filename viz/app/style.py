"""The app's style on top of the report's, so that both are visibly one product, and its script."""

from importlib.resources import files

from viz.page.style import CSS as REPORT

_HERE = files("viz.app")
CSS = f"{REPORT}\n{_HERE.joinpath('app.css').read_text(encoding='utf-8')}"
SCRIPT = _HERE.joinpath("app.js").read_text(encoding="utf-8")
