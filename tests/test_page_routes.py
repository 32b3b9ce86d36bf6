"""What the page asks for: runs read as they grow, and names that lead nowhere."""

import itertools
import json
import os
import re
import socket
import sys
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from page_kit import HOSTILE, go_on, make_running
from serving_kit import make_models
from test_serving_guard import routes

from mezzotint.runs.folder import claim
from mezzotint.serving import processes
from mezzotint.serving.app import create_app, guarded
from mezzotint.serving.comparing import table
from mezzotint.serving.datasets import Datasets, plain
from mezzotint.serving.paging import parts
from mezzotint.serving.reading import MOST_POINTS, Curve, Histories, pictures
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.settings import Settings

SECRET = "canary-9d1f"


@pytest.fixture
def root(tmp_path):
    make_models(tmp_path / "runs")
    (tmp_path / "secret.png").write_text(SECRET)
    return tmp_path / "runs"


@pytest.fixture
def client(root):
    app = create_app(Settings(root))
    return TestClient(guarded(app), base_url="http://localhost", raise_server_exceptions=False)


def runs_of(client) -> dict[str, dict]:
    client.app._app.state.hub.shelf.refresh()
    return {run["name"]: run for run in client.get("/v1/runs").json()["data"]}


def test_a_long_history_is_a_short_curve_of_the_same_means():
    curve, rng = Curve(), np.random.default_rng(0)
    losses = rng.random(10_000)
    for at, loss in enumerate(losses):
        curve.add({"images": (at + 1) * 32, "loss": loss, "step": at})
    columns = curve.columns()
    assert MOST_POINTS <= len(columns["loss"]) <= 2 * MOST_POINTS
    wanted = (
        losses[: curve.stride * (len(losses) // curve.stride)].reshape(-1, curve.stride).mean(1)
    )
    np.testing.assert_allclose(columns["loss"][: len(wanted)], wanted, rtol=1e-5)
    assert columns["images"][-1] == 320_000
    assert "step" not in columns


def test_histories_are_read_on_and_anew_after_a_roll_back(tmp_path):
    path, read = tmp_path / "history.jsonl", Histories()
    assert read.curve(path).rows == []
    path.write_text('{"images": 1, "loss": 5}\n{"images": 2, "lo')
    assert [row["loss"] for row in read.curve(path).rows] == [5]
    with path.open("a") as file:
        file.write('ss": 4}\nnonsense\n[1]\n{"images": 3, "loss": NaN, "event": {"what": "x"}}\n')
    curve = read.curve(path)
    assert curve.columns() == {"images": [1, 2, 3], "loss": [5, 4, None]}
    assert curve.events == [{"what": "x", "images": 3}]
    other = tmp_path / "other"
    other.write_text('{"images": 1, "loss": 7}\n' * 3)
    other.replace(path)
    assert read.curve(path).columns()["loss"] == [7, 7, 7]


def test_a_run_says_where_it_stands(client, root):
    folder = make_running(root, "live")
    go_on(folder, 100)
    go_on(folder, 250)
    run = runs_of(client)["live"]
    assert (run["status"], run["images"], run["progress"]) == ("interrupted", 250, 0.25)
    assert run["left"] == pytest.approx(750)
    assert run["headline"] == [{"name": "loss, held out", "key": "validation_loss", "value": 4.4}]
    assert run["preview"] == {"kind": "samples", "images": 250}
    with folder.hold():
        assert runs_of(client)["live"]["status"] == "running"
    whole = client.get(f"/v1/runs/{run['id']}").json()
    assert whole["curves"]["images"] == [100, 250]
    assert whole["pictures"] == {"samples": [100, 250]}
    found = client.get(f"/v1/runs/{run['id']}/pictures/samples/100")
    assert found.content == (folder.samples / "samples-000000100.png").read_bytes()
    again = client.get(found.url, headers={"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/v1/runs/{run['id']}/pictures/samples/99").status_code == 404


def test_damaged_and_hostile_files_spoil_nothing(client, root, tmp_path):
    lines = [
        '{"images": 1e999, "loss": NaN, "seconds": -1e999}',
        '{"images": "x", "progress": [1], "seconds": {}}',
        '{"images": 5, "loss": 1, "progress": null, "x": "\\ud800"}',
        "[" * 10_000,
        "\0" * 99,
    ]
    for at, line in enumerate(lines):
        folder = make_running(root, f"odd{at}")
        folder.history.write_text(line + "\n")
    for name, text in {
        "a": "{",
        "b": "[]",
        "c": '{"schema": 9}',
        "d": '{"schema": 1}',
        "e": "",
    }.items():
        (root / name).mkdir()
        (root / name / "run.json").write_text(text)
    found = runs_of(client)
    assert {f"odd{at}" for at in range(5)} <= set(found)
    assert found["b"]["error"]
    for run in found.values():
        assert client.get(f"/v1/runs/{run['id']}").status_code == 200


def test_nothing_behind_a_link_is_shown(client, root, tmp_path):
    folder = make_running(root, "linked")
    folder.samples.mkdir()
    (folder.samples / "samples-000000001.png").symlink_to(tmp_path / "secret.png")
    (folder.path / "train.log").symlink_to(tmp_path / "secret.png")
    folder.history.symlink_to(tmp_path / "secret.png")
    run = runs_of(client)["linked"]
    assert client.get(f"/v1/runs/{run['id']}").json()["pictures"] == {}
    assert client.get(f"/v1/runs/{run['id']}/pictures/samples/1").status_code == 404
    assert client.get(f"/v1/runs/{run['id']}/log").json() == {"lines": []}
    outside = tmp_path / "samples"
    outside.mkdir()
    (outside / "samples-000000002.png").write_text(SECRET)
    folder.samples.rename(tmp_path / "gone")
    folder.samples.symlink_to(outside)
    assert pictures(folder.samples) == {}
    with pytest.raises(Exception, match="cannot write"):
        processes.launch(folder.path, ["env"])
    assert (tmp_path / "secret.png").read_text() == SECRET


def test_only_the_newest_of_what_can_be_found_again_is_kept(tmp_path):
    place = tmp_path / ".latents"
    for at, name in enumerate(["working", "oldest", "own", "older", "newest"]):
        (place / name).mkdir(parents=True)
        if name != "own":
            (place / name / processes.LOG).write_text("done")
        os.utime(place / name, (at, at))
    (tmp_path / "elsewhere").symlink_to(place)
    processes.keep_newest(tmp_path / "elsewhere", 1)
    with (place / "working" / processes.LOG).open("a") as log:
        claim(log)
        processes.keep_newest(place, 1)
        assert {one.name for one in place.iterdir()} == {"working", "own", "newest"}
    processes.keep_newest(place, 1)
    assert {one.name for one in place.iterdir()} == {"own", "newest"}
    processes.keep_newest(tmp_path / "nowhere")


def payloads() -> list[str]:
    """Names that lead elsewhere where somebody takes them for a path."""
    ups = """../ ..\\ ..%2f %2e%2e/ %2e%2e%2f %252e%252e%252f ..%c0%af ....// ..;/ .\u2024/
        %2e%2e%5c ..%00/"""
    goals = ["secret.png", "etc/passwd", "runs/steps/config.json", "SECRET.PNG"]
    wound = [up * deep + goal for up in ups.split() for deep in (1, 2, 6) for goal in goals]
    single = """/etc/passwd //etc/passwd file:///etc/passwd C:\\windows\\win.ini ~/.ssh/id %00
        . .. / con nul \\\\host\\share steps/../../secret.png /proc/self/environ steps%2fconfig.json
        $(id) `id` ;id |id http://127.0.0.1/ http://[::1]/ http://2130706433/ http://0x7f.1/
        http://169.254.169.254/latest http://[::ffff:7f00:1]/ gopher://x/ data:,x ftp://x/y
        hf:owner/name -x --help \u202e"""
    plain_ = ["\0", "a" * 5000, *single.split()]
    return [*wound, *plain_, *HOSTILE]


class Watch:
    """What the process opens and whom it calls, while it is asked to look."""

    def __init__(self, allowed: list[Path]) -> None:
        self.allowed = [str(path) for path in allowed]
        self.found: list[str] = []
        self.on = False
        sys.addaudithook(self)

    def __call__(self, event: str, given) -> None:
        if not self.on:
            return
        if event in ("socket.connect", "subprocess.Popen", "os.system", "os.exec"):
            self.found.append(f"{event} {given}")
        if event == "open" and isinstance(given[0], str | bytes):
            path = os.path.realpath(os.fsdecode(given[0]))
            if not any(path.startswith(place) for place in self.allowed):
                self.found.append(f"open {path}")


def test_no_name_leads_out(client, root):
    """Every route with a name in it, every name, in every place of it; nothing else is opened."""
    known = [(method, path) for method, path in routes(client.app._app) if "{" in path]
    assert len(known) > 8
    ours = runs_of(client)["vae"]["id"]
    package = Path(sys.modules["mezzotint"].__file__).parent
    allowed = [root, package, Path(sys.prefix), Path(sys.base_prefix), Path("/dev/null")]
    watch, names = Watch(allowed), payloads()
    assert len(names) > 180
    watch.on = True
    try:
        for (method, path), name in itertools.product(known, names):
            given = quote(name, safe="/%")
            for part in [part for part in path.split("/") if part.startswith("{")]:
                place = (
                    path.replace(part, given).replace("{run}", ours).replace("{kind}", "samples")
                )
                place = place.replace("{images}", "1").replace("{data}", "digits")
                if "{" in place or (place.endswith("/checkup") and given == ""):
                    continue
                answer = client.request(method, place, json={} if method == "POST" else None)
                assert answer.status_code in (200, 307, 400, 404, 405, 409), (place, answer.text)
                assert SECRET not in answer.text
                assert "root:" not in answer.text
                if answer.status_code == 200:
                    assert "/../" in place or place.rstrip("/") != place or "/." in place, place
    finally:
        watch.on = False
    assert watch.found == []


def test_no_text_in_a_body_leads_out(client, root):
    ours = runs_of(client)["vae"]["id"]
    before = sorted(path for path in root.rglob("*"))
    run = {"name": "x", "family": "vae", "data": "digits", "preset": None}
    watch = Watch([root, Path(sys.modules["mezzotint"].__file__).parent, Path(sys.prefix)])
    for name in payloads():
        bodies = [("/v1/runs", {**run, key: name}) for key in ("family", "data", "preset")]
        bodies += [("/v1/runs", {**run, "options": {name[:40]: "1"}})]
        bodies += [("/v1/runs", {**run, "name": name})] if not name.isalnum() else []
        bodies += [("/v1/compare", {"runs": [name, ours]}), ("/v1/compare", {"runs": [ours, ours]})]
        bodies += [(f"/v1/runs/{ours}/latents", {"data": name})]
        bodies += [("/v1/images/generations", {"prompt": "", "model": name})]
        watch.on = True
        for place, body in bodies:
            answer = client.post(place, json=body)
            assert answer.status_code in (400, 404, 409), (place, body, answer.text)
            assert answer.json()["error"]["message"]
        watch.on = False
    assert watch.found == []
    assert sorted(path for path in root.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "a/b", "a\\b", "a ", "a..b", "-a", "é", "x" * 81, "a\n"]
)
def test_runs_have_plain_names(client, name):
    body = {"name": name, "family": "vae", "data": "digits"}
    answer = client.post("/v1/runs", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "name"


def test_what_cannot_be_trained_is_refused_by_name(client, root):
    good = {"name": "x", "family": "vae", "data": "digits"}
    wrong = {
        "family": ({"family": "nothing"}, 400), "data": ({"data": "nothing"}, 404),
        "latent": ({"options": {"latent": "0"}}, 400), "name": ({"name": "steps"}, 409),
    }  # fmt: skip
    for field, (change, status) in wrong.items():
        answer = client.post("/v1/runs", json={**good, **change})
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error["param"] == field or field in error["message"]
    for name in ("a", "b"):
        (root / name).mkdir()
        make_running(root, name)
    with make_running(root, "a").hold(), make_running(root, "b").hold():
        client.app._app.state.hub.shelf.refresh()
        answer = client.post("/v1/runs", json=good)
        assert answer.status_code == 503
        assert "training already" in answer.json()["error"]["message"]
    assert not (root / "x").exists()


def test_one_run_alone_takes_no_other(root):
    app = create_app(Settings(root / "vae"))
    client = TestClient(guarded(app), base_url="http://localhost")
    body = {"name": "x", "family": "vae", "data": "digits"}
    assert client.post("/v1/runs", json=body).status_code == 409
    assert client.post("/v1/data", content=b"x").status_code == 409


def test_a_glance_keeps_nobody_from_a_run(root):
    """Many who look whether a run is held, and one who takes it again and again."""
    folder, over = make_running(root, "watched"), threading.Event()
    (folder.path / "lock").touch()

    def look():
        while not over.is_set():
            folder.status()
            time.sleep(0.001)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            with folder.hold():
                assert folder.status() == "running"
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_only_who_works_on_a_run_is_stopped(client, root):
    """A number in a file stops nobody: the process has to hold the run."""
    folder = make_running(root, "foreign")
    (folder.path / "lock").write_text(f"process {os.getppid()} on {socket.gethostname()}")
    run = runs_of(client)["foreign"]
    assert client.post(f"/v1/runs/{run['id']}/stop").status_code == 409
    assert client.post(f"/v1/runs/{runs_of(client)['vae']['id']}/stop").status_code == 409


def test_a_run_on_foreign_data_is_not_gone_on_with(client, root, tmp_path):
    make_running(root, "live")
    for spec in ("hf:owner/name", str(tmp_path), "../..", "/etc", "photos"):
        header = json.loads((root / "live" / "run.json").read_text())
        header |= {"data": {"spec": spec}, "recipe": {}}
        (root / "live" / "run.json").write_text(json.dumps(header))
        answer = client.post(f"/v1/runs/{runs_of(client)['live']['id']}/resume")
        assert answer.status_code == 409
        assert "--data" in answer.json()["error"]["message"]


def test_data_sets_are_those_under_the_roots(tmp_path):
    (tmp_path / "runs").mkdir()
    for name in ("photos/a", "photos/.hidden", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photos" / "b.zip").write_bytes(b"")
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "elsewhere")
    sets = Datasets(tmp_path / "runs", (tmp_path / "photos",))
    assert [one.name for one in sets.all()] == [
        "photos",
        "photos/a",
        "photos/b.zip",
        "digits",
        "shapes",
    ]
    sets.require_allowed("digits")
    sets.require_allowed(str(tmp_path / "photos" / "a"))
    for spec in (
        str(tmp_path / "photos" / "link"),
        str(tmp_path / "photos" / ".." / "elsewhere"),
        "/",
    ):
        with pytest.raises(Refusal):
            sets.require_allowed(spec)


@pytest.mark.parametrize(
    "name", [*HOSTILE, "../../x", ".hidden", "", "\0", "x" * 500, "a.zip", "é è"]
)
def test_dropped_sets_get_plain_names(name):
    made = plain(name)
    assert made
    assert len(made) <= 60
    assert made[0] not in ".-"
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_a_dropped_zip_becomes_a_set(client, root, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    content = (tmp_path / "a.zip").read_bytes()
    names = [
        client.post("/v1/data?name=my set.zip", content=content).json()["name"] for _ in range(2)
    ]
    assert names == ["my-set", "my-set-2"]
    assert {"my-set", "my-set-2"} <= {one["name"] for one in client.get("/v1/data").json()["data"]}
    assert client.post("/v1/data", content=b"no zip").status_code == 400
    assert sorted(path.name for path in (root / ".data").iterdir()) == [
        "my-set-2.zip",
        "my-set.zip",
    ]


def test_forms_know_every_option(client):
    for family in client.get("/v1/about").json()["families"]:
        told = client.get(f"/v1/families/{family}").json()
        names = [one["name"] for one in told["options"]]
        assert len(names) == len(set(names))
        assert "default" in told["presets"]
        for one in told["options"]:
            assert one["kind"] in ("whole", "number", "flag", "text", "list", "choice")
            assert one["help"]
    assert client.get("/v1/families/nothing").status_code == 404


def test_the_page_says_what_each_family_is_for(client):
    page = client.get("/page/train.js").text
    for family in client.get("/v1/about").json()["families"]:
        assert re.search(rf"^  '?{family}'?: \['.+', '.+'\],$", page, re.MULTILINE), family


def test_the_page_is_whole(client):
    index = client.get("/")
    assert index.status_code == 200
    assert "unsafe" not in index.headers["content-security-policy"]
    for name, part in parts().items():
        answer = client.get(f"/page/{name}")
        assert answer.content == part.content
        text = part.content.decode()
        assert "innerHTML" not in text
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text
        assert len(text.splitlines()) <= 300
    assert "export { unpack, fitted" in client.get("/page/latents_math.js").text


def test_the_table_of_a_comparison():
    value = {"value": 1.23456789, "low": 1.0, "high": 2.0, "unit": "FD"}
    second = {"frechet": {**value, "value": 9}, "psnr": value}
    models = [
        {"name": "a", "values": {"frechet": value}, "good_for": []},
        {"name": "b", "values": second, "good_for": []},
    ]
    ranks = {
        "frechet": {"best": "a", "tied": [], "why": ""},
        "psnr": {"best": "", "tied": [], "why": "one"},
    }
    found = table({"models": models, "ranks": ranks, "headline": ["x"], "cautions": []})
    rows = {row["name"]: row for group in found["groups"] for row in group["rows"]}
    assert set(rows) == {"frechet", "psnr"}
    assert [cell["place"] for cell in rows["frechet"]["cells"]] == ["best", "behind"]
    assert rows["frechet"]["cells"][0]["value"] == 1.23457
    assert rows["psnr"]["cells"][0] is None
    assert rows["psnr"]["cells"][1]["place"] == ""
