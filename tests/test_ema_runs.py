"""Choosing the length of the average of a finished run; killed runs keep the same snapshots."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import training_kit as kit

import mezzotint as mz
from mezzotint.errors import DataError, RefusedError, UsageError
from mezzotint.runs import snapshots
from mezzotint.storage.weights import load_tensors

KEPT = 4
FAULTS = ["step.update:9", "snapshot.done:2", "tensors.rename:3", "checkpoint.done:8"]


@pytest.fixture(scope="module")
def unbroken() -> Path:
    path = kit.home() / "reference-snapshots"
    assert kit.train("denoising", path, ema_snapshots=KEPT).code == 0
    return path


@pytest.fixture
def run(unbroken: Path, tmp_path: Path) -> Path:
    return kit.copy_of(unbroken, tmp_path / "run")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "model.safetensors")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_killed_run_keeps_the_same_snapshots(fault: str, unbroken: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # a checkpoint far behind the snapshots makes the resumed run take some of them anew
    every = {"ema_snapshots": KEPT, "checkpoint_seconds": 0 if "checkpoint" in fault else 60}
    assert kit.train("denoising", run, fault, **every).code == kit.KILLED
    assert kit.train("denoising", run, ema_snapshots=KEPT).code == 0
    kit.require_equal(run, unbroken)
    stored = snapshots.files(run / "averages")
    assert len(stored) == KEPT
    for path in stored:
        assert path.read_bytes() == (unbroken / "averages" / path.name).read_bytes()


def test_snapshots_change_nothing_else(unbroken: Path) -> None:
    plain = kit.digests(kit.reference("denoising"))
    kept = kit.digests(unbroken)
    assert {name: kept[name] for name in plain if name != "config.json"} == {
        name: plain[name] for name in plain if name != "config.json"
    }
    assert kept.keys() - plain.keys() == {"ema-0.1"}


def test_the_length_of_training_gives_the_model_back(run: Path) -> None:
    before = weights(run / "model")
    found = mz.average(run, length=0.05)
    assert found.error < 1e-6
    assert found.path == run / "model"
    after = weights(run / "model")
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert "EMA of length 0.05" in (run / "model" / "README.md").read_text()


def test_another_length_goes_where_it_is_told(run: Path, tmp_path: Path) -> None:
    before = weights(run / "model")
    found = mz.average(run, length=0.15, out=tmp_path / "longer")
    assert found.path == tmp_path / "longer"
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(run / "model").items())
    mixed, _ = snapshots.mix(snapshots.listing(run / "averages"), 0.15)
    model = mz.load(tmp_path / "longer")
    assert all(torch.equal(mixed[name], tensor) for name, tensor in model.state_dict().items())
    assert any(not torch.equal(mixed[name], before[name]) for name in before)


def test_without_a_length_the_least_loss_wins(run: Path) -> None:
    found = mz.average(run, kit.data())
    assert len(found.losses) > 5
    assert found.losses[found.length] == min(found.losses.values())
    assert len(set(found.losses.values())) > 5
    line = kit.history(run)[-1]
    assert found.losses[0.05] == pytest.approx(line["validation_loss"], rel=1e-4)


def test_the_command(run: Path) -> None:
    told = kit.call(["ema", str(run), str(kit.data())])
    assert told.code == 0, told.output
    assert told.output.count("loss") > 5
    assert f"model: {run / 'model'}" in told.output
    told = kit.call(["ema", str(run), "--length", "0.08", "--json"])
    assert told.code == 0, told.output
    assert json.loads(told.output)["length"] == 0.08


def test_what_cannot_be_chosen(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to choose"):
        mz.average(run)
    for length in (0, -1, 0.3, float("nan")):
        with pytest.raises(UsageError, match="no length"):
            mz.average(run, length=length)
    shutil.rmtree(run / "averages")
    with pytest.raises(UsageError, match="kept no averages"):
        mz.average(run, length=0.1)
    broken = kit.interrupted("denoising", tmp_path / "broken")
    with pytest.raises(UsageError, match="not finished"):
        mz.average(broken, length=0.1)


def test_hostile_snapshots_change_nothing(run: Path, tmp_path: Path) -> None:
    before = weights(run / "model")
    last = snapshots.files(run / "averages")[-1]
    content = last.read_bytes()
    last.write_bytes(content[:-5])
    with pytest.raises(DataError, match="damaged"):
        mz.average(run, length=0.1)
    last.unlink()
    (tmp_path / "outside").write_bytes(content)
    last.symlink_to(tmp_path / "outside")
    with pytest.raises(RefusedError, match="out of its folder"):
        mz.average(run, length=0.1)
    after = weights(run / "model")
    assert all(torch.equal(before[name], after[name]) for name in before)
