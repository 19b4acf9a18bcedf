"""The embedded head, images on grids, texture, lesions and the teaching objects."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label as connected

from pettutor import phantoms
from pettutor.geometry import ImageGrid
from pettutor.phantoms import LABELS, Lesion, Subject, load_subject, tissues
from pettutor.phantoms.mni import atlas_file, displacement
from pettutor.phantoms.resample import fraction_planes, segments_to_grid

GRID = ImageGrid((31, 128, 128), (2.0, 2.0, 2.0))
UNEVEN = ImageGrid((23, 31, 27), (4.0, 5.0, 6.0), (10.0, -7.0, 3.0))


@pytest.fixture(scope="module")
def mni():
    return load_subject("mni:0")


@pytest.fixture(scope="module")
def phantom(mni):
    return mni.on(GRID)


# --- resampling, against a dense sum over every pair of voxels


def overlaps(source_start, source_step, source_count, target_start, target_step, target_count):
    s = source_start + source_step * np.arange(source_count + 1)
    t = target_start + target_step * np.arange(target_count + 1)
    inside = np.minimum(s[None, 1:], t[1:, None]) - np.maximum(s[None, :-1], t[:-1, None])
    return np.clip(inside, 0, None) / target_step


def dense_fractions(labels, voxel_size, origin, grid, count):
    w = [
        overlaps(o - d / 2, d, n, go - gd / 2, gd, gn)
        for o, d, n, go, gd, gn in zip(
            origin, voxel_size, labels.shape, grid.origin, grid.voxel_size, grid.shape, strict=True
        )
    ]
    hot = (labels[None] == np.arange(count)[:, None, None, None]).astype(float)
    return np.einsum("lzyx,az,by,cx->labc", hot, *w, optimize=True)


lengths = st.floats(0.4, 4.0)


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(lengths, lengths, lengths),
    target=st.tuples(lengths, lengths, lengths),
    centre=st.tuples(*[st.floats(-6, 6)] * 3),
    seed=st.integers(0, 99),
)
def test_fractions_equal_the_dense_sum(source, target, centre, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, (4, 6, 5), dtype=np.uint8)
    scalar = rng.integers(0, 200, labels.shape, dtype=np.uint8)
    grid, origin = ImageGrid((5, 3, 4), target, centre), (-3.0, -4.5, -2.0)
    expected = dense_fractions(labels, source, origin, grid, 5)
    expected[0] = 1 - expected[1:].sum(axis=0)
    mean = np.einsum(
        "zyx,az,by,cx->abc",
        scalar.astype(float),
        *(
            overlaps(o - d / 2, d, n, go - gd / 2, gd, gn)
            for o, d, n, go, gd, gn in zip(
                origin, source, labels.shape, grid.origin, grid.voxel_size, grid.shape, strict=True
            )
        ),
        optimize=True,
    )
    axes = segments_to_grid(labels.shape, source, origin, grid)
    found, found_mean = np.zeros((5, *grid.shape)), np.zeros(grid.shape)
    found[0] = 1
    for plane, fractions, m in fraction_planes(labels, axes, 5, scalar):
        found[:, plane, axes[1].box, axes[2].box] = fractions
        found_mean[plane, axes[1].box, axes[2].box] = m
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found_mean, mean, rtol=1e-5, atol=1e-4)


def test_totals_are_conserved_on_every_grid_that_holds_the_head(mni):
    table = tissues.lookup_table(tissues.PET["fdg"])
    total = table[mni.labels].sum()  # 1 mm³ voxels
    for grid in (UNEVEN.moved((0, 0, 0)), ImageGrid((30, 40, 41), (7.0, 6.9, 5.3), (3.0, 9.0, -8.0))):
        grid = ImageGrid(tuple(n * 2 for n in grid.shape), grid.voxel_size, grid.centre)
        image = mni.on(grid).pet
        assert image.sum(dtype=float) * grid.voxel_volume == pytest.approx(total, rel=1e-5)


def test_nothing_outside_the_head_and_part_of_it_alone(mni, phantom):
    part = mni.on(ImageGrid((5, 40, 30), (2.0, 2.0, 2.0), (4.0, 10.0, -22.0)))
    z, y, x = (round(i) for i in GRID.index_of(part.grid.origin))
    for name in ("pet", "mu", "t1", "t2", "labels"):
        whole = getattr(phantom, name)
        np.testing.assert_allclose(getattr(part, name), whole[z : z + 5, y : y + 40, x : x + 30], rtol=1e-5, atol=1e-4)
        assert not whole[:, :3].any() and not whole[..., :3].any()
    with pytest.raises(ValueError, match=r"grid: expected a grid that touches the head of 'mni:0'"):
        mni.on(GRID.moved((0, 600, 0)))
    with pytest.raises(ValueError, match="touches the head"):
        mni.on(ImageGrid((2, 2, 2), (1, 1, 1), (150, 0, 0)))


# --- the embedded head


_OFFLINE = """
import socket, sys, time
def refuse(*a, **k): raise OSError("no network here")
socket.socket.connect = refuse
from pettutor.geometry import ImageGrid
start = time.perf_counter()
from pettutor.phantoms import load_subject
p = load_subject("mni:0").on(ImageGrid((31, 128, 128), (2, 2, 2)))
heavy = {"nilearn", "brainweb", "matplotlib", "numba", "pandas", "sklearn", "requests"} & set(sys.modules)
print(sorted(heavy), p.source, p.pet.max())
"""


def test_embedded_head_needs_no_network_writes_nothing_and_loads_little(tmp_path):
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", _OFFLINE], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[] ICBM MNI152") and "128" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_it_is(mni, phantom):
    for thing in (mni, phantom):
        assert "MNI152" in thing.source and "MNI152" in repr(thing)
        assert "Fonov" in thing.citation and "2011" in thing.citation and "2009" in thing.citation
    other = load_subject("mni:7")
    assert "seed 7" in other.source and "mni:7" in repr(other) and "not BrainWeb" in other.source


def test_brain_is_the_atlas(mni):
    """Labels against the atlas's own probabilities, read by another route (x, y, z order of the file)."""
    import nibabel

    files = {k: nibabel.load(atlas_file(k)) for k in ("gm", "wm", "t1")}
    volumes = {k: np.asanyarray(v.dataobj).astype(float) for k, v in files.items()}
    rng = np.random.default_rng(0)
    found = {tissues.GREY: [], tissues.WHITE: []}
    for i, j, k in rng.integers((0, 0, 0), volumes["t1"].shape, (4000, 3)):
        x, y, z = files["t1"].affine[:3, 3] + (i, j, k)
        at = np.array([z - 18, -(y + 18), x])  # the documented world frame
        index = tuple(np.rint(at - mni.origin).astype(int))
        t1, gm, wm = (volumes[n][i, j, k] for n in ("t1", "gm", "wm"))
        here = mni.labels[index]
        if gm > 200 or wm > 200:
            found[tissues.GREY if gm > wm else tissues.WHITE].append(here)
        elif t1 == 0:
            assert here not in (tissues.GREY, tissues.WHITE)
    for label, values in found.items():
        assert len(values) > 50 and set(values) == {label}


