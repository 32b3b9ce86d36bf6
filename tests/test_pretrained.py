"""Pipelines of others: they draw what diffusers draws, and nothing in them is run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

import diffusers
from hostile_models import Payload
from pipeline_kit import saved

import mezzotint as mz
from mezzotint.data.scenes import scene
from mezzotint.data.shapes import draw_scene
from mezzotint.describing import describe
from mezzotint.errors import (
    ConfigError,
    DataError,
    MezzotintError,
    MissingInputError,
    RefusedError,
    UsageError,
)
from mezzotint.families.base import Batch
from mezzotint.families.piping import extra_rows, with_extras
from mezzotint.families.pretrained import Pretrained
from mezzotint.runs.forms import model_form
from mezzotint.runs.tuned import tuned
from mezzotint.seeds import ImageNoise

# diffusers gives numpy a tensor in its Euler scheduler
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
PROMPTS = ["a red circle", "a photo of an astronaut riding a horse"]
LAYOUTS = ("sd15", "sd15-old", "sd21", "xl")
STEPS = 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of layouts, made when they are first asked for."""
    made: dict[str, Path] = {}

    def folder(layout: str) -> Path:
        if layout not in made:
            made[layout] = saved(layout, tmp_path_factory.mktemp("pipelines"))
        return made[layout]

    return folder


