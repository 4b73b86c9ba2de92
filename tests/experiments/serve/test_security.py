"""Who is answered, and what pages may load; each check with a request that passes it."""

import re
from contextlib import closing

import pytest

from circuits.errors import UserError
from experiments.serve.security import (
    GUESSING_S,
    MOST_GUESSES,
    Access,
    Guesses,
    checked_access,
    given_token,
)
from experiments.serve.server import build
from experiments.serve.worker import Worker

HOST, TOKEN = "127.0.0.1:8050", "a-long-enough-token"


@pytest.fixture(scope="module")
def apps(subject):
    worker = Worker()
    yield {
        token: build(subject, worker, Access("127.0.0.1" if not token else "0.0.0.0", 8050, token))
        for token in ("", TOKEN)
    }
    worker.close()


def client(apps, token=""):
    return apps[token].server.test_client()


def test_only_our_own_host_names_are_answered(apps):
    ask = client(apps).get
    assert ask("/", headers={"Host": HOST}).status_code == 200
    assert ask("/", headers={"Host": "localhost:8050"}).status_code == 200
    assert ask("/", headers={"Host": "localhost:9000"}).status_code == 200  # through a tunnel
    for host in ("evil.example:8050", "127.0.0.1.evil.example", "evil.example", "[::2]:8050"):
        assert ask("/", headers={"Host": host}).status_code == 421


def test_a_post_must_come_from_the_apps_page(apps):
    def post(**headers):
        url = "/_dash-update-component"
        return client(apps).post(url, json={}, headers={"Host": HOST, **headers}).status_code

    assert post(Origin=f"http://{HOST}") != 403
    assert post(Origin="http://evil.example") == 403
    assert post(Origin="null") == 403
    assert post() == 403


def test_pages_load_nothing_from_elsewhere(apps):
    answer = client(apps).get("/", headers={"Host": HOST})
    policy = answer.headers["Content-Security-Policy"]
    scripts = next(p for p in policy.split("; ") if p.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    text = answer.get_data(as_text=True)
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_large_requests_are_refused(apps):
    headers = {"Host": HOST, "Origin": f"http://{HOST}", "Content-Type": "application/json"}
    url = "/_dash-update-component"
    sent = client(apps).post(url, data=b"x" * 300_000, headers=headers)
    assert sent.status_code == 413
    assert client(apps).post(url, data=b"{}", headers=headers).status_code != 413


def test_the_token_opens_the_page_and_its_cookie_keeps_it_open(apps):
    browser = client(apps, TOKEN)
    assert browser.get("/").status_code == 401
    assert browser.get("/?token=wrong-wrong-wrong-wrong").status_code == 401
    first = browser.get(f"/?token={TOKEN}")
    assert first.status_code == 302
    assert TOKEN not in first.headers["Location"]
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert browser.get("/").status_code == 200
    assert client(apps, TOKEN).get("/").status_code == 401


def test_wrong_tokens_are_counted_and_the_right_one_is_not_locked_out(subject):
    with closing(Worker()) as worker:
        server = build(subject, worker, Access("0.0.0.0", 8050, TOKEN)).server
        owner = server.test_client()
        owner.get(f"/?token={TOKEN}")
        guess = server.test_client().get
        wrong = [guess(f"/?token={n}-wrong-wrong-wrong").status_code for n in range(14)]
        assert wrong == [401] * MOST_GUESSES + [429] * 4
        assert "Retry-After" in guess("/?token=another-wrong-one").headers
        assert owner.get("/").status_code == 200
        assert guess(f"/?token={TOKEN}").status_code == 302
        guess = server.test_client().get  # without the cookie that it has now
        near = [guess(f"/?token={TOKEN[:-1]}{n}").status_code for n in range(11)]
        assert near == [401] * MOST_GUESSES + [429]
        other = guess(f"/?token={TOKEN}", environ_base={"REMOTE_ADDR": "10.0.0.9"})
        assert other.status_code == 302


def test_guesses_are_forgotten_after_a_minute_and_bounded():
    now = [0.0]
    guesses = Guesses(clock=lambda: now[0])
    for _ in range(MOST_GUESSES):
        assert not guesses.spent(("a", False))
        guesses.wrong(("a", False))
    assert guesses.spent(("a", False))
    assert not guesses.spent(("b", False))
    assert not guesses.spent(("a", True))
    now[0] = GUESSING_S + 1
    assert not guesses.spent(("a", False))
    for n in range(10_000):
        guesses.wrong((str(n), False))
    assert len(guesses._wrong) <= 4096


def test_a_cookie_ends_with_its_server(subject):
    with closing(Worker()) as worker:
        first, second = (
            build(subject, worker, Access("0.0.0.0", 8050, TOKEN)).server for _ in range(2)
        )
        browser = first.test_client()
        cookie = browser.get(f"/?token={TOKEN}").headers["Set-Cookie"].split(";")[0]
        ask = {"headers": {"Cookie": cookie}}
        assert first.test_client(use_cookies=False).get("/", **ask).status_code == 200
        assert second.test_client(use_cookies=False).get("/", **ask).status_code == 401


def test_paths_out_of_the_served_libraries_are_not_found_and_not_logged(apps, capsys):
    ask = client(apps).get
    for path in ("..%2f..%2fetc/passwd", "../../etc/passwd", "os/os.py", "dash/../../x", "dash/x"):
        answer = ask(f"/_dash-component-suites/{path}", headers={"Host": HOST})
        assert answer.status_code == 404, path
    assert capsys.readouterr().err == ""
    page = ask("/", headers={"Host": HOST}).get_data(as_text=True)
    there = re.search(r'src="(/_dash-component-suites/[^"]+)"', page)
    assert ask(there[1], headers={"Host": HOST}).status_code == 200


def test_a_token_comes_from_a_file_too(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert given_token("", file) == TOKEN
    assert given_token(TOKEN, None) == TOKEN
    with pytest.raises(UserError, match=r"^token: expected one of --token-file and "):
        given_token(TOKEN, file)
    for content in (b"", b"two words", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"^--token-file .*: expected "):
            given_token("", file)
    with pytest.raises(UserError, match="No such file"):
        given_token("", tmp_path / "gone")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::"])
def test_addresses_beyond_loopback_are_refused_without_flag_and_token(host):
    for allow, token in ((False, ""), (True, ""), (False, TOKEN)):
        with pytest.raises(UserError, match="--allow-remote"):
            checked_access(host, 8050, allow, token)
    with pytest.raises(UserError, match="16 characters"):
        checked_access(host, 8050, True, "short")
    assert checked_access(host, 8050, True, TOKEN).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_neither(host):
    assert checked_access(host, 0, False, "").token == ""
