"""Model and run folders made by an enemy: each function turns a good folder into a bad one."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.storage.files import file_digest

Make = Callable[[Path], object]
GIGA = 10**9


class Payload:
    """Pickled, it runs a command when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


def weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> None:
    size = len(header) if length is None else length
    path.write_bytes(struct.pack("<Q", size) + header + data)


def reheaded(change: Callable[[dict[str, Any]], object]) -> Make:
    """Rewrite the header of the weights, leaving the data as it is."""

    def make(folder: Path) -> None:
        header, data = parts(weights(folder))
        change(header)
        put(weights(folder), json.dumps(header).encode(), data)

    return make


def first(header: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = next(v for k, v in header.items() if k != "__metadata__")
    return entry


def retyped(header: dict[str, Any]) -> None:
    """Every F32 tensor is called I32: the bytes fit, the numbers do not."""
    for entry in header.values():
        if entry.get("dtype") == "F32":
            entry["dtype"] = "I32"


def doubled_keys(folder: Path) -> None:
    header, data = parts(weights(folder))
    text = json.dumps(header)
    name = json.dumps(next(k for k in header if k != "__metadata__"))
    again = f"{{{name}: {json.dumps(first(header))}, "
    put(weights(folder), (again + text[1:]).encode(), data)


def overlapping(header: dict[str, Any]) -> None:
    entries = [v for k, v in header.items() if k != "__metadata__"]
    for entry in entries:
        if entry is not entries[0] and entry["data_offsets"][0] > 0:
            entry["data_offsets"] = [offset - 4 for offset in entry["data_offsets"]]


def holed(folder: Path) -> None:
    header, data = parts(weights(folder))
    for key, entry in header.items():
        if key != "__metadata__":
            entry["data_offsets"] = [offset + 64 for offset in entry["data_offsets"]]
    put(weights(folder), json.dumps(header).encode(), bytes(64) + data)


def with_tensor(name: str, count: int) -> Make:
    def make(folder: Path) -> None:
        header, data = parts(weights(folder))
        offsets = [len(data), len(data) + 4 * count]
        header[name] = {"dtype": "F32", "shape": [count], "data_offsets": offsets}
        put(weights(folder), json.dumps(header).encode(), data)
        os.truncate(weights(folder), weights(folder).stat().st_size + 4 * count)

    return make


def without_tensor(folder: Path) -> None:
    header, data = parts(weights(folder))
    spans = {k: v["data_offsets"] for k, v in header.items() if k != "__metadata__"}
    last = max(spans, key=lambda name: spans[name][1])
    del header[last]
    put(weights(folder), json.dumps(header).encode(), data[: spans[last][0]])


def many_tensors(folder: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    put(weights(folder), json.dumps({f"t{i}": empty for i in range(60_000)}).encode())


def content(name: str, text: bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(text)


def config(**changes: Any) -> Make:
    """Other values in config.json; ``None`` removes a key."""

    def make(folder: Path) -> None:
        path = folder / "config.json"
        values = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))

    return make


def raw_config(change: Callable[[str], str]) -> Make:
    def make(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(change(path.read_text()))

    return make


def linked(name: str) -> Make:
    """A file is a link to a good copy of itself outside the folder."""

    def make(folder: Path) -> None:
        outside = folder.parent / f"outside-{folder.name}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return make


def looped(folder: Path) -> None:
    weights(folder).unlink()
    weights(folder).symlink_to(weights(folder).name)


def pipe(name: str) -> Make:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make


def full_of_code(folder: Path) -> None:
    """A good model with things beside it that other loaders run."""
    code = "import os; os.system('touch canary'); raise SystemExit(99)\n"
    for name in ("__init__.py", "modeling.py", "vae.py", "conftest.py", "sitecustomize.py"):
        (folder / name).write_text(code)
    for name in ("pytorch_model.bin", "model.ckpt", "optimizer.pt", "scheduler.pkl"):
        (folder / name).write_bytes(pickle.dumps(Payload()))
    (folder / "model_index.json").write_text('{"_class_name": ["modeling", "Pipeline"]}')


MODELS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "header of 2^63": (lambda f: put(weights(f), b"{}", length=1 << 63), (77,)),
    "header of 2^64-1": (lambda f: put(weights(f), b"{}", length=(1 << 64) - 1), (77,)),
    "header of 99 MB": (lambda f: put(weights(f), b" " * (99 << 20)), (77,)),
    "header of 10 MB, all brackets": (lambda f: put(weights(f), b"[" * (10 << 20)), (77,)),
    "header of 10 MB, all zeros": (
        lambda f: put(weights(f), b"[" + b"0," * (5 << 20) + b"0]", length=10 << 20),
        (65, 77),
    ),
    "header longer than the file": (lambda f: put(weights(f), b"{}", length=4096), (65,)),
    "header is not JSON": (lambda f: put(weights(f), b"{'a': lambda: 0}"), (65,)),
    "header is a list": (lambda f: put(weights(f), b"[]"), (77,)),
    "header of bad UTF-8": (lambda f: put(weights(f), b'{"\xff": 1}'), (65,)),
    "60,000 tensors": (many_tensors, (77,)),
    "empty file": (content("model.safetensors", b""), (65,)),
    "duplicate keys": (doubled_keys, (77,)),
    "overlap": (reheaded(overlapping), (77,)),
    "hole": (holed, (77,)),
    "shape overflow": (
        reheaded(lambda h: first(h).update(shape=[1 << 33, 1 << 33])),
        (77,),
    ),
    "negative side": (reheaded(lambda h: first(h).update(shape=[-1, -4])), (77,)),
    "fractional side": (reheaded(lambda h: first(h).update(shape=[1.5])), (77,)),
    "a million sides": (reheaded(lambda h: first(h).update(shape=[1] * 1_000_000)), (77,)),
    "offsets beyond the file": (
        reheaded(lambda h: first(h).update(data_offsets=[0, 1 << 40])),
        (77,),
    ),
    "unknown dtype": (reheaded(lambda h: first(h).update(dtype="OBJECT")), (77,)),
    "whole numbers for real ones": (reheaded(retyped), (65,)),
    "truncated": (lambda f: os.truncate(weights(f), weights(f).stat().st_size - 7), (65,)),
    "extra tensor": (with_tensor("zzz", 4), (65,)),
    "extra tensor of 8 GB": (with_tensor("zzz", 2 * GIGA), (65,)),
    "missing tensor": (without_tensor, (65,)),
    "pickle as safetensors": (
        lambda f: weights(f).write_bytes(pickle.dumps(Payload(), protocol=4)),
        (65, 77),
    ),
    "pickle of protocol 0": (
        lambda f: weights(f).write_bytes(pickle.dumps(Payload(), protocol=0)),
        (65, 77),
    ),
    "weights are a pipe": (pipe("model.safetensors"), (66,)),
    "weights link outside": (linked("model.safetensors"), (77,)),
    "weights link to themselves": (looped, (77,)),
    "weights are missing": (lambda f: weights(f).unlink(), (66,)),
    "config links outside": (linked("config.json"), (77,)),
    "config nested 100,000 deep": (content("config.json", b'{"kind":' * 100_000), (77,)),
    "config nested 100 deep": (config(widths=json.loads("[" * 100 + "]" * 100)), (77,)),
    "config with a key twice": (
        raw_config(lambda t: t.replace("{", '{"kind": "autoencoder",', 1)),
        (77,),
    ),
    "config with NaN": (raw_config(lambda t: t.replace('"beta": 1.0', '"beta": NaN')), (78,)),
    "config with 1e999": (raw_config(lambda t: t.replace('"beta": 1.0', '"beta": 1e999')), (78,)),
    "config with 5,000 digits": (
        raw_config(lambda t: t.replace('"beta": 1.0', f'"beta": {"9" * 5000}')),
        (78,),
    ),
    "config is not UTF-8": (content("config.json", b'{"kind": "\xff\xfe"}'), (78,)),
    "config of 50 MB": (content("config.json", b" " * (50 << 20)), (77,)),
    "config is empty": (content("config.json", b""), (78,)),
    "config is a list": (content("config.json", b"[1, 2]"), (78,)),
    "config names no kind": (config(kind=None), (78,)),
    "kind is os.system": (config(kind="os.system"), (78,)),
    "kind is a path": (config(kind="../x"), (78,)),
    "kind is a module": (config(kind="vae:VAE"), (78,)),
    "kind is a list": (config(kind=["modeling", "VAE"]), (78,)),
    "kind writes to the terminal": (config(kind="\x1b]0;owned\x07\ud800"), (78,)),
    "unknown key": (config(auto_map={"AutoModel": "modeling.Model"}), (78,)),
    "unknown key of 900 kB": (config(**{"k" * 900_000: 1}), (78,)),
    "latent of 1e9": (config(latent=GIGA), (78,)),
    "size of 1e9": (config(size=[GIGA, GIGA]), (78,)),
    "size of 2^70": (config(size=[1 << 70, 8]), (78,)),
    "size is words": (config(size=["__import__('os')", "8"]), (78,)),
    "widths of 1e9": (config(widths=[GIGA]), (78,)),
    "widths larger than the weights": (config(widths=[8192, 8192, 8192]), (65,)),
    "latent larger than the weights": (config(latent=65536), (65,)),
    "image larger than the weights": (config(size=[1024, 1024], network="mlp"), (65,)),
    "100,000 widths": (config(widths=[1] * 100_000), (78,)),
    "40 widths": (config(widths=[1] * 40), (78,)),
    "most layers allowed": (config(widths=[8] * 5, blocks=16, norm="group"), (65,)),
    "newer schema": (config(schema=2), (78,)),
    "schema is words": (config(schema="__reduce__"), (78,)),
    "folder full of code": (full_of_code, (0,)),
}


def newest(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


def remark(run: Path, **changes: Any) -> None:
    """Write the checkpoint's marker anew, so that every digest agrees."""
    place = newest(run)
    names = [path.name for path in place.iterdir() if path.name != "COMPLETE"]
    digests = {name: file_digest(place / name) for name in names}
    (place / "COMPLETE").write_text(json.dumps({**digests, **changes}))


def marker_outside(run: Path) -> None:
    secret = run.parent / "secret.txt"
    secret.write_text("secret")
    remark(run, **{"../../../secret.txt": file_digest(secret), "../../x": "0"})


def checkpoint_pickle(run: Path) -> None:
    (newest(run) / "ema.safetensors").write_bytes(pickle.dumps(Payload()))
    remark(run)


def checkpoint_linked(run: Path) -> None:
    outside = run.parent / f"outside-{run.name}"
    newest(run).rename(outside)
    (run / "checkpoints" / outside.name).unlink(missing_ok=True)
    (run / "checkpoints" / "000000999").symlink_to(outside, target_is_directory=True)


def no_averages(run: Path) -> None:
    (newest(run) / "ema.safetensors").unlink()
    remark(run)


def run_header(**changes: Any) -> Make:
    def make(run: Path) -> None:
        path = run / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return make


def model_linked(run: Path) -> None:
    (run / "model").symlink_to(run.parent, target_is_directory=True)


RUNS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "COMPLETE lists ../../x": (marker_outside, (65,)),
    "COMPLETE is a list": (lambda r: (newest(r) / "COMPLETE").write_text("[]"), (65,)),
    "COMPLETE is nested": (lambda r: (newest(r) / "COMPLETE").write_text("[" * 99_999), (65,)),
    "averages are a pickle": (checkpoint_pickle, (65,)),
    "no averages": (no_averages, (65,)),
    "checkpoint links outside": (checkpoint_linked, (77,)),
    "final model links outside": (model_linked, (77,)),
    "run.json links outside": (linked("run.json"), (77,)),
    "run of os.system": (run_header(family="os.system"), (78,)),
    "run with no model": (run_header(model=None), (78,)),
    "run with words for a model": (run_header(model="os.system"), (78,)),
    "run with 1e9 latents": (run_header(model={"latent": GIGA}), (78,)),
    "run larger than its weights": (run_header(model={"widths": [8192, 8192]}), (65,)),
    "run of a newer schema": (run_header(schema=99), (78,)),
    "run.json is a list": (content("run.json", b"[]"), (78,)),
    "run.json is not UTF-8": (content("run.json", b"\xff\xfe{}"), (78,)),
}

YAML: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "object": (b"lr: !!python/object/apply:os.system ['touch canary']", (77,)),
    "new object": (b"lr: !!python/object/new:os.system ['touch canary']", (77,)),
    "name": (b"lr: !!python/name:os.system", (77,)),
    "module": (b"lr: !!python/module:antigravity", (77,)),
    "own tag": (b"lr: !include /etc/passwd", (77,)),
    "alias": (b"lr: &a 1\nclip: *a", (77,)),
    "billion laughs": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b]",
        (77,),
    ),
    "self reference": (b"&a lr: [*a]", (77,)),
    "deep brackets": (b"[" * 60_000, (77,)),
    "deep lists": (b"- " * 30_000, (77,)),
    "too many values": (b"lr: [" + b"1," * 30_000 + b"1]", (77,)),
    "too large": (b"# " + b"x" * (2 << 20), (77,)),
    "not a mapping": (b"- a\n- b", (78,)),
    "broken": (b"lr: [1, 2", (78,)),
    "binary": (b"\x80\x04\x95\x00", (78,)),
    "control characters": (b"lr: \x00\x07", (78,)),
    "huge number": (b"lr: " + b"9" * 5000, (78,)),
    "unknown option": (b"__class__: os.system", (78,)),
    "unhashable key": (b"? [1, 2]\n: 3", (77, 78)),
}

PACKED = {"count": 1, "format": 1}


def pickled_pack(folder: Path) -> None:
    """A pack whose array holds pickled objects, with a marker that agrees."""
    folder.mkdir()
    array = np.empty(1, dtype=object)
    array[0] = Payload()
    np.save(folder / "images.npy", array, allow_pickle=True)
    (folder / "index.json").write_text(json.dumps(PACKED))
    size = (folder / "images.npy").stat().st_size
    digest = file_digest(folder / "index.json")
    marker = {"images.npy": size, "index.json": digest}
    (folder / "COMPLETE").write_text(json.dumps(marker))


def pickled_npz(path: Path) -> None:
    path.parent.mkdir(parents=True)
    array = np.empty(1, dtype=object)
    array[0] = Payload()
    np.savez(path, images=array)


def good_npz(path: Path) -> None:
    np.savez(path, images=np.zeros((4, 16, 16), dtype=np.uint8))