def theirs(folder: Path, **options: Any) -> torch.Tensor:
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(
        folder, safety_checker=None, feature_extractor=None
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = ImageNoise(range(2)).randn(4, 8, 8)
    settings = {"num_inference_steps": STEPS, "output_type": "pt", "latents": noise, **options}
    found: torch.Tensor = pipeline(PROMPTS, height=16, width=16, **settings).images
    return found * 2 - 1


@pytest.mark.parametrize("negative", [None, "a horse"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_draws_what_diffusers_draws(
    layout: str, negative: str | None, folders: Callable[[str], Path]
) -> None:
    folder = folders(layout)
    model = mz.load(folder)
    assert isinstance(model, Pretrained)
    found = model.sample(range(2), prompt=PROMPTS, negative_prompt=negative, steps=STEPS)
    guidance = 5.0 if layout == "xl" else 7.5
    told = None if negative is None else [negative] * 2
    wanted = theirs(folder, guidance_scale=guidance, negative_prompt=told)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert found.std() > 0.01
    alone = model.sample([1], prompt=PROMPTS[1], negative_prompt=negative, steps=STEPS)
    torch.testing.assert_close(alone, found[1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["sd15", "sd21", "xl"])
def test_our_ddim_is_their_ddim(layout: str, folders: Callable[[str], Path]) -> None:
    model: Any = mz.load(folders(layout))
    found = model.sample(range(2), prompt=PROMPTS, steps=5, guidance=3, solver="ddim")
    pipeline = model.pipeline
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(
        pipeline.scheduler.config,
        timestep_spacing="trailing",
        set_alpha_to_one=True,
        clip_sample=False,
        steps_offset=1,
    )
    noise = ImageNoise(range(2)).randn(4, 8, 8)
    options = {"height": 16, "width": 16, "latents": noise, "guidance_scale": 3.0}
    made = pipeline(PROMPTS, num_inference_steps=5, output_type="pt", **options).images
    torch.testing.assert_close(found, made * 2 - 1, atol=1e-3, rtol=0)


def test_from_a_picture_and_under_a_mask(folders: Callable[[str], Path]) -> None:
    model: Any = mz.load(folders("sd15"))
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    near, far = (
        model.sample([0], prompt="a red circle", image=image, strength=s, steps=10)
        for s in (0.2, 1.0)
    )
    rebuilt = model.sample([0], prompt="a red circle", image=image, strength=0.1, steps=10)
    assert (near - rebuilt).abs().mean() < (far - rebuilt).abs().mean()
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    made = model.sample([0], prompt="a red circle", image=image, mask=mask, steps=4)
    assert made.shape == (1, 3, 16, 16)
    ours = model.sample([0], prompt="a red circle", image=image, steps=4, solver="unipc")
    assert torch.isfinite(ours).all()
    with pytest.raises(UsageError, match="need an image"):
        model.sample([0], mask=mask)


def test_size_tiling_and_offload(folders: Callable[[str], Path]) -> None:
    model: Any = mz.load(folders("sd15"))
    assert model.sample([0], prompt="a", size="24x32", steps=2).shape == (1, 3, 32, 24)
    plain = model.sample([0], prompt="a", steps=2)
    small = model.sample([0], prompt="a", steps=2, tiling=True, offload="model")
    torch.testing.assert_close(plain, small, atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="multiple of 2"):
        model.sample([0], prompt="a", size="17x16", steps=2)


def test_command_line_and_description(folders: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    mz.sample(folders("sd15"), 2, out=out, prompt="a red circle", steps=2)
    assert len(list(out.iterdir())) == 2
    found = describe(folders("xl"))
    assert found["class"] == "StableDiffusionXLPipeline"
    assert found["text_encoder_2"] == "CLIPTextModelWithProjection"


def test_our_solvers_say_what_noise_they_know(folders: Callable[[str], Path]) -> None:
    model: Any = mz.load(folders("sd15"))
    model.pipeline.scheduler = diffusers.DDIMScheduler(beta_schedule="linear")
    with pytest.raises(ConfigError, match="scaled_linear"):
        model.sample([0], prompt="a", solver="ddim", steps=2)


def test_extra_rows_hold_what_else_is_told() -> None:
    words, pooled = torch.randn(2, 5, 8), torch.randn(2, 13)
    ids = torch.arange(6.0)[None]
    found = with_extras(words, pooled, ids)
    assert found.shape == (2, 5 + extra_rows(13, 8), 8)
    extra = found[:, 5:].flatten(1)
    assert torch.equal(extra[:, :13], pooled)
    assert torch.equal(extra[:, 13:19], ids.expand(2, -1))


def _change(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def _pickled(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Payload()))


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _link(folder: Path) -> None:
    (folder / "vae" / "more.json").symlink_to("/etc/hostname")


def _shards(folder: Path) -> None:
    index = {"weight_map": {"a": "../../other.safetensors"}}
    path = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(json.dumps(index))


HOSTILE: dict[str, tuple[Callable[[Path], None], type[MezzotintError], str]] = {
    "code": (_file("unet/model.py", b"print()"), RefusedError, "code among the files"),
    "pickle beside": (_file("x.pkl", b""), RefusedError, "code among the files"),
    "pickle": (_pickled, MissingInputError, "pickle, which could run code"),
    "auto_map": (_change("unet/config.json", auto_map={"A": "b"}), RefusedError, "would run"),
    "deep": (_change("vae/config.json", x=[{"auto_map": 1}]), RefusedError, "would run code"),
    "attention": (
        _change("text_encoder/config.json", _attn_implementation_internal="evil/kernel"),
        RefusedError,
        "would run code",
    ),
    "custom": (_change("model_index.json", custom_pipeline="x"), ConfigError, "not known here"),
    "class": (_change("model_index.json", unet=["os", "system"]), ConfigError, "not known here"),
    "module": (
        _change("model_index.json", unet=["diffusers", "AutoModel"]),
        ConfigError,
        "not known here",
    ),
    "extra": (_change("model_index.json", more=["diffusers", "X"]), ConfigError, "not known here"),
    "scheduler": (
        _change("model_index.json", scheduler=["diffusers", "OtherScheduler"]),
        ConfigError,
        "not known here",
    ),
    "link": (_link, RefusedError, "leads out"),
    "shards": (_shards, RefusedError, "shards lead elsewhere"),
    "layers": (
        _change("text_encoder/config.json", num_hidden_layers=10**6),
        RefusedError,
        "out of range",
    ),
    "width": (_change("unet/config.json", cross_attention_dim=10**9), RefusedError, "range"),
    "blocks": (
        _change("unet/config.json", block_out_channels=[16] * 5000),
        RefusedError,
        "5,000 entries",
    ),
    "other sizes": (_change("unet/config.json", cross_attention_dim=64), DataError, "opened"),
    "nonsense": (_change("vae/config.json", down_block_types=["x"]), DataError, "opened"),
    "weights": (
        _file("vae/diffusion_pytorch_model.safetensors", b"\xff" * 64),
        RefusedError,
        "header|safetensors|bytes",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders_are_refused(
    name: str, folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    shutil.copytree(folders("sd15"), folder)
    change, error, words = HOSTILE[name]
    change(folder)
    with pytest.raises(error, match=words):
        mz.load(folder)
    assert not (tmp_path / "canary").exists()


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures with captions."""
    path = tmp_path_factory.mktemp("captioned") / "some.npz"
    pixels = np.stack([draw_scene(at)[::4, ::4] for at in range(24)])
    np.savez(path, images=pixels, captions=[scene(at).caption for at in range(24)])
    return path


@pytest.mark.parametrize("layout", ["sd15", "sd21", "xl"])
def test_low_ranks_are_learnt_and_loaded_by_diffusers(
    layout: str, captioned: Path, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="extra 'lora'")
    folder = folders(layout)
    options: dict[str, Any] = {"images": 32, "batch": 8, "rank": 2, "lr": 0.05, "previews": 1}
    run = mz.train("text-to-image", captioned, tmp_path / "run", start=folder, lora=True, **options)
    names = set(run.model.state_dict())
    assert names
    assert all("lora_" in name for name in names)
    found = run.model.sample([0], prompt="a red circle", steps=STEPS)  # type: ignore[attr-defined]
    plain: Any = mz.load(folder)
    before = plain.sample([0], prompt="a red circle", steps=STEPS)
    assert (found - before).abs().max() > 1e-3
    loaded: Any = mz.load(tmp_path / "run")
    torch.testing.assert_close(
        loaded.sample([0], prompt="a red circle", steps=STEPS), found, atol=1e-4, rtol=0
    )
    plain.pipeline.load_lora_weights(tmp_path / "run" / "model")
    theirs = plain.sample([0], prompt="a red circle", steps=STEPS)
    torch.testing.assert_close(theirs, found, atol=1e-4, rtol=0)
    assert model_form(tmp_path / "run") == (Pretrained, loaded.config)


@pytest.mark.parametrize("layout", ["sd15", "sd15-old", "sd21", "xl"])
def test_the_form_of_a_pipeline_is_told_without_its_weights(
    layout: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    whole: Any = mz.load(folders(layout))
    shutil.copytree(folders(layout), tmp_path / "pipeline")
    for weights in (tmp_path / "pipeline").rglob("*.safetensors"):
        weights.unlink()
    assert model_form(tmp_path / "pipeline") == (Pretrained, whole.config)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *(("unet", "sample_size", value) for value in ("huge", [8], [8, "x"], {}, -8, 10**9, 2.5)),
        *(("vae", "block_out_channels", value) for value in (None, [], "wide", 3)),
        (".", "_class_name", "FluxPipeline"),
        (".", "_class_name", 7),
    ],
)
def test_the_form_of_a_damaged_pipeline_is_an_error_of_ours(
    part: str, name: str, value: Any, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(folders("sd15"), tmp_path / "pipeline")
    file = tmp_path / "pipeline" / part / ("model_index.json" if part == "." else "config.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    if value == {}:  # as if it were not there: Stable Diffusion's own size
        assert model_form(tmp_path / "pipeline").config.size == (128, 128)
        return
    with pytest.raises(MezzotintError):
        model_form(tmp_path / "pipeline")


@pytest.mark.parametrize("layout", ["sd15", "xl"])
def test_text_encoders_learn_too(
    layout: str,
    captioned: Path,
    folders: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("peft", reason="extra 'lora'")
    options: dict[str, Any] = {"images": 32, "batch": 8, "rank": 2, "text_rank": 2, "lr": 0.05}
    run = mz.train(
        "text-to-image", captioned, tmp_path / "run", start=folders(layout), lora=True, **options
    )
    told = {name.split(".")[1] for name in run.model.state_dict()}
    encoders = {"text_encoder", "text_encoder_2"} if layout == "xl" else {"text_encoder"}
    assert told == {"unet", *encoders}
    found = run.model.sample([0], prompt="a red circle", steps=STEPS)  # type: ignore[attr-defined]
    loaded: Any = mz.load(tmp_path / "run")
    torch.testing.assert_close(
        loaded.sample([0], prompt="a red circle", steps=STEPS), found, atol=1e-4, rtol=0
    )
    plain: Any = mz.load(folders(layout))
    alone = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    before = plain.pipeline.encode_prompt("a red circle", **alone)[0]
    # transformers wants a newer peft than there is; what it does with it, this one can do
    monkeypatch.setattr("transformers.integrations.peft.check_peft_version", lambda **_: None)
    plain.pipeline.load_lora_weights(tmp_path / "run" / "model")
    after = plain.pipeline.encode_prompt("a red circle", **alone)[0]
    assert (after - before).abs().max() > 1e-3
    theirs = plain.sample([0], prompt="a red circle", steps=STEPS)
    torch.testing.assert_close(theirs, found, atol=1e-4, rtol=0)


def test_a_whole_pipeline_learns_and_stays_one(
    captioned: Path, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = folders("sd15")
    options: dict[str, Any] = {"images": 32, "batch": 8, "lr": 0.01, "previews": 1, "size": "48x32"}
    run = mz.train("text-to-image", captioned, tmp_path / "run", start=folder, **options)
    assert all(name.startswith("base.unet.") for name in run.model.state_dict())
    asked: dict[str, Any] = {"prompt": PROMPTS, "steps": STEPS}
    found = run.model.sample([0, 1], size=16, **asked)  # type: ignore[attr-defined]
    loaded: Any = mz.load(tmp_path / "run")
    assert loaded.config.size == (32, 48)  # that of the training
    torch.testing.assert_close(loaded.sample([0, 1], size=16, **asked), found, atol=1e-5, rtol=0)
    before: Any = mz.load(folder)
    torch.testing.assert_close(theirs(tmp_path / "run" / "model"), found, atol=1e-4, rtol=0)
    assert (before.sample([0, 1], size=16, **asked) - found).abs().max() > 1e-3
    for name in ("vae", "text_encoder"):
        old, new = (getattr(model, name).state_dict() for model in (before, loaded))
        assert all(torch.equal(old[key], new[key]) for key in old)


def test_activations_found_again_give_the_same_gradients(folders: Callable[[str], Path]) -> None:
    found = []
    for again in (False, True):
        model = tuned(folders("sd15"), rank=0, checkpointing=again).train()
        noise = ImageNoise(range(2))
        batch = Batch(torch.zeros(2, 3, 16, 16), noise, captions=("a cat", None))
        model.loss(batch)["loss"].backward()
        found.append([one.grad for one in model.base.unet.parameters() if one.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_products_in_the_text_encoder_need_others(folders: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="go with products in the U-Net"):
        tuned(folders("sd15"), rank=0, text_rank=2)


def test_new_products_change_nothing(folders: Callable[[str], Path]) -> None:
    pytest.importorskip("peft", reason="extra 'lora'")
    plain: Any = mz.load(folders("sd15"))
    new = tuned(folders("sd15"), rank=2)
    found = new.sample([0], prompt="a red circle", steps=STEPS)
    wanted = plain.sample([0], prompt="a red circle", steps=STEPS)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_low_ranks_need_a_pipeline(captioned: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="beside a pipeline"):
        mz.train("text-to-image", captioned, tmp_path / "run", lora=True, images=8)
    with pytest.raises(UsageError, match="beside a pipeline"):
        mz.train("vae", captioned, tmp_path / "run", start=tmp_path, lora=True, images=8)
