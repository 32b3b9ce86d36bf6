"""Text encoders that others trained: used as they are, and the same pictures out of diffusers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

import diffusers
from pipeline_kit import captioned_shapes, saved, sentence_encoder, shaken
from transformers import AutoModel, AutoTokenizer

import mezzotint as mz
from mezzotint.errors import (
    ConfigError,
    DataError,
    MezzotintError,
    MissingInputError,
    RefusedError,
)
from mezzotint.families.base import Batch
from mezzotint.families.reading import open_reader, weights_hash
from mezzotint.families.text_to_image import TextToImage
from mezzotint.runs.folder import RunFolder
from mezzotint.seeds import BatchNoise, ImageNoise

CAPTIONS = ["a red circle", "a blue square above a red circle", "a small green star"]
PROMPTS = [*CAPTIONS, "", "unheard of", "circle " * 100]
CODER = '{"widths": [8, 16], "latent": 2, "adversarial": 0}'
SMALL: dict[str, Any] = {"widths": (16, 32), "text_width": 16, "steps": 5, "coder": CODER}
SIZE = (16, 24)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_encoder(tmp_path_factory.mktemp("encoders") / "bert", CAPTIONS)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("sd15", tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(params=["sentences", "pipeline"])
def encoder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def model(encoder: Path, **options: Any) -> TextToImage:
    torch.manual_seed(0)
    given = {**SMALL, "text_encoder": str(encoder), "length": 16, **options}
    made = TextToImage(size=SIZE, **given)
    shaken(made.prior.network.unet)
    made.prepare(pictures(32), None)
    return made.eval()


def pictures(count: int) -> torch.Tensor:
    return torch.rand((count, 3, *SIZE), generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_diffusers_and_the_folder_draw_the_same_pictures(
    encoder: Path, guidance: float, tmp_path: Path
) -> None:
    ours, seeds = model(encoder), range(len(PROMPTS))
    found = ours.sample(seeds, prompt=PROMPTS, negative_prompt="a star", guidance=guidance)
    mz.export(ours, tmp_path / "out")
    whole = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    whole.set_progress_bar_config(disable=True)
    theirs = whole(
        PROMPTS,
        negative_prompt=["a star"] * len(PROMPTS),
        height=SIZE[0],
        width=SIZE[1],
        num_inference_steps=5,
        guidance_scale=guidance,
        latents=ImageNoise(seeds).randn(*ours.prior.shape),
        output_type="pt",
    ).images
    torch.testing.assert_close(theirs * 2 - 1, found, atol=1e-4, rtol=0)
    assert (found[0] - found[1]).abs().max() > 0.01
    again = mz.load(tmp_path / "out")
    settings: dict[str, Any] = {"prompt": PROMPTS[1], "steps": 5, "guidance": guidance}
    copy = again.sample([1], negative_prompt="a star", size=SIZE, **settings)  # type: ignore[attr-defined]
    torch.testing.assert_close(copy[0], found[1], atol=1e-4, rtol=0)


def test_vectors_are_those_of_the_library(sentences: Path) -> None:
    reader = open_reader(sentences, 16)
    rules, network = AutoTokenizer.from_pretrained(sentences), AutoModel.from_pretrained(sentences)
    given = rules(CAPTIONS, padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad():
        wanted = network(**given).last_hidden_state
    tokens = torch.from_numpy(reader.encode(CAPTIONS))
    assert torch.equal(tokens, given["input_ids"])
    torch.testing.assert_close(reader.vectors(tokens), wanted)


def test_it_is_no_part_of_the_model(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(encoder.parent)
    ours = model(Path(encoder.name))
    assert not [name for name in ours.state_dict() if ".text." in name or "reader" in name]
    ours.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    again = mz.load(tmp_path / "model")
    settings: dict[str, Any] = {"prompt": CAPTIONS, "guidance": 3.0}
    found = (one.sample([1, 2, 3], **settings) for one in (ours, again))  # type: ignore[attr-defined]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_the_loss_is_the_same_with_vectors_known_beforehand(encoder: Path, hidden: float) -> None:
    ours, captions = model(encoder, caption_dropout=hidden), ("a red circle", None, "a star", "")
    images = pictures(4)
    known = {**ours.known_of_captions(captions), **ours.known_of_images(images)}
    bare = (known["words"] == -1).flatten(1).all(1)
    assert bare.tolist() == [False, True, False, True]

    def loss(**rest: Any) -> torch.Tensor:
        return ours.loss(Batch(images, BatchNoise((0,), 4), captions=captions, **rest))["loss"]

    torch.testing.assert_close(loss(known=known), loss(), rtol=1e-5, atol=0)


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return captioned_shapes(tmp_path_factory.mktemp("data") / "some.npz")


def test_a_run_reads_vectors_once(captioned: Path, sentences: Path, tmp_path: Path) -> None:
    length = {"size": 16, "batch": 16, "images": 160, "previews": 1}
    options = {**SMALL, **length, "text_encoder": str(sentences)}
    run = mz.train("text-to-image", captioned, tmp_path / "run", **options)
    config: Any = run.model.config
    assert config.merges == ()
    assert config.text_hash == weights_hash(sentences)
    (kept,) = (tmp_path / "run" / "cache").glob("captions-*")
    rows = np.load(kept / "words.npy")
    assert rows.shape == (len(mz.load_images(captioned, size=16).train), config.length, 24)
    loaded: Any = mz.load(tmp_path / "run")
    torch.testing.assert_close(loaded.sample([1]), run.model.sample([1]), atol=1e-4, rtol=0)  # type: ignore[attr-defined]
    again = mz.train("text-to-image", captioned, tmp_path / "run", **options)
    assert again.history == run.history


def test_without_captions_nothing_is_trained(sentences: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", images=np.zeros((20, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="no caption"):
        mz.train(
            "text-to-image", tmp_path / "plain.npz", tmp_path / "run", text_encoder=str(sentences)
        )
    assert not RunFolder(tmp_path / "run").exists()


def test_another_encoder_in_its_place_is_told(captioned: Path, tmp_path: Path) -> None:
    place = sentence_encoder(tmp_path / "bert", CAPTIONS)
    model(place, text_hash=weights_hash(place)).save_pretrained(tmp_path / "model")
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingInputError, match="no text encoder here"):
        mz.load(tmp_path / "model")
    sentence_encoder(place, CAPTIONS, seed=1)
    with pytest.raises(DataError, match="another text encoder than the one"):
        mz.load(tmp_path / "model")


def _pickled(place: Path) -> None:
    (place / "model.safetensors").rename(place / "pytorch_model.bin")


def _set(key: str, value: Any) -> Any:
    def change(place: Path) -> None:
        path = place / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def _cut(place: Path) -> None:
    path = place / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _more_words(place: Path) -> None:
    words = AutoTokenizer.from_pretrained(place)
    words.add_tokens(["unheard"])
    words.save_pretrained(place)


BROKEN: dict[str, tuple[Any, type[MezzotintError], str]] = {
    "pickle": (_pickled, MissingInputError, "pickle"),
    "code": (_set("auto_map", {"AutoModel": "train_script.Net"}), RefusedError, "run code"),
    "kind": (_set("model_type", "gpt2"), ConfigError, "gpt2"),
    "huge": (_set("hidden_size", 10**9), RefusedError, "out of range"),
    "cut": (_cut, DataError, "model.safetensors"),
    "words": (lambda place: (place / "config.json").unlink(), MissingInputError, "no text encoder"),
    "others": (_set("vocab_size", 6), DataError, "cannot be opened"),
    "more": (_more_words, DataError, "15 words for a network that knows 14"),
}


@pytest.mark.parametrize("broken", list(BROKEN))
def test_a_broken_or_hostile_folder_is_refused(broken: str, tmp_path: Path) -> None:
    change, error, words = BROKEN[broken]
    place = sentence_encoder(tmp_path / "bert", CAPTIONS)
    change(place)
    with pytest.raises(error, match=words):
        open_reader(place, 16)


def test_a_text_longer_than_it_reads_is_refused(sentences: Path) -> None:
    with pytest.raises(ConfigError, match="64 pieces at the most"):
        model(sentences, length=77)