def test_volumes_are_those_of_a_head(mni):
    volumes = dict(zip(LABELS, np.bincount(mni.labels.ravel(), minlength=12) / 1000, strict=True))
    published = {"csf": 376, "grey matter": 988, "white matter": 623, "dura": 76, "skull": 359, "marrow": 184}
    for name, volume in published.items():  # BrainWeb's means, mL
        assert 0.6 * volume < volumes[name] < 1.6 * volume, (name, volumes[name])
    assert 400 < volumes["skull"] + volumes["marrow"] < 700
    assert 700 < volumes["skin"] + volumes["fat"] + volumes["muscle"] < 1400


def test_the_skull_closes_round_the_brain_and_the_scalp_round_the_skull(mni):
    brain = np.isin(mni.labels, (tissues.GREY, tissues.WHITE))
    bone = np.isin(mni.labels, (tissues.SKULL, tissues.MARROW))
    z = mni.origin[0] + np.arange(mni.labels.shape[0])
    for k in np.flatnonzero((z > -35) & (z < 45))[::4]:
        parts, _ = connected(~bone[k])
        outside = parts[0, 0]
        assert brain[k].any() and outside not in parts[brain[k]], f"brain open to the outside at z = {z[k]}"
        soft, _ = connected(mni.labels[k] == tissues.BACKGROUND)
        # scalp: bone never touches the air round the head
        air = soft == soft[0, 0]
        touching = air[1:-1, 1:-1] & (bone[k][2:, 1:-1] | bone[k][:-2, 1:-1] | bone[k][1:-1, 2:] | bone[k][1:-1, :-2])
        assert not touching.any(), f"bare bone at z = {z[k]}"


