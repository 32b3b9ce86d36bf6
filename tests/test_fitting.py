"""Memory of sampling: the estimate against live bytes counted in a pass, and what is advised."""

import re
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
from pipeline_kit import saved
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mezzotint as mz
from mezzotint.errors import ConfigError
from mezzotint.families import fitting
from mezzotint.families.fitting import decoder_bytes, network_bytes, require_memory
from mezzotint.families.piping import PretrainedConfig

XL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
}
NETWORKS: dict[str, dict[str, Any]] = {"1.5": {"cross_attention_dim": 768}, "XL": XL}
DECODING: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}


class Counting(TorchDispatchMode):
    """The most bytes of tensors that live at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = 0
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return found

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self.live += size
            self.most = max(self.most, self.live)
            self._seen[key] = weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.live -= size
        self._seen.pop(key, None)


def counted(build: Callable[[], Any], call: Callable[[Any], Any]) -> tuple[int, Any]:
    """Bytes of a pass of a network of real size, without its numbers; and the network."""
    with FakeTensorMode(), torch.no_grad():
        network = build().eval()
        with Counting() as count:
            call(network)
    return count.most, network


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_takes_what_is_told(name: str) -> None:
    """More rows take more by as much as is told: weights that are cast count in both."""
    width = NETWORKS[name]["cross_attention_dim"]

    def called(rows: int) -> tuple[int, Any]:
        told = lambda net: net(torch.zeros(rows, 4, 64, 64), 1, torch.zeros(rows, 77, width))  # noqa: E731
        return counted(lambda: diffusers.UNet2DConditionModel(**NETWORKS[name]), told)

    (few, network), (many, _) = called(2), called(6)
    assert many - few == pytest.approx(network_bytes(network, 4, (64, 64)), rel=0.1)


def test_the_decoder_takes_what_is_told() -> None:
    decoded = lambda vae: vae.decode(torch.zeros(2, 4, 32, 32))  # noqa: E731
    most, vae = counted(lambda: diffusers.AutoencoderKL(**DECODING), decoded)
    assert most == pytest.approx(decoder_bytes(vae, 2, (256, 256), False), rel=0.1)


def pipeline() -> Any:
    """What is read of Stable Diffusion 1.5 in float32."""
    unet = SimpleNamespace(
        down_block_types=("CrossAttnDownBlock2D",), block_out_channels=(320, 640, 1280, 1280)
    )
    vae = SimpleNamespace(block_out_channels=(128, 256, 512, 512), sample_size=512)
    return SimpleNamespace(
        unet=SimpleNamespace(config=unet, dtype=torch.float32),
        vae=SimpleNamespace(config=vae, dtype=torch.float32),
        vae_scale_factor=8,
    )


@pytest.mark.parametrize(
    ("side", "images", "device", "free", "advice"),
    [
        (1024, 1, "cpu", 2.0, "give --tiling"),
        (1024, 4, "cuda", 3.0, "give --tiling --batch 1"),
        (512, 1, "cpu", 0.5, "give --size 320 --tiling"),
        (512, 4, "cuda", 0.5, "give --size 320 --tiling --batch 1"),
        (512, 1, "cpu", 0.001, "use a machine with more memory"),
    ],
)
def test_what_will_not_fit_is_told(
    side: int, images: int, device: str, free: float, advice: str, monkeypatch: Any
) -> None:
    config = PretrainedConfig(size=(side, side))
    monkeypatch.setattr(fitting, "free_bytes", lambda device: int(free * fitting.GIB))
    with pytest.raises(ConfigError, match="GiB are free") as caught:
        require_memory(pipeline(), config, images, torch.device(device))
    assert caught.value.fix == advice
    if "machine" in advice:
        return
    sizes = re.findall("--size ([0-9]+)", advice)
    taken = PretrainedConfig(size=(int(sizes[0]),) * 2 if sizes else config.size, tiling=True)
    require_memory(pipeline(), taken, 1 if "batch" in advice else images, torch.device(device))


def test_it_is_told_before_the_first_step(tmp_path: Path, monkeypatch: Any) -> None:
    model: Any = mz.load(saved("sd15", tmp_path))
    assert model.sample([0], size=16, steps=1).shape == (1, 3, 16, 16)
    monkeypatch.setattr(fitting, "free_bytes", lambda device: 1000)
    with pytest.raises(ConfigError, match="GiB are free"):
        model.sample([0], size=16, steps=1, watch=lambda done, total: pytest.fail("a step"))


def test_weights_that_will_not_fit_are_not_read(tmp_path: Path, monkeypatch: Any) -> None:
    folder = saved("sd15", tmp_path)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_suffix(".non_ema.safetensors"))  # as Stable Diffusion 1.5 has
    model: Any = mz.load(folder)
    pipeline = model.pipeline
    held = fitting.weight_bytes([pipeline.unet, pipeline.vae, pipeline.text_encoder])
    monkeypatch.setattr(fitting, "free_bytes", lambda device: held)
    mz.load(folder)
    monkeypatch.setattr(fitting, "free_bytes", lambda device: held - 1)
    with pytest.raises(ConfigError, match="its weights take"):
        mz.load(folder)


def test_weights_that_wait_for_a_gpu_say_so(tmp_path: Path) -> None:
    model: Any = mz.load(saved("sd15", tmp_path))
    model.pipeline.unet.half()
    with pytest.raises(ConfigError, match="do not fit on the GPU together") as caught:
        model.sample([0], steps=2)
    assert "--offload model" in caught.value.fix
