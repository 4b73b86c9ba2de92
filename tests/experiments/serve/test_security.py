"""Who is answered, and what pages may load; each check with a request that passes it."""

import pytest

from circuits.errors import UserError
from experiments.serve.security import Access, checked_access
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
