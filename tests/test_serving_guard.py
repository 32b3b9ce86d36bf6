"""Who may ask: tokens, links, hosts and origins, over every route there is."""

import asyncio
import itertools
import socket
import time

import httpx
import pytest
from serving_kit import TOKEN, make_models, serving

from mezzotint.cli import main
from mezzotint.errors import ConfigError
from mezzotint.serving.app import create_app
from mezzotint.serving.guard import OPEN
from mezzotint.serving.settings import Settings, host_name, is_loopback

pytestmark = pytest.mark.timeout(120)
WRONG = {
    "none": {},
    "wrong": {"authorization": "Bearer " + "x" * 32},
    "empty": {"authorization": "Bearer"},
    "basic": {"authorization": f"Basic {TOKEN}"},
    "another header": {"x-token": TOKEN},
    "cookie": {"cookie": f"mezzotint={TOKEN}"},
    "prefix": {"authorization": f"Bearer {TOKEN[:-1]}"},
    "longer": {"authorization": f"Bearer {TOKEN}x"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(root):
    with serving(root, "--token", TOKEN) as running:
        yield running


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def routes(app) -> set[tuple[str, str]]:
    """Every method and path that anything answers, found in the application itself."""
    found, waiting = set(), [("", route) for route in app.routes]
    while waiting:
        prefix, route = waiting.pop()
        inner = getattr(route, "original_router", route)
        path = prefix + (getattr(route, "path", "") or "")
        waiting += [(path, one) for one in getattr(inner, "routes", None) or ()]
        if not getattr(inner, "routes", None):
            assert path, f"a route of an unknown kind: {route}"
            found |= {(method, path) for method in getattr(route, "methods", None) or ["GET"]}
    return found


def test_every_route_wants_the_token(client, root):
    known = routes(create_app(Settings(root)))
    assert ("POST", "/v1/images/generations") in known
    assert {("GET", "/metrics"), ("GET", "/openapi.json")} <= known
    for (method, path), (name, headers) in itertools.product(known, WRONG.items()):
        place = path.replace("{", "").replace("}", "") or "/"
        for query in ("", f"?token={TOKEN}&key={TOKEN}"):
            status = client.request(method, place + query, headers=headers).status_code
            wanted = (200, 405) if path in OPEN else (401,)
            assert status in wanted, (method, path, name, query, status)


def test_what_is_open_tells_nothing():
    assert {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"} == OPEN


def test_the_token_opens(client):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    assert client.get("/nothing", headers=headers).status_code == 404
    assert client.get("/nothing").status_code == 401
    refused = client.get("/v1/models")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["type"] == "authentication_error"


def test_the_link_works_once_and_gives_a_cookie_that_scripts_cannot_read(server, client):
    place = server.greeting.split()[-1].replace("localhost", "127.0.0.1")
    first = client.get(place)
    assert first.status_code == 303
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/v1/models").status_code == 200  # the client keeps the cookie
    with server.client() as other:
        assert other.get(place).status_code == 401
        assert other.get("/login?key=").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "8.8.8.8", "[::2]:1"]
)
def test_names_that_were_rebound_are_refused(client, host):
    headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
    for path in ("/v1/models", "/livez", "/login"):
        assert client.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://[bad"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    ],
)  # fmt: skip
def test_other_pages_are_refused(client, headers):
    headers = {**headers, "authorization": f"Bearer {TOKEN}"}
    answer = client.post("/v1/images/generations", json={"prompt": ""}, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_our_own_page_is_not(server, client):
    headers = {"origin": server.url, "sec-fetch-site": "same-origin"}
    headers["authorization"] = f"Bearer {TOKEN}"
    answer = client.post("/v1/images/generations", json={"prompt": ""}, headers=headers)
    assert answer.status_code == 200


def test_every_answer_has_a_strict_policy(client):
    for path in ("/livez", "/v1/models", "/nothing", "/login"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_an_open_address_without_a_token_is_refused(root, capsys):
    for host in ("0.0.0.0", "::", "192.168.1.5"):
        with pytest.raises(SystemExit) as ended:
            main(["serve", str(root), "--host", host])
        assert ended.value.code == 78
        assert "--token" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="guessed"):
        Settings(root, token="short")
    with pytest.raises(ConfigError, match="31 letters"):
        Settings(root, host="0.0.0.0", token="x" * 31)
    assert Settings(root, host="0.0.0.0", token="x" * 32).token


def test_a_missing_folder_and_a_taken_port(tmp_path, root, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(tmp_path / "none")])
    assert ended.value.code == 66
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as ended:
            main(["serve", str(root), "--port", str(taken.getsockname()[1])])
    assert ended.value.code == 75


def test_hosts():
    names = ["[::1]:80", "::1", "localhost:8000", "LOCALHOST", "127.0.0.1"]
    found = [host_name(name) for name in names]
    assert found == ["::1", "::1", "localhost", "localhost", "127.0.0.1"]
    assert all(is_loopback(host_name(name)) for name in names)
    assert not any(is_loopback(name) for name in ("0.0.0.0", "example.org", "", "::", "10.0.0.1"))


def closed_after(port: int, text: bytes, seconds: float, drip: bytes = b"") -> float:
    """Seconds until the server closes a connection on which little comes."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(text)
        line.settimeout(0.5)
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            try:
                if not line.recv(65536):
                    return time.monotonic() - started
            except TimeoutError:
                if drip:
                    line.sendall(drip)
            except ConnectionError:
                return time.monotonic() - started
    return float("inf")


def test_slow_heads_are_cut_and_nobody_waits_for_them(server):
    heads = {"nothing": b"", "half": b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"}
    assert 8 < closed_after(server.port, heads["nothing"], 15) < 13
    lines = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    for line in lines:
        line.sendall(heads["half"])
    started = time.monotonic()
    assert httpx.get(f"{server.url}/livez").status_code == 200
    assert time.monotonic() - started < 1
    for line in lines:
        line.close()


def test_a_slow_head_is_cut_however_it_drips(server):
    head = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    assert 8 < closed_after(server.port, head, 15, drip=b"a: b\r\n") < 13


def test_slow_bodies_are_refused():
    from mezzotint.serving.guard import Bounded
    from mezzotint.serving.refusing import Refusal

    async def never():
        await asyncio.sleep(60)

    async def wait():
        await Bounded(never, 100, 0.05)()

    with pytest.raises(Refusal) as refused:
        asyncio.run(wait())
    assert refused.value.status == 408


def test_many_headers_are_refused(client):
    headers = [(f"x-{at}", "1") for at in range(150)]
    assert client.get("/livez", headers=headers).status_code == 431
    assert client.get("/livez").elapsed.total_seconds() < 0.5