def test_skull_and_scalp_are_as_thick_as_an_adults(mni):
    """Along rays from the middle of the brain, in the planes of the vault."""
    z = mni.origin[0] + np.arange(mni.labels.shape[0])
    y0, x0 = (round(-o) for o in mni.origin[1:])
    skull, scalp = [], []
    for k in np.flatnonzero((z > 0) & (z < 40))[::5]:
        for angle in np.arange(0, 2 * np.pi, 0.1):
            r = np.arange(0, 115, 0.25)
            ray = mni.labels[k][
                np.rint(y0 + r * np.sin(angle)).astype(int).clip(0, mni.labels.shape[1] - 1),
                np.rint(x0 + r * np.cos(angle)).astype(int).clip(0, mni.labels.shape[2] - 1),
            ]
            bone = np.isin(ray, (tissues.SKULL, tissues.MARROW))
            skull.append(bone.sum() / 4)
            scalp.append((np.isin(ray, (tissues.SKIN, tissues.FAT, tissues.MUSCLE))).sum() / 4)
    assert 4 < np.median(skull) < 10 and min(skull) > 2
    assert 4 < np.median(scalp) < 10 and min(scalp) > 2


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 13, 21, 34, 144, 4181])
def test_deformations_do_not_fold(number):
    field = displacement((189, 253, 197), number)
    gradient = np.stack([np.stack(np.gradient(u, 4.0)) for u in field])  # du_i/dx_j
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    determinant = np.linalg.det(jacobian)
    assert determinant.min() > 0.2
    assert 2 < np.sqrt((field**2).sum(axis=0)).mean() < 15  # mm: a different head, still a head


def test_different_numbers_are_different_subjects(mni):
    brains = {n: load_subject(f"mni:{n}").labels == tissues.GREY for n in (0, 1, 2)}
    for a, b in ((0, 1), (0, 2), (1, 2)):
        p, q = brains[a], brains[b]
        assert 0.2 < 2 * (p & q).sum() / (p.sum() + q.sum()) < 0.8
    for brain in brains.values():
        assert 800 < brain.sum() / 1000 < 1300
    again = load_subject.__wrapped__("mni:1") if hasattr(load_subject, "__wrapped__") else load_subject("mni:1")
    np.testing.assert_array_equal(again.labels == tissues.GREY, brains[1])


def test_the_draw_of_a_subject_is_repeatable():
    np.testing.assert_array_equal(displacement((40, 50, 60), 3), displacement((40, 50, 60), 3))
    assert not np.array_equal(displacement((40, 50, 60), 3), displacement((40, 50, 60), 4))


def test_t1_is_the_atlas_scaled_to_the_tissue_values(mni):
    for label, value in ((tissues.WHITE, 154), (tissues.GREY, 106)):
        inside = mni.t1_map[mni.labels == label]
        assert abs(float(np.median(inside)) - value) < 8
        assert inside.std() > 3  # measured, not painted


# --- images


def test_images_have_the_tissues_values(phantom):
    for name in ("pet", "mu", "t1", "t2"):
        image = getattr(phantom, name)
        assert image.dtype == np.float32 and image.shape == GRID.shape and image.min() >= 0
    assert phantom.labels.dtype == np.uint8
    assert phantom.pet.max() == 128 and phantom.mu.max() == pytest.approx(0.13)
    grey, white = phantom.regions["grey matter"], phantom.regions["white matter"]
    assert (phantom.pet[grey] > 0.8 * 128).all() and (phantom.pet[white] < 0.8 * 32 + 0.2 * 128 + 0.1).all()
    assert not (grey & white).any() and not (grey & ~phantom.regions["brain"]).any()
    assert not (phantom.regions["brain"] & ~phantom.regions["head"]).any()
    assert (phantom.labels[grey] == tissues.GREY).all()
    # between white-matter bulk and its surroundings there are mixed voxels
    assert ((phantom.pet > 40) & (phantom.pet < 120)).sum() > 5000


def test_amyloid(mni):
    fdg, amyloid = mni.on(UNEVEN), mni.on(UNEVEN, tracer="amyloid")
    assert amyloid.pet.max() == pytest.approx(66, rel=1e-5)
    np.testing.assert_array_equal(fdg.t1, amyloid.t1)
    with pytest.raises(ValueError, match="tracer: expected one of 'fdg', 'amyloid', got 'FDG'"):
        mni.on(UNEVEN, tracer="FDG")


