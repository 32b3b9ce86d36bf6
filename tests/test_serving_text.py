"""Served models that read text, and those that guide of their own accord."""

import threading

import pytest

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

from pipeline_kit import saved
from serving_kit import CLASSES, serving, shaken
from test_serving import offline, pictures
from test_text_to_image import model

from mezzotint.families.diffusion import Diffusion
from mezzotint.runs.loading import load_model
from mezzotint.serving.drawing import Drawing, Request
from mezzotint.serving.models import SIZES, Opened, fitting_sizes

PROMPTS = ["a red circle", "a blue square above a red circle", "", "🟥 слово"]
GUIDED = {"size": (16, 16), "widths": (8, 16), "steps": 4, "guidance": 2.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    model(guidance=3.0).save_pretrained(root / "text")
    shaken(Diffusion(**GUIDED, groups=6)).save_pretrained(root / "grouped")
    shaken(Diffusion(**GUIDED, classes=CLASSES)).save_pretrained(root / "classes")
    saved("sd15", root / "others").rename(root / "pipeline")
    return root


@pytest.fixture(scope="module")
def server(root):
    with serving(root) as server:
        yield server


def ask(client, **fields):
    return client.post("/v1/images/generations", json={"prompt": "", **fields})


def test_prompts_that_share_passes_are_the_bytes_of_the_command_line(server, root, tmp_path):
    found = [[] for _ in PROMPTS]

    def one(at):
        with server.client() as client:
            fields = {"negative_prompt": "a green star", "num_inference_steps": 3 + at}
            found[at] = pictures(
                ask(client, model="text", prompt=PROMPTS[at], n=2, seed=at, **fields)
            )

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, prompt in enumerate(PROMPTS):
        words = ["-n", "2", "--seed", str(at), "--steps", str(3 + at), "--prompt", prompt]
        words += ["--negative-prompt", "a green star"]
        assert found[at] == offline(root, tmp_path / str(at), "text", *words)


@pytest.mark.parametrize("solver", [None, "ddim"])
def test_pipelines_of_others_are_served(server, root, tmp_path, solver):
    named, words = ({}, []) if solver is None else ({"solver": solver}, ["--solver", solver])
    fields = {"prompt": "a red circle", "n": 2, "seed": 4, "num_inference_steps": 3, **named}
    with server.client() as client:
        found = pictures(ask(client, model="pipeline", **fields))
        [told] = [one for one in client.get("/v1/runs").json()["data"] if one["name"] == "pipeline"]
    words = ["-n", "2", "--seed", "4", "--steps", "3", "--prompt", "a red circle", *words]
    assert found == offline(root, tmp_path, "pipeline", *words)
    assert told["size"] == "16x16"
    assert told["defaults"] == {"steps": 50, "guidance": 7.5, "solver": "pipeline"}
    assert {"generate", "prompt", "negative_prompt"} <= set(told["can"])
    assert "anomaly" not in told["can"]


def test_a_pipeline_stops_within_a_step_of_its_cancellation(root):
    sent, steps = [], []
    family = load_model(root / "pipeline")

    def listen():
        steps.append(len(steps))
        if len(steps) == 2:
            drawing.cancel("one")

    drawing = Drawing(lambda head, content: sent.append(head["is"]), 60.0, listen)
    options = {"prompt": "a red circle", "steps": 20}
    opened = Opened(family, root / "pipeline", None)
    drawing.add(Request("one", "me", opened, 0, 1, options))
    drawing.turn()
    assert (len(steps), len(drawing), sent) == (2, 0, [])
    drawing.add(Request("two", "me", opened, 0, 1, {**options, "steps": 2}))
    drawing.turn()
    assert sent == ["image", "done"]


@pytest.mark.parametrize("name", ["text", "grouped", "classes"])
@pytest.mark.parametrize("guidance", [None, 1.0, 4.0])
def test_models_that_guide_of_their_own_accord(server, root, tmp_path, name, guidance):
    own = guidance is None
    with server.client() as client:
        fields = {} if own else {"guidance_scale": guidance}
        found = pictures(ask(client, model=name, n=3, seed=5, **fields))
    words = [] if own else ["--guidance", str(guidance)]
    asked = ["--prompt", ""] if name == "text" else []
    assert found == offline(root, tmp_path, name, "-n", "3", "--seed", "5", *words, *asked)


def test_the_sizes_of_a_model_that_reads_text():
    found = fitting_sizes(model(guidance=3.0))
    assert found[-1] == SIZES[-1]
    assert set(found) <= set(SIZES)
