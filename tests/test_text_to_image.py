"""Text to image: what it is told, what it makes, and the same pictures out of diffusers."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

import diffusers
from pipeline_kit import captioned_shapes

import mezzotint as mz
from mezzotint.errors import ConfigError, DataError, UsageError
from mezzotint.families.base import Batch
from mezzotint.families.conditions import asked_for, with_and_without
from mezzotint.families.kl_vae import KLVAE
from mezzotint.families.text_to_image import TextToImage
from mezzotint.images import to_uint8
from mezzotint.runs.folder import RunFolder
from mezzotint.seeds import BatchNoise, ImageNoise
from mezzotint.text import tokenizer
from mezzotint.training.caching import known_rows
from mezzotint.training.feeding import Feed
from mezzotint.training.recipe import Recipe

CAPTIONS = ["a red circle", "a blue square above a red circle", "a small green star"]
PROMPTS = [*CAPTIONS, "", "ein zyzzyva 🟥 слово", "word " * 500]
SMALL: dict[str, Any] = {"widths": (16, 32), "text_width": 16, "text_layers": 1, "steps": 5}
CODER = '{"widths": [8, 16], "latent": 2, "adversarial": 0}'


def model(size: tuple[int, int] = (16, 24), **options: Any) -> TextToImage:
    torch.manual_seed(0)
    found = tokenizer.train(CAPTIONS, 30)
    words = {"merges": tuple(" ".join(pair) for pair in found.merges), "length": found.length}
    made = TextToImage(size=size, coder=CODER, **{**SMALL, **words, **options})
    with torch.no_grad():
        for parameter in made.prior.network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    made.prepare(pictures(64, size), None)
    return made.eval()


def pictures(count: int, size: tuple[int, int] = (16, 24), seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, 3, *size), generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model."""
    out = tmp_path_factory.mktemp("text") / "pipeline"
    mz.export(model(), out)
    return out


@pytest.mark.parametrize(("guidance", "negative"), [(1.0, ""), (5.0, ""), (7.5, "a red circle")])
def test_diffusers_draws_the_same_pictures(folder: Path, guidance: float, negative: str) -> None:
    ours = model()
    seeds = range(len(PROMPTS))
    found = ours.sample(seeds, prompt=PROMPTS, negative_prompt=negative, guidance=guidance)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS,
        negative_prompt=[negative] * len(PROMPTS),
        height=16,
        width=24,
        num_inference_steps=5,
        guidance_scale=guidance,
        latents=ImageNoise(seeds).randn(*ours.prior.shape),
        output_type="pt",
    ).images
    assert found.std() > 0.01
    torch.testing.assert_close(theirs * 2 - 1, found, atol=1e-4, rtol=0)


def test_prompt_negative_prompt_and_guidance_change_the_picture() -> None:
    ours = model()
    plain = ours.sample([1], prompt="a red circle", guidance=3)
    others = [
        ours.sample([1], prompt="a blue square", guidance=3),
        ours.sample([1], prompt="a red circle", guidance=6),
        ours.sample([1], prompt="a red circle", guidance=3, negative_prompt="a blue square"),
    ]
    assert all((plain - other).abs().max() > 1e-4 for other in others)
    same = ours.sample([1], prompt="a red circle", guidance=6, negative_prompt="a red circle")
    unguided = ours.sample([1], prompt="a red circle", guidance=1)
    torch.testing.assert_close(same, unguided, atol=1e-4, rtol=0)  # c + w (c - c)


def test_a_picture_does_not_depend_on_its_company() -> None:
    ours = model()
    whole = ours.sample(range(6), prompt=PROMPTS)
    alone = ours.sample([4], prompt=PROMPTS[4])
    assert torch.equal(whole[4:5], alone)


def test_without_a_prompt_each_seed_draws_a_caption() -> None:
    ours = model(prompts=CAPTIONS)
    drawn = ours.prompts_of(range(300))
    assert set(drawn) == set(CAPTIONS)
    assert ours.prompts_of([7]) == drawn[7:8]
    assert torch.equal(ours.sample([7]), ours.sample([7], prompt=drawn[7]))
    assert model().prompts_of([7]) == [""]
    with pytest.raises(UsageError, match="2 prompts for 3 images"):
        ours.sample(range(3), prompt=["a", "b"])


