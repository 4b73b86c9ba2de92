"""Who may talk to the app, and what its pages may load.

The app runs models on a user's machine, and any web page that a user visits can send requests to
loopback addresses. Therefore: the Host header must be one of ours (a rebound DNS name is not), a
POST must come from our own origin, and pages load nothing from elsewhere. Beyond loopback a token
is required, which a cookie carries after its first use; wrong ones are counted.
"""

import hmac
import ipaddress
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from dash.exceptions import DependencyException
from flask import Flask, Response, abort, redirect, request

from circuits.errors import UserError, expect, first_line

LEAST_TOKEN, MOST_BYTES, _MOST_TOKEN = 16, 256 * 1024, 4096
MOST_GUESSES, GUESSING_S, _GUESSERS = 10, 60.0, 4096
_PORT = re.compile(r":\d+$")
COOKIE = "gatescope_session"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Access:
    """Where the app listens and whom it answers.

    Attributes:
        host, port: bound.
        token: required of every request; empty on loopback.
    """

    host: str
    port: int
    token: str = ""

    @property
    def hosts(self) -> frozenset[str]:
        """Host names that are ours on loopback.

        The port is not looked at: behind a tunnel it is another one, and a page that rebinds its
        name to this machine cannot choose its name.
        """
        return frozenset({"localhost", "127.0.0.1", "[::1]", self.name})

    @property
    def name(self) -> str:
        """The host as it stands in an address."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        """Where a browser finds the app."""
        return f"http://{self.name}:{self.port}/"


class Guesses:
    """Wrong tokens of the last minute, by who gave them; those who are too many wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._wrong: OrderedDict[tuple[str, bool], deque[float]] = OrderedDict()

    def spent(self, who: tuple[str, bool]) -> bool:
        """Whether one may not guess now."""
        with self._lock:
            times = self._wrong.get(who, deque())
            while times and self._clock() - times[0] > GUESSING_S:
                times.popleft()
            return len(times) >= MOST_GUESSES

    def wrong(self, who: tuple[str, bool]) -> None:
        """One has guessed."""
        with self._lock:
            self._wrong.setdefault(who, deque(maxlen=MOST_GUESSES)).append(self._clock())
            self._wrong.move_to_end(who)
            while len(self._wrong) > _GUESSERS:
                self._wrong.popitem(last=False)


def given_token(typed: str, file: Path | None) -> str:
    """The token of ``--token`` (or the environment) or of a file's first line.

    Raises:
        UserError: both, or a file that cannot be read or is no line of text.
    """
    if file is None:
        return typed
    expect(not typed, "one of --token-file and GATESCOPE_TOKEN", "both", of="token")
    try:
        with file.open(encoding="utf-8") as lines:
            text = lines.read(_MOST_TOKEN).strip()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--token-file {file}: expected a file with the token, got {first_line(error)}"
        ) from error
    expect(len(text.split()) == 1, "one word", "none or several", of=f"--token-file {file}")
    return text


def checked_access(host: str, port: int, allow_remote: bool, token: str) -> Access:
    """Where to listen, or why not.

    Raises:
        UserError: an address beyond loopback without the flag or a long token, or no port.
    """
    length = len(token)
    expect(0 <= port <= 65535, "0 (any free one) to 65535", port, of="--port")
    expect(
        length == 0 or length >= LEAST_TOKEN,
        f"at least {LEAST_TOKEN} characters",
        length,
        of="token",
    )
    if not is_loopback(host) and not (allow_remote and token):
        raise UserError(
            f"--host {host}: expected a loopback address; others could run this model, so add "
            f"--allow-remote and a token of at least {LEAST_TOKEN} characters (GATESCOPE_TOKEN or "
            "--token-file)"
        )
    return Access(host, port, token)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def protect(server: Flask, access: Access, inline_scripts: Callable[[], Sequence[str]]) -> None:
    """Check every request and set the headers of every response.

    Args:
        inline_scripts: hashes of the scripts in the page, as they stand in the policy.
    """
    server.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    # What the cookie holds: made anew by every server. The token itself is stored nowhere.
    key, guesses = secrets.token_urlsafe(32), Guesses()

    @server.errorhandler(DependencyException)
    def unknown_library(_error: DependencyException) -> Response:
        return Response("no such file", 404)

    @server.before_request
    def check() -> Response | None:
        if is_loopback(access.host) and _PORT.sub("", request.host) not in access.hosts:
            abort(Response("unknown host", 421))
        own = f"{request.scheme}://{request.host}"
        reads = request.method in ("GET", "HEAD", "OPTIONS")
        if not reads and request.headers.get("Origin") != own:
            abort(Response("requests must come from the app's own page", 403))
        return _authorised(access.token, key, guesses) if access.token else None

    @server.after_request
    def headers(response: Response) -> Response:
        scripts = " ".join(["'self'", *inline_scripts()])
        policy = (
            f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        response.headers.update({"Content-Security-Policy": policy, **_HEADERS})
        return response


def _authorised(token: str, key: str, guesses: Guesses) -> Response | None:
    given = request.args.get("token")
    if given is not None:
        # The first half of a token is as good as a name: whoever does not know it cannot use up
        # the guesses of one who does.
        half = len(token) // 2
        who = (request.remote_addr or "", _equal(given[:half], token[:half]))
        if guesses.spent(who):
            wait = {"Retry-After": str(int(GUESSING_S))}
            abort(Response("too many wrong tokens: wait a minute", 429, wait))
        if _equal(given, token):
            kept = {k: v for k, v in request.args.items() if k != "token"}
            response = redirect(request.path + (f"?{urlencode(kept)}" if kept else ""))
            response.set_cookie(COOKIE, key, httponly=True, samesite="Strict")
            return response  # type: ignore[return-value]
        guesses.wrong(who)
    if not _equal(request.cookies.get(COOKIE, ""), key):
        abort(Response("expected the token that the app was started with: open /?token=...", 401))
    return None


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
