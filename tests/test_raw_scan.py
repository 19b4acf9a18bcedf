"""The files of the lesson on real data: simulated, and found again by their sizes."""

import numpy as np
import pytest

import pettutor as pt
from pettutor.simulation import attenuation_factors

RING = pt.Scanner.preset(
    "mmr", rings=1, span=1, max_ring_difference=0, image_shape=(1, 64, 64), image_voxel_size=(4.0625, 4.2, 4.2)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("raw")


@pytest.fixture(scope="module")
def scan(folder):
    return pt.course.simulate_raw_scan(folder, RING, counts=3e5, randoms_fraction=0.4, seconds=24, seed=5)


def test_the_files_hold_what_was_asked_for(scan):
    raw = pt.io.read_listmode(scan.listmode, RING)
    assert raw.seconds == 24
    assert raw.prompts.sum() == pytest.approx(3e5 / 0.6, rel=0.01)
    assert raw.delayeds.sum() == pytest.approx(2e5, rel=0.01)
    trues = raw.prompts_per_second.astype(float) - raw.delayeds_per_second
    assert trues[:2].mean() < 0.1 * trues[-4:].mean()
    # randoms go with the square of the activity, so they begin later
    assert raw.delayeds_per_second[:6].sum() / 2e5 < 0.75 * trues[:6].sum() / 3e5
    assert not raw.prompts[:, ~RING.live_bins].any() and not raw.delayeds[:, ~RING.live_bins].any()


def test_the_model_of_the_files_explains_the_prompts(scan):
    """Normalisation with dead time, attenuation and smoothed randoms, all from files: chi-squared by crystal."""
    raw = pt.io.read_listmode(scan.listmode, RING)
    mu, grid = pt.io.load_nifti(scan.mu)
    assert grid == scan.truth.grid
    X = pt.Projector(RING, grid, device="cpu")
    factors = pt.io.read_normalisation(scan.normalisation).factors(RING, raw.bucket_singles)
    randoms = pt.smooth_randoms(raw.delayed_fans, RING)

    def misfit(normalisation):
        model = pt.AcquisitionModel(
            X, attenuation=attenuation_factors(mu, X), normalisation=normalisation, psf_fwhm=4.5
        )
        trues = model(scan.truth.pet)
        expected = (trues * (3e5 / trues.sum(dtype=float)) + randoms)[0]
        ends = RING.bin_crystals[RING.live_bins][:, 0]
        by_crystal = [np.bincount(ends, values[RING.live_bins], minlength=504) for values in (raw.prompts[0], expected)]
        seen = by_crystal[1] > 20
        return float(((by_crystal[0] - by_crystal[1])[seen] ** 2 / by_crystal[1][seen]).mean())

    assert misfit(factors) < 1.5
    assert misfit(RING.live_bins[None].astype(np.float32)) > 5


def test_the_files_are_found_again(scan, folder, tmp_path):
    found = pt.course.find_raw_scan(folder)
    assert (found.listmode, found.normalisation, found.mu) == (scan.listmode, scan.normalisation, scan.mu)
    assert found.truth is None
    # as they are called in the public scan, without a map
    for place, source in (("LM", scan.listmode), ("norm", scan.normalisation)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1234.000000.bf").write_bytes(source.read_bytes())
        (tmp_path / place / "1234.000000.dcm").write_bytes(b"header")
    (tmp_path / "LM" / "short.bf").write_bytes(b"1234")
    found = pt.course.find_raw_scan(tmp_path)
    assert (
        found.listmode == tmp_path / "LM" / "1234.000000.bf"
        and found.normalisation.parent.name == "norm"
        and found.mu is None
    )


def test_folders_without_a_scan(scan, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder with the files of a scan, got none"):
        pt.course.find_raw_scan(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="expected a normalisation file, got none"):
        pt.course.find_raw_scan(tmp_path)
    (tmp_path / "a.n").write_bytes(scan.normalisation.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"expected a list-mode file \(\.bf or \.l\), got none"):
        pt.course.find_raw_scan(tmp_path)
    (tmp_path / "b.bf").write_bytes(scan.normalisation.read_bytes())
    with pytest.raises(ValueError, match=r"expected a normalisation file, got a\.n, b\.bf"):
        pt.course.find_raw_scan(tmp_path)


def test_scans_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="counts: expected a number of trues > 0, got 0"):
        pt.course.simulate_raw_scan(tmp_path, RING, counts=0)
    with pytest.raises(ValueError, match=r"randoms_fraction: expected a share in 0 … 1 \(1 excluded\), got 1"):
        pt.course.simulate_raw_scan(tmp_path, RING, counts=10, randoms_fraction=1)
    with pytest.raises(ValueError, match="scanner: expected rings of the mMR"):
        pt.course.simulate_raw_scan(tmp_path, pt.Scanner.preset("slab"), counts=10)
    with pytest.raises(FileNotFoundError, match="expected a folder to write the scan into, got none"):
        pt.course.simulate_raw_scan(tmp_path / "none", RING, counts=10)
    assert list(tmp_path.iterdir()) == []