def test_images_without_a_caption_are_told_nothing() -> None:
    ours = model()
    rows = ours.tokens(["a red circle", None, " ", ""], 4)
    assert (rows[1:] == -1).all()
    assert (rows[0] >= 0).all()
    noise = [BatchNoise((0,), 2) for _ in range(2)]
    images = pictures(2)
    none, empty = (ours.loss(Batch(images, n, captions=c)) for n, c in zip(noise, (None, ["", ""])))
    assert torch.equal(none["loss"], empty["loss"])


def test_dropout_hides_whole_captions() -> None:
    ours = model(caption_dropout=0.25)
    rows = ours.tokens(["a red circle"] * 2000, 2000)
    batch = Batch(torch.zeros(2000, 1), BatchNoise((0,), 2000), rows)
    shown = ours.prior.shown(batch)
    assert shown is not None
    hidden = (shown == -1).any(1)
    assert torch.equal(hidden, (shown == -1).all(1))
    assert 0.2 < hidden.float().mean() < 0.3


def test_standardised_latents_rebuild_the_same_pictures() -> None:
    torch.manual_seed(1)
    coder = KLVAE(size=(16, 24), channels=3, widths=(8, 16), latent=3, adversarial=0).eval()
    images = pictures(40)
    before, (_, spread) = coder.reconstruct(images), coder.posterior(images)
    latents = coder.encode(images)
    scale = latents.std((0, 2, 3)).view(1, -1, 1, 1)
    coder.standardise(latents)
    found = coder.encode(images)
    torch.testing.assert_close(coder.reconstruct(images), before, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(coder.posterior(images)[1], spread - 2 * scale.log())
    assert coder.scaling_factor == 1


def test_the_loss_is_the_same_with_and_without_a_cache() -> None:
    ours = model()
    images, captions = pictures(3), ("a red circle", None, "a small green star")
    known = ours.known_of_images(images) | ours.known_of_captions(captions)
    plain = ours.loss(Batch(images, BatchNoise((0,), 3), captions=captions))
    cached = ours.loss(Batch(torch.zeros_like(images), BatchNoise((0,), 3), known=known))
    torch.testing.assert_close(plain["loss"], cached["loss"])


def test_words_and_numbers_are_told_alike() -> None:
    rows = torch.tensor([[3, 4], [5, 6]])
    assert torch.equal(with_and_without(rows), torch.tensor([[3, 4], [5, 6], [-1, -1], [-1, -1]]))
    assert torch.equal(asked_for(rows), rows)
    words = torch.randn(2, 2, 5, 3)
    assert torch.equal(with_and_without(words), torch.cat([words[:, 0], words[:, 1]]))
    assert torch.equal(asked_for(words), words[:, 0])


def test_from_a_picture_and_under_a_mask() -> None:
    ours = model()
    image = pictures(1, seed=5)
    mask = torch.zeros(1, 1, 16, 24)
    mask[..., :8] = 1
    made = ours.sample(range(2), prompt="a red circle", image=image, mask=mask)
    assert torch.equal(made[..., 8:], image[..., 8:].expand(2, -1, -1, -1))
    assert (made[..., :8] - image[..., :8]).abs().max() > 0.01
    rebuilt = ours.reconstruct(image)
    near, far = (
        (ours.sample([3], prompt="", image=image, strength=s, steps=20) - rebuilt).abs().mean()
        for s in (0.05, 0.9)
    )
    assert near < far
    with pytest.raises(UsageError, match="image has the shape"):
        ours.sample([0], image=pictures(1, (8, 8)))


def test_films_and_walks() -> None:
    ours = model()
    noisy, clean = ours.film(range(2), frames=3, prompt="a red circle")
    assert noisy.shape == clean.shape == (2, 3, 3, 16, 24)
    torch.testing.assert_close(noisy[:, -1], ours.sample(range(2), prompt="a red circle"))
    walk = ours.interpolate(1, 2, 3, prompt="a red circle")
    torch.testing.assert_close(walk[0], ours.sample([1], prompt="a red circle")[0])
    torch.testing.assert_close(walk[-1], ours.sample([2], prompt="a red circle")[0])


def test_an_autoencoder_of_other_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="size"):
        TextToImage(size=(16, 16), coder='{"size": [32, 32]}')
    with pytest.raises(ConfigError, match="JSON"):
        TextToImage(size=(16, 16), coder="wide")
    with pytest.raises(ConfigError, match="two words"):
        TextToImage(size=(16, 16), merges=("ab",))


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 shapes with captions, some missing."""
    return captioned_shapes(tmp_path_factory.mktemp("data") / "some.npz")


TRAINING: dict[str, Any] = {"size": 16, "batch": 16, "images": 160, "previews": 1, "coder": CODER}


def test_one_call_trains_both_stages(captioned: Path, tmp_path: Path) -> None:
    run = mz.train("text-to-image", captioned, tmp_path / "run", **TRAINING, **SMALL)
    assert isinstance(run.model, TextToImage)
    first = RunFolder(tmp_path / "run" / "autoencoder")
    assert first.finished()
    assert first.lines()[-1]["images"] == 32  # a fifth of the length, in batches of 32
    assert run.history[-1]["images"] == 128
    assert len(run.model.config.prompts) > 20
    assert run.model.prepared
    loaded = mz.load(tmp_path / "run")
    torch.testing.assert_close(loaded.sample([1]), run.model.sample([1]), atol=1e-4, rtol=0)
    again = mz.train("text-to-image", captioned, tmp_path / "run", **TRAINING, **SMALL)
    assert again.history == run.history


def test_a_finished_autoencoder_is_used_as_it_is(captioned: Path, tmp_path: Path) -> None:
    base = {k: v for k, v in {**TRAINING, **json.loads(CODER)}.items() if k != "coder"}
    coder = mz.train("kl-vae", captioned, tmp_path / "kl", **base)
    options = {**TRAINING, **SMALL, "coder": "", "autoencoder": str(tmp_path / "kl")}
    run = mz.train("text-to-image", captioned, tmp_path / "run", **options)
    assert not (tmp_path / "run" / "autoencoder").exists()
    assert run.history[-1]["images"] == 160
    images = pictures(3, (16, 16))
    found, wanted = run.model.reconstruct(images), coder.model.reconstruct(images)  # type: ignore[attr-defined]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    model().save_pretrained(tmp_path / "other")
    options["autoencoder"] = str(tmp_path / "other")
    with pytest.raises(UsageError, match="this is a text-to-image"):
        mz.train("text-to-image", captioned, tmp_path / "more", **options)


def test_images_without_captions_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", images=np.zeros((20, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="no caption"):
        mz.train("text-to-image", tmp_path / "plain.npz", tmp_path / "run", **TRAINING)
    assert not (tmp_path / "run").exists()


def test_the_cache_is_kept_and_made_anew_for_other_weights(captioned: Path, tmp_path: Path) -> None:
    ours, run = model((16, 16)), RunFolder(tmp_path)
    train = mz.load_images(captioned, size=16).train
    first = known_rows(ours, train, Recipe(images=1), run, _Silent())
    pixels = torch.from_numpy(train.gather(range(4))).permute(0, 3, 1, 2) / 127.5 - 1
    posterior = ours.coder.posterior(pixels)[0] * ours.coder.scaling_factor
    torch.testing.assert_close(
        torch.from_numpy(np.array(first["latents"][:4])), posterior.half(), atol=2e-3, rtol=2e-3
    )
    known_rows(ours, train, Recipe(images=1), run, _Silent())
    assert _kinds(tmp_path / "cache") == ["captions", "images"]
    with torch.no_grad():
        next(ours.coder.parameters()).add_(0.1)
    known_rows(ours, train, Recipe(images=1), run, _Silent())
    assert _kinds(tmp_path / "cache") == ["captions", "captions", "images", "images"]
    moved = Recipe(images=1, jitter=0.1)
    assert known_rows(ours, train, moved, run, _Silent()).keys() == {"words"}


def test_of_mirrored_images_both_sides_are_kept_and_none_is_a_mirrored_latent(
    captioned: Path, tmp_path: Path
) -> None:
    ours, run = model((16, 16)), RunFolder(tmp_path)
    train = mz.load_images(captioned, size=16).train
    found = known_rows(ours, train, Recipe(images=1, flip=True), run, _Silent())
    pixels = torch.from_numpy(train.gather(range(4))).permute(0, 3, 1, 2) / 127.5 - 1
    wanted = ours.coder.posterior(pixels.flip(-1))[0] * ours.coder.scaling_factor
    kept = torch.from_numpy(np.array(found["mirrored-latents"][:4])).float()
    torch.testing.assert_close(kept, wanted, atol=2e-3, rtol=2e-3)
    feed = Feed(train, 4)
    feed.know(found)
    rows, noise = np.arange(4), BatchNoise(("turned",), 4)
    mirrored = BatchNoise(("turned",), 4).rand() < 0.5
    known = feed.batch(rows, noise, flip=True).known
    assert known is not None
    assert known.keys() == {"words", "latents"}
    plain = torch.from_numpy(np.array(found["latents"][:4])).float()
    torch.testing.assert_close(
        known["latents"], torch.where(mirrored.view(-1, 1, 1, 1), kept, plain)
    )


def test_reading_tells_the_time_left_with_what_comes_after(captioned: Path, tmp_path: Path) -> None:
    train, told = mz.load_images(captioned, size=16).train, _Left()
    known_rows(model((16, 16)), train, Recipe(images=1), RunFolder(tmp_path), told, after=100.0)
    assert {note.split(" ")[0] for note, _ in told.seen} == {"reading", "looking"}
    assert all(left >= 100 for _, left in told.seen)


def _kinds(cache: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in cache.iterdir())


class _Silent:
    def update(self, *args: Any) -> None:
        """Ignore."""

    def say(self, text: str) -> None:
        """Ignore."""


def test_pictures_keep_their_prompts(tmp_path: Path) -> None:
    from mezzotint.images import read_provenance

    ours = model(prompts=CAPTIONS)
    mz.sample(ours, 3, out=tmp_path / "many", prompt="a red circle", negative_prompt="blue")
    record = read_provenance(tmp_path / "many" / "000001.png")
    assert (record["prompt"], record["negative_prompt"]) == ("a red circle", "blue")
    assert "Negative prompt: blue" in record["parameters"]
    mz.sample(ours, 3, out=tmp_path / "drawn.npz")
    with np.load(tmp_path / "drawn.npz") as arrays:
        assert arrays["prompts"].tolist() == ours.prompts_of(range(3))
    mz.sample(ours, 3, out=tmp_path / "drawn")
    for at in range(3):
        record = read_provenance(tmp_path / "drawn" / f"{at:06d}.png")
        assert record["prompt"] == ours.prompts_of([at])[0]


def test_the_server_draws_the_same_pictures() -> None:
    from mezzotint.serving.drawing import Drawing, Request
    from mezzotint.serving.models import Opened
    from mezzotint.serving.pooling import Pool

    ours = model(prompts=CAPTIONS)
    sent: list[tuple[dict[str, Any], bytes]] = []
    drawing = Drawing(lambda head, content: sent.append((head, content)), 60.0)
    served = Opened(ours, Path("model"), Pool(ours.seen, (16,)))
    options = {"prompt": "a red circle", "negative_prompt": "blue", "guidance": 4.0}
    drawing.add(Request("one", "me", served, 5, 2, options, partials=1))
    drawing.add(Request("two", "you", served, 9, 1, {}))
    while len(drawing):
        drawing.turn()
    images = {
        (head["id"], head["index"]): (head["record"], content)
        for head, content in sent
        if head["is"] == "image"
    }
    assert sum(head["is"] == "partial" for head, _ in sent) == 2
    assert images["two", 0][0]["prompt"] == ours.prompts_of([9])[0]
    for index in range(2):
        record, content = images["one", index]
        assert record["prompt"] == "a red circle"
        wanted = to_uint8(ours.sample([5 + index], **options))[0]
        found = np.asarray(Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(found, wanted)


class _Left(_Silent):
    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        self.seen.append((note, seconds_left))
