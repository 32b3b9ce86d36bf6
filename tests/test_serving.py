"""The server: the real openai client, bytes as offline, refusals, deaths and goodbyes."""

import asyncio
import base64
import os
import signal
import threading
import time

import httpx
import openai
import pytest
from serving_kit import CLASSES, Server, make_models, serving

from mezzotint.cli import main
from mezzotint.serving import engine

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(root):
    with serving(root) as running:
        yield running


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def offline(root, tmp_path, model, *words) -> list[bytes]:
    with pytest.raises(SystemExit) as ended:
        main(["sample", str(root / model), *words, "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    return [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())]


def pictures(response) -> list[bytes]:
    assert response.status_code == 200, response.text
    return [base64.b64decode(one["b64_json"]) for one in response.json()["data"]]


def ask(client, **fields):
    return client.post("/v1/images/generations", json={"prompt": "", "model": "steps", **fields})


def test_the_openai_client_works_unchanged(server, root, tmp_path):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    made = client.images.generate(prompt="one", model="steps", n=3, size="16x16")
    found = [base64.b64decode(one.b64_json) for one in made.data]
    assert found == offline(root, tmp_path, "steps", "-n", "3", "--label", "one")
    assert {"steps", "vae"} <= {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.images.generate(prompt="", model="nothing")
    with pytest.raises(openai.BadRequestError, match="prompt"):
        client.images.generate(prompt="a cat", model="steps")


def test_the_openai_client_streams_pictures_on_the_way(server, client):
    ours = {"seed": 5, "label": "two"}
    maker = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    stream = maker.images.generate(
        prompt="", model="steps", stream=True, partial_images=2, extra_body=ours
    )
    events = list(stream)
    assert [event.type.rpartition(".")[2] for event in events] == [
        "partial_image",
        "partial_image",
        "completed",
    ]
    whole = pictures(ask(client, **ours))
    assert base64.b64decode(events[-1].b64_json) == whole[0]
    assert len({event.b64_json for event in events}) == 3


def test_pictures_are_the_bytes_of_the_command_line(client, root, tmp_path):
    words = ["-n", "4", "--seed", "7", "--guidance", "3", "--steps", "4", "--solver", "ddim"]
    wanted = offline(root, tmp_path, "steps", *words)
    fields = {"seed": 7, "guidance_scale": 3, "num_inference_steps": 4, "solver": "ddim", "n": 4}
    assert pictures(ask(client, **fields)) == wanted
    assert pictures(ask(client, **{**fields, "n": 1, "seed": 9}))[0][-200:] == wanted[2][-200:]


def test_a_model_that_draws_at_once(client, root, tmp_path):
    wanted = offline(root, tmp_path, "vae", "-n", "2", "--seed", "3")
    assert pictures(ask(client, model="vae", n=2, seed=3)) == wanted


def test_requests_that_share_passes_get_their_own_pictures(server, root, tmp_path):
    labels, scale, steps = CLASSES * 3, "guidance_scale", "num_inference_steps"
    asked = [{"seed": at, "label": labels[at], scale: 1 + at % 3, steps: 3 + at} for at in range(8)]
    found = [None] * len(asked)

    def one(at):
        with server.client() as client:
            found[at] = pictures(ask(client, **asked[at]))[0]

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, fields in enumerate(asked):
        words = ["--seed", str(at), "--label", fields["label"], "-n", "1"]
        words += ["--guidance", str(fields["guidance_scale"]), "--steps", str(3 + at)]
        assert [found[at]] == offline(root, tmp_path / str(at), "steps", *words)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0), ("n", 11), ("n", -1), ("n", 1.5), ("n", "2"), ("n", True),
        ("num_inference_steps", 0), ("num_inference_steps", 201),
        ("guidance_scale", -0.1), ("guidance_scale", 50.1), ("guidance_scale", 1e308),
        ("seed", -1), ("seed", 2**63), ("prompt", "x" * 4001), ("prompt", "\0"), ("prompt", None),
        ("prompt", "🙂" * 4001), ("label", "four"), ("label", 3),
        ("size", "17x16"), ("size", "big"),
        ("solver", "none"), ("negative_prompt", "ugly"), ("response_format", "url"),
        ("output_format", "jpeg"), ("partial_images", 4), ("unknown", 1), ("model", "../vae"),
    ],
)  # fmt: skip
def test_limits_are_refused_by_name(client, field, value):
    response = ask(client, **{field: value})
    assert response.status_code in (400, 404), response.text
    error = response.json()["error"]
    assert error["param"] == field
    assert error["message"]
    assert "Traceback" not in response.text


