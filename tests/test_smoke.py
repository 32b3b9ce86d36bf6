import mezzotint as mz


def test_trains_and_samples_digits(tmp_path):
    run = mz.train("vae", "digits", out=tmp_path / "run", size=16, images=512, batch=64)
    assert run.model.sample(seeds=range(3)).shape == (3, 1, 16, 16)
