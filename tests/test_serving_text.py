"""Served models that read text, and those that guide of their own accord."""

import threading

import pytest

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

from serving_kit import CLASSES, serving, shaken
from test_serving import offline, pictures
from test_text_to_image import model

from mezzotint.families.diffusion import Diffusion
from mezzotint.serving.models import SIZES, fitting_sizes

PROMPTS = ["a red circle", "a blue square above a red circle", "", "🟥 слово"]
GUIDED = {"size": (16, 16), "widths": (8, 16), "steps": 4, "guidance": 2.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    model(guidance=3.0).save_pretrained(root / "text")
    shaken(Diffusion(**GUIDED, groups=6)).save_pretrained(root / "grouped")
    shaken(Diffusion(**GUIDED, classes=CLASSES)).save_pretrained(root / "classes")
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
