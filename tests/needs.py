"""What some tests need of a machine: a failure under CI where it is missing, elsewhere a skip."""

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

import pytest

_DEV = "pip install -e '.[dev]'"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def lacking(what: str, install: str) -> NoReturn:
    """Ends the test: failed where CI is set, skipped elsewhere."""
    text = f"{what} is missing: {install}"
    if os.environ.get("CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def module(name: str, install: str = _DEV) -> ModuleType:
    """An imported module that the machine may lack."""
    try:
        return importlib.import_module(name)
    except ImportError:
        lacking(name.partition(".")[0], install)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, headless."""
    sync_api = module("playwright.sync_api")
    path = shutil.which("chromium") or lacking("chromium", "apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        yield instance
        instance.close()


def accessibility_faults(tab: Any) -> list[dict[str, Any]]:
    """What axe finds wrong on an open page."""
    return module("axe_playwright_python.sync_playwright").Axe().run(tab).response["violations"]
