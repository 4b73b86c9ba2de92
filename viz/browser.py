"""A headless Chromium for what must be seen or used as a user does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from circuits.errors import UserError


@contextmanager
def chromium(what: str) -> Iterator[Any]:
    """A browser while the context lasts.

    Args:
        what: needs it, for the error.

    Raises:
        UserError: there is no Chromium on the path.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        raise UserError(f"{what}: expected chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
