"""Real BrainWeb subjects: decoding, downloading, and each known fault of the package that must not be inherited."""

import dataclasses
import functools
import gzip
import subprocess
import sys
import warnings

import numpy as np
import pytest
from brainweb_server import CODES, packed, real_file, serving, synthetic_raw
from scipy.ndimage import binary_fill_holes, zoom

from pettutor.geometry import ImageGrid
from pettutor.phantoms import LABELS, Subject, fetch_brainweb, load_subject, tissues
from pettutor.phantoms.brainweb import CACHE_VARIABLE, SUBJECTS, decode_table, encode_table, read_labels
from pettutor.phantoms.download import addresses

MMR = ImageGrid((127, 344, 344), (2.03125, 2.08626, 2.08626))
SMALL = ImageGrid((40, 50, 60), (5.0, 5.5, 4.0))


@pytest.fixture(scope="module")
def raw():
    return synthetic_raw()


@pytest.fixture(scope="module")
def body(raw):
    return packed(raw)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, body):
    folder = tmp_path_factory.mktemp("brainweb")
    (folder / "subject_41.bin.gz").write_bytes(body)
    return folder


@pytest.fixture(scope="module")
def synthetic(cache):
    return load_subject("brainweb:41", cache=cache)


@pytest.fixture(scope="module")
def real():
    return load_subject("brainweb:04", cache=real_file().parent)


@pytest.fixture
def tiny(monkeypatch):
    """The body of a file of a few kilobytes, in a library that believes subjects to be that small."""
    shape = (20, 30, 25)
    monkeypatch.setattr("pettutor.phantoms.brainweb.SHAPE", shape)
    monkeypatch.setattr("pettutor.phantoms.brainweb.RAW_BYTES", 2 * int(np.prod(shape)))
    return packed(np.random.default_rng(1).choice(np.array(CODES, "<u2"), shape))


def fetch(server, folder, subject="41", **settings):
    return fetch_brainweb(
        subject, cache=folder, base_url=server.url, progress=False, **{"pause": 0.01, "timeout": 5.0, **settings}
    )


def assert_empty(folder):
    assert [p.name for p in folder.iterdir()] == []


# --- what a file holds


def test_every_code_decodes_to_its_label():
    table = decode_table()
    assert [int(table[c]) for c in CODES] == list(range(12)) == list(range(len(LABELS)))
    assert encode_table().tolist() == list(CODES)
    assert (table[190:] == 255).all()


def test_labels_equal_the_raw_codes(raw, cache):
    labels = read_labels(cache / "subject_41.bin.gz", "41")
    assert labels.dtype == np.uint8
    for label, code in enumerate(CODES):
        np.testing.assert_array_equal(labels[150:200] == label, raw[150:200] == code)


def test_subjects_addresses_and_names_are_those_of_the_package(package):
    assert [f"subject_{s}.bin.gz" for s in SUBJECTS] == list(package.LINKS)
    for subject in SUBJECTS:
        listed = package.LINKS[f"subject_{subject}.bin.gz"]
        assert addresses(subject) == [listed.replace("http:", "https:"), listed]


def test_addresses_without_the_package(monkeypatch, capsys):
    expected = addresses("38")
    monkeypatch.setitem(sys.modules, "brainweb", None)  # what SciPy 2 will do to it
    assert addresses("38") == expected
    assert "brainweb package cannot be asked" in capsys.readouterr().err


REAL = ("04", "05", "06", "18", "20", "38")  # the real files that tests may find
PUBLISHED = np.array((3244, 376, 988, 623, 104, 183, 904, 359, 24, 43, 76, 184))  # mL, mean of the twenty


@functools.cache
def real_volumes(subject):
    """mL of each label."""
    labels = read_labels(real_file(subject), subject)  # raises on a wrong checksum
    assert labels[0].any()  # the head goes on below the volume
    # plane by plane: bincount makes 8-byte numbers of what it counts
    return sum(np.bincount(plane.ravel(), minlength=12) for plane in labels) * 0.5**3 / 1000