def test_structure_varies_inside_the_tissues_only(mni, phantom):
    rough = mni.on(GRID, structure=0.6, seed=3)
    np.testing.assert_array_equal(rough.mu, phantom.mu)
    np.testing.assert_array_equal(rough.labels, phantom.labels)
    assert not rough.pet[phantom.pet == 0].any()
    white, ratios = phantom.regions["white matter"], {}
    for name, n in (("pet", 0.6), ("t1", 0.45), ("t2", 0.45)):  # three quarters in MR
        ratio = ratios[name] = getattr(rough, name)[white] / getattr(phantom, name)[white]
        assert ratio.mean() == pytest.approx(1, abs=0.01)
        # uniform noise has a standard deviation of 1/√12; a Gaussian of sigma 1 leaves (2√π)^(-3/2) of it
        assert ratio.std() == pytest.approx(2 * n / np.sqrt(12) * (2 * np.sqrt(np.pi)) ** -1.5, rel=0.15)
    assert abs(np.corrcoef(ratios["pet"], ratios["t1"])[0, 1]) < 0.1  # drawn separately


def test_structure_is_the_same_on_every_grid(mni):
    small = ImageGrid((3, 20, 20), (2.0, 2.0, 2.0), (0.0, 6.0, -14.0))
    whole, part = mni.on(GRID, structure=1.0, seed=2), mni.on(small, structure=1.0, seed=2)
    z, y, x = (round(i) for i in GRID.index_of(small.origin))
    np.testing.assert_allclose(part.pet, whole.pet[z : z + 3, y : y + 20, x : x + 20], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("structure", [-0.1, 1.5, "much", None, True])
def test_bad_structure(mni, structure):
    with pytest.raises(ValueError, match="structure: expected a number from 0"):
        mni.on(UNEVEN, structure=structure)


def test_bad_names_and_grids(mni):
    for name in ("mni", "mni:", "mni:-1", "mni:x", "brain:1", "", 3, None):
        with pytest.raises(ValueError, match="subject: expected 'mni:N'"):
            load_subject(name)
    with pytest.raises(TypeError, match=r"grid: expected a pettutor\.ImageGrid, got tuple"):
        mni.on((31, 128, 128))


# --- lesions


def test_standard_lesions(phantom):
    before = {n: getattr(phantom, n).copy() for n in ("pet", "t1", "t2")}
    new = phantom.with_lesions(seed=5)
    names = [n for n in new.regions if n.startswith("lesion")]
    assert names == [f"lesion {i}" for i in (1, 2, 3, 4)]
    assert [(s.diameter, s.kind, s.blur) for s in new.lesions] == [
        (15, "hot", 0), (7, "cold", 2), (8, "hot", 2.5), (5, "hot", 0),
    ]  # fmt: skip
    z, y, x = GRID.coordinates()
    for name, lesion in zip(names, new.lesions, strict=True):
        cz, cy, cx = lesion.centre
        distance = np.sqrt((z - cz)[:, None, None] ** 2 + (y - cy)[None, :, None] ** 2 + (x - cx)[None, None, :] ** 2)
        np.testing.assert_array_equal(new.regions[name], distance <= lesion.diameter / 2)
        assert new.regions[name].sum() * 8 == pytest.approx(np.pi / 6 * lesion.diameter**3, rel=0.25)
        assert cz == z[GRID.shape[0] // 2]
        assert (phantom.labels[new.regions[name]] == tissues.WHITE).mean() > 0.5
        centre = new.pet[distance == distance.min()]
        assert (centre > 128).all() if lesion.kind == "hot" else (centre < 25).all()
    assert len({(s.centre[1] >= 0, s.centre[2] >= 0) for s in new.lesions}) == 4  # one per quadrant
    lesions = np.any([new.regions[n] for n in names], axis=0)
    for tissue in ("grey matter", "white matter", "csf"):
        assert not (new.regions[tissue] & lesions).any()
    assert new.pet[new.regions["lesion 1"]].max() == 192
    assert 155 < new.pet[new.regions["lesion 1"]].mean() < 192  # voxels on its edge are mixed
    # the old one is as it was
    for name, image in before.items():
        np.testing.assert_array_equal(getattr(phantom, name), image)
    assert "lesion 1" not in phantom.regions and phantom.lesions == ()


def test_lesions_add_what_their_volume_says(phantom):
    """In white matter alone a hot ball adds (192 − 32) times its volume."""
    white = dataclasses.replace(
        phantom, pet=np.full(GRID.shape, 32, np.float32), regions={k: v.copy() for k, v in phantom.regions.items()}
    )
    for blur in (0.0, 5.0):
        new = white.with_lesions(lesions=[Lesion(13.0, blur=blur, centre=(1.3, -20.7, 11.1))])
        added = (new.pet - 32).sum(dtype=float) * GRID.voxel_volume
        assert added == pytest.approx((192 - 32) * np.pi / 6 * 13**3, rel=0.01)
    assert new.pet.max() < 191  # blurred


@pytest.mark.parametrize("where", ["both", "pet", "mr"])
def test_where_lesions_are_seen(phantom, where):
    new = phantom.with_lesions(seed=1, where=where)
    suffix = {"both": "", "pet": " (pet only)", "mr": " (mr only)"}[where]
    mask = new.regions[f"lesion 1{suffix}"]
    changed = {n: not np.array_equal(getattr(new, n)[mask], getattr(phantom, n)[mask]) for n in ("pet", "t1", "t2")}
    assert changed == {"pet": where != "mr", "t1": where != "pet", "t2": where != "pet"}
    np.testing.assert_array_equal(new.mu, phantom.mu)


def test_a_displaced_mr(phantom):
    moved = phantom.with_moved_mr((2.0, -4.0, 3.0))  # one plane up, two rows back, a voxel and a half to the side
    for name in ("t1", "t2"):
        image, found = getattr(phantom, name), getattr(moved, name)
        one, other = image[4:-6, 12:-8, 10:-12], image[4:-6, 12:-8, 9:-13]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[5:-5, 10:-10, 11:-11], 0.5 * (one + other), rtol=1e-4, atol=1e-2)
    assert moved.pet is phantom.pet and moved.regions is phantom.regions
    for shift, words in (((0, 1), "three lengths in mm"), ((0, 0, np.nan), "three lengths in mm")):
        with pytest.raises(ValueError, match=words):
            phantom.with_moved_mr(shift)
    flat = dataclasses.replace(phantom, grid=ImageGrid((1, 128, 128), (2.0, 2.0, 2.0)), t1=phantom.t1[:1])
    with pytest.raises(ValueError, match="expected none along z of a single slice, got 2 mm"):
        flat.with_moved_mr((2, 0, 0))


def test_own_lists_mix_and_go_on_numbering(phantom):
    new = phantom.with_lesions(
        lesions=[Lesion(10, where="pet", value=77.0), Lesion(9, "cold", where="mr"), Lesion(6, centre=(0, -50, 0))]
    ).with_lesions(seed=9, lesions=[Lesion(8)])
    names = [n for n in new.regions if n.startswith("lesion")]
    assert names == ["lesion 1 (pet only)", "lesion 2 (mr only)", "lesion 3", "lesion 4"]
    assert new.pet[new.regions[names[0]]].max() == pytest.approx(77.0)
    assert not np.logical_and.reduce([new.regions[n] for n in names[::3]]).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_lesions_never_touch_and_a_seed_repeats(phantom, seed):
    from pettutor.phantoms.lesions import STANDARD_LESIONS, place_lesions

    placed = place_lesions(phantom, STANDARD_LESIONS, "both", seed)
    assert placed == place_lesions(phantom, STANDARD_LESIONS, "both", seed)
    for i, a in enumerate(placed):
        for b in placed[i + 1 :]:
            assert np.hypot(a.centre[1] - b.centre[1], a.centre[2] - b.centre[2]) >= (a.diameter + b.diameter) / 2 + 2


def test_lesion_errors(mni, phantom):
    with pytest.raises(ValueError, match="where: expected one of 'both', 'pet', 'mr', got 'ct'"):
        phantom.with_lesions(where="ct")
    with pytest.raises(ValueError, match="room in the brain for a sphere of 90 mm"):
        phantom.with_lesions(lesions=[Lesion(90)])
    with pytest.raises(ValueError, match="holds the centre of at least one voxel"):
        phantom.with_lesions(lesions=[Lesion(9, centre=(0, 0, 500))])
    with pytest.raises(TypeError, match=r"lesions: expected a list of pettutor\.Lesion, got 15"):
        phantom.with_lesions(lesions=[15])
    with pytest.raises(ValueError, match="expected brain on the grid's middle slice"):
        mni.on(ImageGrid((11, 60, 60), (3, 4, 4), (93, 0, 0))).with_lesions()
    with pytest.raises(TypeError, match="seed: expected an int"):
        phantom.with_lesions(seed=None)
    for bad, words in (
        ({"diameter": 0}, "diameter: expected a length > 0"),
        ({"diameter": 5, "blur": -1}, "blur: expected"),
        ({"diameter": 5, "kind": "warm"}, "kind: expected 'hot' or 'cold', got 'warm'"),
        ({"diameter": 5, "centre": (1, 2)}, "centre: expected three positions"),
        ({"diameter": 5, "value": float("nan")}, "value: expected an activity"),
    ):
        with pytest.raises(ValueError, match=words):
            Lesion(**bad)


def test_subjects_and_phantoms_are_frozen(mni, phantom):
    with pytest.raises(dataclasses.FrozenInstanceError):
        mni.name = "mine"
    with pytest.raises(dataclasses.FrozenInstanceError):
        phantom.pet = None
    with pytest.raises(ValueError, match="read-only"):
        mni.labels[0, 0, 0] = 1
    assert isinstance(mni, Subject)


# --- teaching objects: volumes in closed form

OBJECTS = ImageGrid((40, 72, 60), (2.3, 1.9, 2.1), (5.0, -4.0, 8.0))


def volume(image, grid=OBJECTS):
    return image.sum(dtype=float) * grid.voxel_volume


def centroid(image, grid=OBJECTS):
    return [
        float((image.sum(axis=other, dtype=float) * c).sum() / image.sum(dtype=float))
        for c, other in zip(grid.coordinates(), ((1, 2), (0, 2), (0, 1)), strict=True)
    ]


position = st.tuples(st.floats(-5, 15), st.floats(-14, 6), st.floats(-2, 18))


@settings(max_examples=25, deadline=None)
@given(radii=st.tuples(*[st.floats(12, 30)] * 3), centre=position)
def test_ellipsoid_volume_and_place(radii, centre):
    image = phantoms.ellipsoid(OBJECTS, radii, centre, value=3.0)
    assert volume(image) == pytest.approx(3 * 4 / 3 * np.pi * np.prod(radii), rel=0.005)
    assert centroid(image) == pytest.approx(centre, abs=0.05)
    assert image.max() == 3 and image.dtype == np.float32


@settings(max_examples=25, deadline=None)
@given(radius=st.floats(12, 45), height=st.floats(20, 60), centre=position)
def test_cylinder_volume_and_place(radius, height, centre):
    image = phantoms.cylinder(OBJECTS, radius, height, centre, value=0.5)
    assert volume(image) == pytest.approx(0.5 * np.pi * radius**2 * height, rel=0.005)
    assert centroid(image) == pytest.approx(centre, abs=0.05)


def test_cylinder_through_the_grid_and_hard_edges():
    whole = phantoms.cylinder(OBJECTS, 30.0, centre=(99.0, -4.0, 8.0))
    assert volume(whole) == pytest.approx(np.pi * 900 * OBJECTS.size[0], rel=0.005)
    hard = phantoms.cylinder(OBJECTS, 30.0, centre=(0.0, -4.0, 8.0), supersample=1)
    assert set(np.unique(hard)) == {0.0, 1.0}
    thin = phantoms.cylinder(OBJECTS, 30.0, 0.7, (3.1, -4.0, 8.0))  # thinner than a voxel
    assert volume(thin) == pytest.approx(np.pi * 900 * 0.7, rel=0.005)
    _, y, x = OBJECTS.coordinates()
    np.testing.assert_array_equal(hard[7] > 0, (y + 4)[:, None] ** 2 + (x - 8)[None, :] ** 2 <= 900)


def test_objects_are_cut_at_the_edge_of_the_grid():
    """Half a ball: its centre on the grid's face."""
    edge = OBJECTS.origin[2] - 0.5 * OBJECTS.voxel_size[2]
    half = phantoms.sphere(OBJECTS, 20.0, (5.0, -4.0, edge))
    assert volume(half) == pytest.approx(2 / 3 * np.pi * 20**3, rel=0.005)
    assert not phantoms.sphere(OBJECTS, 5.0, (900.0, 0.0, 0.0)).any()


def test_spheres_on_a_ring():
    grid = ImageGrid((30, 90, 95), (2.0, 2.0, 2.0))
    image = phantoms.spheres(grid, (10, 20, 30), 50.0, values=(1, 2, 3))
    assert volume(image, grid) == pytest.approx(np.pi / 6 * (10**3 + 2 * 20**3 + 3 * 30**3), rel=0.01)
    assert image[grid.shape[0] // 2, 45, 47 + 25] == 1  # the first at the right
    with pytest.raises(ValueError, match="values: expected one or 2 values, got 3"):
        phantoms.spheres(grid, (10, 20), 50.0, values=(1, 2, 3))


def test_image_quality_phantom():
    grid = ImageGrid((100, 125, 160), (2.0, 2.0, 2.0))
    image = phantoms.image_quality(grid, contrast=4.0, background=2.0, supersample=3)
    body = (np.pi * 150 * 115 - np.pi * 25**2) * 180 * 2
    hot = sum(np.pi / 6 * d**3 * (8 - 2) for d in (10, 13, 17, 22))
    cold = sum(np.pi / 6 * d**3 * 2 for d in (28, 37))
    assert volume(image, grid) == pytest.approx(body + hot - cold, rel=0.005)
    for (z, y, x), d in zip(phantoms.ring_positions(6, 57.2), phantoms.NEMA_DIAMETERS, strict=True):
        index = tuple(int(i) for i in grid.index_of((z + 0.9, y, x)))
        assert image[index] == (8 if d < 25 else 0)


@settings(max_examples=30, deadline=None)
@given(place=st.tuples(st.floats(-39, 49), st.floats(-70, 62), st.floats(-53, 69)))
def test_point_sources_keep_sum_and_centroid(place):
    image = phantoms.point_sources(OBJECTS, [place], 5.0)
    assert image.sum(dtype=float) == pytest.approx(5.0, rel=1e-6)
    assert centroid(image) == pytest.approx(place, abs=1e-3)
    assert (image > 0).sum() <= 8


def test_point_sources_errors_and_flat_grids():
    with pytest.raises(ValueError, match="positions: expected points inside the grid"):
        phantoms.point_sources(OBJECTS, [(0, 0, 500)])
    flat = phantoms.point_sources(ImageGrid((1, 9, 7), (4, 2, 3)), [(0, 3, 1.5), (0, -4, -3)], (1.0, 2.0))
    assert flat.sum() == pytest.approx(3)


def test_contrast_resolution_pattern():
    grid = ImageGrid((4, 220, 230), (3.0, 1.0, 1.0))
    diameters, contrasts = (4, 6, 9, 13, 18), (0, 2, 4, 8)
    image = phantoms.contrast_resolution(grid)
    area = np.pi * 100**2 + sum(np.pi / 4 * d**2 * (c - 1) for d in diameters for c in contrasts)
    assert volume(image, grid) == pytest.approx(area * 12, rel=0.005)
    y, x = 110 + np.array([-39, -13, 13, 39]), 115 + np.array([-52, -26, 0, 26, 52])
    np.testing.assert_allclose(image[2][np.ix_(y, x)], np.array(contrasts)[:, None] * np.ones(5), atol=1e-5)
    with pytest.raises(ValueError, match=r"radius: expected at least 74\.0 mm to hold every rod"):
        phantoms.contrast_resolution(grid, radius=60.0)
    with pytest.raises(ValueError, match="diameters: expected lengths below the pitch"):
        phantoms.contrast_resolution(grid, diameters=(30,))


def test_object_errors():
    for call, words in (
        (lambda: phantoms.cylinder(OBJECTS, -1), "radius: expected a length > 0 in mm, got -1"),
        (lambda: phantoms.cylinder(OBJECTS, 5, height="tall"), "height: expected a length"),
        (lambda: phantoms.ellipsoid(OBJECTS, (1, 2)), r"radii: expected three lengths"),
        (lambda: phantoms.sphere(OBJECTS, 5, centre=(1, 2)), "centre: expected three positions"),
        (lambda: phantoms.sphere(OBJECTS, 5, value=np.nan), "value: expected a finite number"),
        (lambda: phantoms.sphere(OBJECTS, 5, supersample=0), "supersample: expected a whole number from 1 to 16"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