def test_edges_of_the_limits_are_taken(client):
    assert len(pictures(ask(client, n=10, num_inference_steps=1, guidance_scale=0))) == 10
    assert pictures(ask(client, num_inference_steps=200, guidance_scale=50, seed=2**63 - 11))
    assert pictures(ask(client, size="auto", quality="auto", user="me", label=2))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '"\\ud800"'])
def test_numbers_and_texts_that_are_none(client, text):
    body = f'{{"prompt": "", "guidance_scale": {text}}}'
    response = client.post(
        "/v1/images/generations", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "guidance_scale"


def test_bodies_are_bounded(client):
    path, kind = "/v1/images/generations", {"content-type": "application/json"}
    assert client.post(path, content=b" " * (1 << 20), headers=kind).status_code == 400
    assert client.post(path, content=b" " * ((1 << 20) + 1), headers=kind).status_code == 413
    chunks = (b" " * 65536 for _ in range(17))
    assert client.post(path, content=chunks, headers=kind).status_code == 413
    packed = client.post(path, content=b"x", headers={**kind, "content-encoding": "gzip"})
    assert packed.status_code == 415


def test_what_the_server_says_of_itself(client):
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/v1/limits").json()["images"] == 10
    model = next(one for one in client.get("/v1/models").json()["data"] if one["id"] == "steps")
    assert model["size"] == "16x16"
    assert model["classes"] == list(CLASSES)
    assert {"generate", "label", "guidance"} <= set(model["can"])
    text = client.get("/metrics").text
    assert 'mezzotint_requests_total{code="200",route="/livez"}' in text
    assert "mezzotint_batch_size_bucket" in text
    assert "/v1/images/generations" in client.get("/openapi.json").json()["paths"]


def number(client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_work_of_a_client_that_left_stops_within_a_step(server, client):
    passes, cancelled = "mezzotint_batch_size_count", "mezzotint_cancelled_total"
    begun, left = number(client, passes), number(client, cancelled)
    with pytest.raises(httpx.ReadTimeout), server.client() as leaving:
        leaving.post(
            "/v1/images/generations",
            json={"prompt": "", "model": "steps", "num_inference_steps": 200, "n": 10},
            timeout=0.3,
        )
    end = time.monotonic() + 30
    while number(client, cancelled) == left:
        assert time.monotonic() < end
        time.sleep(0.02)
    gone = number(client, passes)
    time.sleep(0.5)
    assert number(client, passes) <= gone + 2  # the one at work, and one told of late
    assert gone - begun < 250  # of all there is to do


def test_a_killed_worker_is_told_and_replaced(root):
    with serving(root) as server, server.client() as client:
        answers = []

        def long():
            with server.client() as other:
                answers.append(ask(other, num_inference_steps=200, n=10))

        thread = threading.Thread(target=long)
        thread.start()
        time.sleep(0.4)
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        thread.join()
        assert answers[0].status_code == 503
        assert int(answers[0].headers["retry-after"]) >= 1
        assert answers[0].json()["error"]["type"] == "server_error"
        assert client.get("/livez").status_code == 200
        server.wait_ready(30)
        assert time.monotonic() - killed < 30
        assert pictures(ask(client))
        assert 'worker_restarts_total{worker="draw-cpu"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("lives_on", [False, True])
def test_a_dead_worker_is_sent_no_signal_and_a_mute_one_is(lives_on, monkeypatch):
    monkeypatch.setattr(engine, "END_SECONDS", 10.0 if not lives_on else 0.1)
    words = "exec >&-; sleep 60" if lives_on else "true"
    killed = []

    async def ended() -> int:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("sh", "-c", words, stdout=pipe)
        assert await process.stdout.read() == b""
        kill = process.kill
        monkeypatch.setattr(process, "kill", lambda: killed.append(kill()))
        await engine._ended(process)
        return process.returncode

    assert asyncio.run(ended()) == (-signal.SIGKILL if lives_on else 0)
    assert len(killed) == lives_on


def test_a_signal_lets_work_finish(root):
    server = Server(root)
    answers = []

    def long():
        with server.client() as other:
            answers.append(ask(other, num_inference_steps=200, n=4))

    with server.client() as client:
        pictures(ask(client))  # the model is loaded
        thread = threading.Thread(target=long)
        thread.start()
        time.sleep(0.3)
        assert server.stop() == 0
        thread.join()
    assert len(pictures(answers[0])) == 4