# of which some heads have far more or less than the mean: share of it
UNUSUAL = {"06": {"muscle": 2.68, "around fat": 2.12}, "20": {"muscle": 0.56}}


@pytest.mark.parametrize("subject", REAL)
def test_real_subject_codes_checksum_and_volumes(subject):
    """Grey and white matter are much the same in all."""
    volumes = real_volumes(subject)
    assert volumes.shape == (12,)
    expected, bound = PUBLISHED.astype(float), np.full(12, 1.75)
    bound[[tissues.GREY, tissues.WHITE]] = 1.15
    for name, share in UNUSUAL.get(subject, {}).items():
        label = tissues.LABELS.index(name)
        expected[label] *= share
        bound[label] = 1.05
    assert (np.abs(np.log(volumes / expected)) < np.log(bound)).all(), volumes


def test_the_real_subjects_are_on_average_like_all_twenty():
    """Single tissues scatter by up to a half between heads, so the mean of six by a fifth."""
    mean = np.mean([real_volumes(subject) for subject in REAL], axis=0)
    assert (np.abs(np.log(mean / PUBLISHED)) < np.log(1.25)).all(), mean


# --- world frame


def test_frame_and_resampling(raw, synthetic):
    """Against sums over the raw voxels: 8 × 8 × 8 of them in each voxel of an off-centre grid."""
    # first voxel edge at (-90.5, -108.5, -90.5) mm; y turned round
    grid = ImageGrid((30, 35, 28), (4.0, 4.0, 4.0), (-90.5 + 12 + 60, -108.5 + 40 + 70, -90.5 + 20 + 56))
    phantom = synthetic.on(grid)
    front = raw[:, ::-1][24 : 24 + 240, 80 : 80 + 280, 40 : 40 + 224]
    blocks = front.reshape(30, 8, 35, 8, 28, 8)

    def part(*codes):
        return np.isin(blocks, codes).mean(axis=(1, 3, 5))

    np.testing.assert_allclose(phantom.pet, 128 * part(32) + 32 * part(48) + 16 * part(96), rtol=1e-5, atol=1e-4)
    bone = part(112, 161, 177)
    np.testing.assert_allclose(phantom.mu, 0.13 * bone + 0.0975 * (1 - bone - part(0)), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(phantom.regions["grey matter"], part(32) > 0.8)
    assert phantom.regions["head"].any()


def test_the_nose_is_up_and_the_brain_central(real):
    phantom = real.on(ImageGrid((91, 109, 91), (2.0, 2.0, 2.0)))
    weights = phantom.regions["brain"].astype(float)
    centre = [
        float((weights.sum(axis=o) * c).sum() / weights.sum())
        for c, o in zip(phantom.grid.coordinates(), ((1, 2), (0, 2), (0, 1)), strict=True)
    ]
    assert np.abs(centre).max() < 10
    # the air inside the lower head, in nose, sinuses and throat, lies in front
    head = phantom.regions["head"][:20]
    air = np.stack([binary_fill_holes(plane) & ~plane for plane in head])
    assert air[:, :54].sum() > 300 > 4 * air[:, 54:].sum()


def test_mni_and_brainweb_share_a_frame(real):
    grid = ImageGrid((60, 70, 64), (3.0, 3.1, 2.9))
    a, b = real.on(grid), load_subject("mni:0").on(grid)
    for name in ("brain", "head"):
        p, q = a.regions[name], b.regions[name]
        assert 2 * (p & q).sum() / (p.sum() + q.sum()) > 0.9, name
    for flip in (np.s_[::-1], np.s_[:, ::-1]):
        p, q = a.regions["brain"], b.regions["brain"][flip]
        assert 2 * (p & q).sum() / (p.sum() + q.sum()) < 0.9


# --- the faults of the package, one by one


def test_fault_marrow_dura_and_around_fat_are_painted(synthetic):
    voxel = (10.0, 10.0, 5.0)
    for label, mu in ((tissues.AROUND_FAT, 0.0975), (tissues.DURA, 0.13), (tissues.MARROW, 0.13)):
        x = -90.5 + 0.5 * (90 + 16 * label) + 2.5
        y = 108.5 - 0.5 * 160
        phantom = synthetic.on(ImageGrid((1, 1, 1), voxel, (-90.5 + 90, y, x)))
        np.testing.assert_allclose(phantom.mu, mu, rtol=1e-5)
        assert phantom.labels.item() == label
    assert phantom.t1.item() == pytest.approx(180)
    assert phantom.t2.item() == pytest.approx(250)


def test_fault_attenuation_of_a_real_head(real):
    """Lines through the brain from front to back: the lost tissues make the package's attenuation too weak."""
    grid = ImageGrid((91, 106, 89), MMR.voxel_size)
    right, lost = real.on(grid), dataclasses.replace(real, legacy=True).on(grid)
    through = right.regions["brain"].any(axis=1)
    ours, theirs = (p.mu.sum(axis=1)[through] * 0.208626 for p in (right, lost))
    low = 1 - np.exp(np.median(theirs - ours))  # of the correction factors
    assert 0.08 < low < 0.22, low  # 10 to 18 % in the median, by direction


def test_fault_noise_arguments_are_not_forgotten(synthetic):
    plain = synthetic.on(SMALL)
    rough = synthetic.on(SMALL, structure=1.0)
    again = synthetic.on(SMALL)
    assert not np.array_equal(plain.pet, rough.pet)
    np.testing.assert_array_equal(plain.pet, again.pet)


@pytest.mark.parametrize("modes", [(404,), (503,), ("page",), (302,)])
def test_fault_error_pages_never_reach_the_cache(tmp_path, tiny, modes):
    with serving(tiny, *modes) as server, pytest.raises((OSError, ValueError), match=r"mni:0") as caught:
        fetch(server, tmp_path)
    assert str(modes[0]) in str(caught.value) or "web page" in str(caught.value)
    assert_empty(tmp_path)


@pytest.mark.parametrize("grid", [ImageGrid((181, 217, 181), (1, 1, 1)), ImageGrid((20, 434, 362), (0.5, 0.5, 0.5))])
def test_fault_other_resolutions_work(synthetic, grid):
    phantom = synthetic.on(grid)
    assert phantom.pet.shape == grid.shape
    assert set(np.unique(phantom.pet)) <= {0.0, 16.0, 32.0, 128.0} or grid.voxel_size[0] == 1
    assert phantom.pet.max() == 128


def test_fault_global_random_state_is_left_alone(synthetic):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, other = (synthetic.on(SMALL, structure=0.5, seed=s) for s in (4, 4, 5))
    np.testing.assert_array_equal(one.pet, two.pet)
    assert not np.array_equal(one.pet, other.pet)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_fault_offline_names_the_embedded_brain(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with serving(b"") as server:
        url = server.url
    with pytest.raises(OSError, match=r"cannot be downloaded: 127\.0\.0\.1.*load_subject\('mni:0'\)"):
        load_subject("brainweb:42", cache=tmp_path, base_url=url, progress=False)
    assert_empty(tmp_path)


_PEAK = """
import sys
from pettutor.geometry import ImageGrid
from pettutor.phantoms import load_subject
p = load_subject("brainweb:41", cache=sys.argv[1]).on(ImageGrid((127, 344, 344), (2.03125, 2.08626, 2.08626)))
assert p.pet.max() > 100
# not ru_maxrss: that remembers the process that started this one
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) / 1024, "brainweb" in sys.modules, "skimage" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_fault_memory_and_the_import_that_scipy_2_breaks(cache):
    done = subprocess.run([sys.executable, "-c", _PEAK, str(cache)], capture_output=True, text=True, check=True)
    peak, brainweb, skimage = done.stdout.split()
    assert float(peak) < 700  # MB; the package needs 1100
    assert (brainweb, skimage) == ("False", "False")


# --- downloading


def test_download_then_load(tmp_path, body, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "new" / "folder"))
    with serving(body) as server:
        subject = load_subject("brainweb:41", base_url=server.url, progress=False)
        load_subject("brainweb:41", base_url=server.url, progress=False)
    assert [path for path, _ in server.asked] == ["/subject_41.bin.gz"]  # once
    assert "BrainWeb" in subject.source and "Collins" in subject.citation and "Aubert-Broche" in subject.citation
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["subject_41.bin.gz"]


def test_the_progress_bar_counts_bytes(tmp_path, tiny, capsys):
    with serving(tiny, "stop", "resume") as server:
        fetch_brainweb("41", cache=tmp_path / "a", base_url=server.url, pause=0.01)
        half, whole = (bar.split("\r")[-1] for bar in capsys.readouterr().err.strip().split("\n"))
        fetch_brainweb("41", cache=tmp_path / "b", base_url=server.url, progress=False)
    size = f"{len(tiny) / 1000:#.3g}k"
    assert half.startswith("BrainWeb 41:  50%|") and f"/{size} [00:" in half and half.endswith("B/s]")
    assert whole.startswith("BrainWeb 41: 100%|") and f" {size}/{size} [00:" in whole and whole.endswith("B/s]")
    assert capsys.readouterr().err == ""


def test_a_cut_transfer_is_resumed(tmp_path, tiny):
    with serving(tiny, "stop", "resume") as server:
        path = fetch(server, tmp_path)
    assert path.read_bytes() == tiny
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={len(tiny) // 2}-"]


@pytest.mark.parametrize("first", ["stop", "stop without length", 500, "page", "hang"])
def test_a_second_attempt_mends(tmp_path, tiny, first):
    with serving(tiny, first, "fine") as server:
        path = fetch(server, tmp_path, timeout=0.4)
    assert path.read_bytes() == tiny
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("mode", "words"), [("stop", "cut short"), ("stop without length", "cut short"), ("hang", "timed out")]
)
def test_what_stays_bad_is_refused_and_removed(tmp_path, tiny, mode, words):
    with serving(tiny, mode) as server, pytest.raises((OSError, ValueError), match=words):
        fetch(server, tmp_path, timeout=0.3, retries=2)
    assert len(server.asked) == 2
    assert_empty(tmp_path)


def test_wrong_content_is_refused(tmp_path, body):
    cases = {
        "04": (body, "sha256 717b5577026139a4"),  # whole, but not this subject
        "42": (gzip.compress(bytes(1000)), "113,746,192 bytes"),
        "43": (gzip.compress(bytes([0, 1]) * 57_000_000, 1), "codes 0 to 177, got 256"),
        "44": (body[:-6] + b"\0\0\0\0\0\0", "CRC"),
    }
    for subject, (wrong, words) in cases.items():
        with serving(wrong) as server, pytest.raises(ValueError, match=words):
            fetch(server, tmp_path, subject, retries=1)
        assert_empty(tmp_path)


def test_force_keeps_the_old_file_until_a_whole_one_came(tmp_path, tiny):
    path = tmp_path / "subject_41.bin.gz"
    path.write_bytes(b"old")
    with serving(tiny, 500, "fine") as server:
        with pytest.raises(OSError):
            fetch(server, tmp_path, force=True, retries=1)
        assert path.read_bytes() == b"old"
        fetch(server, tmp_path, force=True)
    assert path.read_bytes() == tiny


@pytest.mark.parametrize("poison", ["page", "cut", "crc"])
def test_a_poisoned_cache_is_refused_with_the_command_that_mends_it(tmp_path, tiny, poison, monkeypatch):
    bad = {"page": b"<html>502</html>", "cut": tiny[: len(tiny) // 2], "crc": tiny[:-8] + bytes(8)}[poison]
    path = tmp_path / "subject_41.bin.gz"
    path.write_bytes(bad)
    with pytest.raises(ValueError, match="Mend it with") as caught:
        load_subject("brainweb:41", cache=tmp_path)
    assert ("web page" in str(caught.value)) == (poison == "page")
    command = str(caught.value).partition('python -c "')[2].rstrip('"')
    with serving(tiny) as server:
        monkeypatch.setattr("pettutor.phantoms.download.addresses", lambda *_: [f"{server.url}subject_41.bin.gz"])
        exec(command, {})
    load_subject("brainweb:41", cache=tmp_path)


def test_missing_file_without_download(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"subject_05\.bin\.gz.*fetch_brainweb\('05'.*mni:0"):
        load_subject("brainweb:05", cache=tmp_path, download=False)


def test_unknown_subject():
    with pytest.raises(ValueError, match=r"expected one of 04 05 06 18 20 38 41 .* 54, got '07'"):
        load_subject("brainweb:07")


# --- legacy


@pytest.fixture(scope="module")
def package():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("brainweb")


def test_legacy_equals_the_package(package, real):
    theirs = package.toPetMmr(package.load_file(str(real_file())))[:, :, ::-1]
    ours = dataclasses.replace(real, legacy=True).on(MMR)
    for name, image in zip(("pet", "mu", "t1", "t2"), theirs, strict=True):
        np.testing.assert_allclose(getattr(ours, name), image, rtol=2e-7, atol=1e-7, err_msg=name)
    # the labels and regions are the right ones, and lie where the images lie
    assert (ours.pet[ours.regions["grey matter"]] > 64).mean() > 0.98


def small_legacy():
    labels = np.random.default_rng(3).integers(0, 12, (52, 61, 70), dtype=np.uint8)
    origin = tuple(-0.25 * (n - 1) for n in labels.shape)
    return Subject("small", "drawn", "none", labels, (0.5, 0.5, 0.5), origin, legacy=True)


def test_legacy_amyloid_equals_the_package(package):
    """On a few drawn labels: every map of a whole head takes the package seconds."""
    small = small_legacy()
    codes = encode_table()[small.labels[:, ::-1]]  # in a file, y goes to the front
    (theirs,) = package.toPetMmr(codes, modes=[package.Amyloid])[:, :, ::-1]
    assert theirs.max() > 30
    np.testing.assert_allclose(small.on(MMR, "amyloid").pet, theirs, rtol=2e-7, atol=1e-7)


def test_legacy_noise_is_that_of_the_package(package):
    grid, subject = ImageGrid((17, 20, 23), (2.0, 2.1, 1.9)), small_legacy()
    plain, rough = subject.on(grid, "amyloid"), subject.on(grid, "amyloid", structure=1.0, seed=7)
    package.seed(7)
    for name, n in (("pet", 1.0), ("t1", 0.75), ("t2", 0.75)):
        expected = package.noise(getattr(plain, name)[:, ::-1], n)[:, ::-1]
        np.testing.assert_allclose(getattr(rough, name), expected, rtol=1e-5, atol=1e-5)


def test_legacy_against_scipy_zoom():
    """The same linear resize by another program, on unequal voxels, with the lost labels left out."""
    grid, subject = ImageGrid((20, 25, 19), (2.1, 1.9, 2.6)), small_legacy()
    table = tissues.lookup_table({k: v for k, v in tissues.MU.items() if k < 9})
    shape = np.array(subject.labels.shape)
    small = zoom(
        table[subject.labels],
        np.rint(shape * 0.5 / grid.voxel_size) / shape,
        order=1,
        mode="grid-constant",
        grid_mode=True,
    )
    # padding as in the package: before y is turned round
    left = [(n - r) // 2 for n, r in zip(grid.shape, small.shape, strict=True)]
    expected = np.zeros(grid.shape)
    z, y, x = (slice(p, p + r) for p, r in zip(left, small.shape, strict=True))
    expected[z, y, x] = small[:, ::-1]
    np.testing.assert_allclose(subject.on(grid).mu, expected[:, ::-1], atol=1e-6)


def test_legacy_asks_for_a_grid_that_holds_the_head(cache):
    legacy = load_subject("brainweb:41", cache=cache, legacy=True)
    with pytest.raises(ValueError, match="legacy=True"):
        legacy.on(ImageGrid((31, 128, 128), (2, 2, 2)))
    with pytest.raises(TypeError, match="expected an int with legacy=True"):
        legacy.on(SMALL, structure=1.0, seed=np.random.default_rng(0))
    with pytest.raises(ValueError, match="knows only BrainWeb"):
        load_subject("mni:0", legacy=True)
