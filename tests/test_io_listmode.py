"""List mode of the mMR: words against a slow decoder, files against the counts that they were written from."""

import struct
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pettutor as pt
from pettutor.io import listmode, mmr, read_listmode, write_listmode

RING = pt.Scanner.preset("mmr", rings=1, span=1, max_ring_difference=0)
FIVE = pt.Scanner.preset("mmr", rings=5, span=3, max_ring_difference=4)
TIME, SINGLES, PROMPT = 0b100 << 29, 0b101 << 29, 1 << 30

# Planes of the file as (ring of c0, ring of c1), by hand: direct ones, then for each ring difference those whose c1 is
# in the higher ring, then those whose c0 is.
FILE_PLANES = [(k, k) for k in range(64)]
for d in range(1, 61):
    FILE_PLANES += [(k, k + d) for k in range(64 - d)] + [(k + d, k) for k in range(64 - d)]


def file_of(folder, words, name="scan.bf"):
    path = folder / name
    path.write_bytes(struct.pack(f"<{len(words)}I", *words))
    return path


def word_of(prompt, plane, view, w):
    return (PROMPT if prompt else 0) | (plane * 252 * 344 + view * 344 + w)


def decoded(words, scanner, first_ring, start, stop):
    """Everything by one slow loop: counts by (kind, plane, view, bin), fans, head curves, singles, length in ms."""
    counts, fans, rates, singles, zero, now = {}, {}, {}, {}, None, 0
    for word in words:
        if word >> 29 == 0b100:
            zero = word & 0x1FFFFFFF if zero is None else zero
            now = (word & 0x1FFFFFFF) - zero
        elif not start <= now < stop:
            continue
        elif word >> 29 == 0b101:
            singles.setdefault((word & 0x1FFFFFFF) >> 19, []).append(8 * (word & 0x7FFFF))
        elif word < 1 << 31:
            kind, address = bool(word & PROMPT), word & (PROMPT - 1)
            rates[kind, (now - start) // 1000] = rates.get((kind, (now - start) // 1000), 0) + 1
            ring0, ring1 = (r - first_ring for r in FILE_PLANES[address // 86688])
            if not (0 <= ring0 < scanner.rings and 0 <= ring1 < scanner.rings):
                continue
            plane = int(scanner.plane_of_ring_pair[ring0, ring1])
            if plane < 0:
                continue
            view, w = address % 86688 // 344, address % 344
            counts[kind, plane, view, w] = counts.get((kind, plane, view, w), 0) + 1
            for ring, crystal in zip((ring0, ring1), scanner.bin_crystals[view, w], strict=True):
                fans[ring, int(crystal)] = fans.get((ring, int(crystal)), 0) + (not kind)
    return counts, {k: n for k, n in fans.items() if n}, rates, singles, min(stop, now + 1) - start


def found(raw):
    """The same of what was read."""
    counts = {
        (kind, *map(int, place)): int(sinogram[tuple(place)])
        for kind, sinogram in ((True, raw.prompts), (False, raw.delayeds))
        for place in np.argwhere(sinogram)
    }
    fans = {tuple(map(int, place)): int(raw.delayed_fans[tuple(place)]) for place in np.argwhere(raw.delayed_fans)}
    rates = {
        (kind, second): int(n)
        for kind, curve in ((True, raw.prompts_per_second), (False, raw.delayeds_per_second))
        for second, n in enumerate(curve)
        if n
    }
    return counts, fans, rates


near_middle = st.sampled_from([p for p, rings in enumerate(FILE_PLANES) if min(rings) > 24 and max(rings) < 34])
event = st.builds(word_of, st.booleans(), near_middle | st.integers(0, 4083), st.integers(0, 251), st.integers(0, 343))
report = st.builds(lambda b, r: SINGLES | b << 19 | r, st.integers(0, 300), st.integers(0, 0x7FFFF))
other = st.integers(0b110 << 29, (1 << 32) - 1)  # kinds of words that are passed over
wait = st.integers(0, 1500)


@settings(max_examples=30, deadline=None)
@given(
    early=st.lists(event, max_size=3),
    what=st.lists(st.one_of(event, event, report, other, wait), max_size=40),
    zero=st.integers(0, 5000),
    window=st.sampled_from([(0, np.inf), (0, 2000), (1000, 2500), (700, np.inf)]),
    first_ring=st.integers(24, 30),
    block=st.integers(1, 9),
)
def test_any_file_is_read_as_a_slow_decoder_reads_it(tmp_path_factory, early, what, zero, window, first_ring, block):
    now, words = zero, [*early, TIME | zero]
    for one in what:
        if one > 1500 or one & PROMPT:
            words.append(one)
        else:  # small numbers wait (the events that they would be lie in plane 0)
            now += one
            words.append(TIME | now)
    words.append(TIME | now + 3000)
    start, stop = window
    counts, fans, rates, singles, length = decoded(words, FIVE, first_ring, start, stop)
    path = file_of(tmp_path_factory.mktemp("lm"), words)
    with mock.patch.object(listmode, "BLOCK", block):
        raw = read_listmode(
            path, FIVE, start=start / 1000, stop=None if stop == np.inf else stop / 1000, first_ring=first_ring
        )
    assert found(raw) == (counts, fans, rates)
    assert raw.prompts.shape == raw.delayeds.shape == FIVE.sinogram_shape and raw.prompts.dtype == np.float32
    assert raw.seconds == length / 1000 and raw.start == start / 1000
    assert len(raw.prompts_per_second) == len(raw.delayeds_per_second) == -(-length // 1000)
    for bucket in range(224):
        if bucket in singles:
            assert raw.bucket_singles[bucket] == pytest.approx(np.mean(singles[bucket]))
        else:
            assert np.isnan(raw.bucket_singles[bucket])


@pytest.mark.parametrize("span", [1, 11])
def test_every_plane_of_the_whole_scanner_is_found(span):
    """Also the sign of the oblique ones: a file has those with c1 in the higher ring first."""
    scanner = pt.Scanner.preset("mmr", span=span)
    table = mmr.plane_in_file(1)
    assert [tuple(map(int, np.argwhere(table == p)[0])) for p in (0, 64, 127, 190, 4083)] == [
        (0, 0), (0, 1), (1, 0), (0, 2), (63, 3),
    ]  # fmt: skip
    assert [FILE_PLANES[p] for p in range(4084)] == [
        tuple(map(int, pair)) for pair in sorted(np.argwhere(table >= 0), key=lambda pair: table[tuple(pair)])
    ]
    ahead = scanner.plane_of_ring_pair[0, 20]  # c1 in the higher ring
    assert scanner.plane_positions[ahead, 1] > 0


def counts_of(scanner, seed, mean=0.02):
    rng = np.random.default_rng(seed)
    return rng.poisson(mean, scanner.sinogram_shape), rng.poisson(mean / 2, scanner.sinogram_shape).astype(np.float32)


@pytest.mark.parametrize("scanner, first_ring", [(RING, None), (RING, 63), (FIVE, 7)])
def test_what_is_written_is_read(tmp_path, scanner, first_ring):
    prompts, delayeds = counts_of(scanner, 3)
    singles = 1000.0 * np.arange(224)
    settings = {"seconds": 3.25, "first_ring": first_ring, "bucket_singles": singles}
    path = write_listmode(tmp_path / "a.bf", prompts, delayeds, scanner, seed=1, **settings)
    raw = read_listmode(path, scanner, first_ring=first_ring)
    np.testing.assert_array_equal(raw.prompts, prompts)
    np.testing.assert_array_equal(raw.delayeds, delayeds)
    np.testing.assert_array_equal(raw.bucket_singles, 8 * np.rint(singles / 8))
    assert raw.seconds == 3.25 and raw.prompts_per_second.sum() == prompts.sum()
    assert path.stat().st_size == 4 * (prompts.sum() + delayeds.sum() + 3250 + 4 * 224)
    again = write_listmode(tmp_path / "b.bf", prompts, delayeds, scanner, seed=1, **settings)
    other = write_listmode(tmp_path / "c.bf", prompts, delayeds, scanner, seed=2, **settings)
    assert path.read_bytes() == again.read_bytes() != other.read_bytes()


def test_two_windows_make_up_the_whole(tmp_path):
    prompts, delayeds = counts_of(RING, 5)
    path = write_listmode(tmp_path / "a.bf", prompts, delayeds, RING, seconds=4, seed=1)
    parts = [read_listmode(path, RING, start=start, stop=stop) for start, stop in ((0, 1.5), (1.5, 100))]
    np.testing.assert_array_equal(parts[0].prompts + parts[1].prompts, prompts)
    assert [part.seconds for part in parts] == [1.5, 2.5]
    assert parts[0].prompts.sum() == pytest.approx(1.5 / 4 * prompts.sum(), rel=0.15)


def test_the_time_course_is_that_of_the_events(tmp_path):
    prompts, delayeds = counts_of(RING, 7, mean=0.3)
    courses = {"time_course": [0, 3, 1], "delayed_time_course": [1, 0, 0]}
    path = write_listmode(tmp_path / "a.bf", prompts, delayeds, RING, seconds=2.5, seed=1, **courses)
    raw = read_listmode(path, RING)
    assert list(raw.delayeds_per_second) == [delayeds.sum(), 0, 0]
    expected = prompts.sum() * np.array([0, 3, 0.5]) / 3.5
    assert np.abs(raw.prompts_per_second - expected).max() < 5 * np.sqrt(expected.max())
    assert raw.prompts_per_second[0] == 0


def test_events_of_a_plane_are_spread_over_its_ring_pairs(tmp_path):
    """And stay in it: the same file, read ring pair by ring pair."""
    plane = int(FIVE.plane_of_ring_pair[3, 1])
    pairs = [tuple(map(int, pair)) for pair in np.argwhere(FIVE.plane_of_ring_pair == plane)]
    assert len(pairs) == 2
    prompts = np.zeros(FIVE.sinogram_shape, int)
    prompts[plane, 17, 170] = 600
    path = write_listmode(tmp_path / "a.bf", prompts, 0 * prompts, FIVE, seconds=1, seed=4)
    fine = pt.Scanner.preset("mmr", rings=5, span=1, max_ring_difference=4)
    raw = read_listmode(path, fine)
    counts = [raw.prompts[fine.plane_of_ring_pair[pair], 17, 170] for pair in pairs]
    assert sum(counts) == 600 and min(counts) > 240


# ---- what is no list mode ----


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a list-mode file, got no such file"):
        read_listmode(tmp_path / "none.bf", RING)
    with pytest.raises(IsADirectoryError, match="expected a list-mode file, got a folder"):
        read_listmode(tmp_path, RING)
    (tmp_path / "odd.bf").write_bytes(b"12345")
    with pytest.raises(ValueError, match="expected words of 4 bytes, got 5 bytes, not a multiple of 4"):
        read_listmode(tmp_path / "odd.bf", RING)
    for words in ([], [word_of(True, 0, 1, 2)] * 3):
        with pytest.raises(ValueError, match=f"expected list mode, got no time in {len(words)} words"):
            read_listmode(file_of(tmp_path, words), RING)
    with pytest.raises(ValueError, match=r"expected addresses below 4084 planes of 86688 bins, got one in plane 4084"):
        read_listmode(file_of(tmp_path, [TIME, word_of(False, 4084, 0, 0)]), RING)
    with (
        pytest.raises(ValueError, match="expected times that grow, got 4 ms after 6 ms in word 3"),
        mock.patch.object(listmode, "BLOCK", 2),
    ):
        read_listmode(file_of(tmp_path, [TIME | 5, TIME | 11, 7, TIME | 9]), RING)


def test_windows_that_are_none(tmp_path):
    path = file_of(tmp_path, [TIME | 5, TIME | 2004])
    with pytest.raises(ValueError, match=r"start: expected less than the file's 2 s, got 2"):
        read_listmode(path, RING, start=2)
    with pytest.raises(ValueError, match="start: expected seconds >= 0, got -1"):
        read_listmode(path, RING, start=-1)
    with pytest.raises(ValueError, match=r"stop: expected more than start \(1 s\), got 1"):
        read_listmode(path, RING, start=1, stop=1)


def test_what_comes_after_the_window_is_not_read(tmp_path):
    """Here it would be an error: the times go back."""
    path = file_of(tmp_path, [TIME | 5, word_of(True, 0, 1, 2), TIME | 1006, 7, TIME | 9, 7])
    with mock.patch.object(listmode, "BLOCK", 2):
        assert read_listmode(path, RING, stop=1).prompts_per_second.sum() == 1
        with pytest.raises(ValueError, match="expected times that grow"):
            read_listmode(path, RING)


@pytest.mark.parametrize(
    "scanner",
    [
        pt.Scanner.preset("mini"),
        pt.Scanner.preset("mmr", rings=1, span=1, max_ring_difference=0, bins=342),
        pt.Scanner.preset("mmr", rings=65),
        pt.Scanner.preset("mmr", span=5, max_ring_difference=62),
    ],
    ids=["another", "bins", "rings", "ring difference"],
)
def test_scanners_of_another_make(tmp_path, scanner):
    with pytest.raises(ValueError, match=r"scanner: expected rings of the mMR \(504 crystal positions.*got \w+: "):
        read_listmode(file_of(tmp_path, [TIME]), scanner)


def test_rings_that_there_are_not(tmp_path):
    path = file_of(tmp_path, [TIME])
    for first_ring in (-1, 60, 1.0, True):
        with pytest.raises(ValueError, match=r"first_ring: expected a ring 0 … 59 for 5 rings, got"):
            read_listmode(path, FIVE, first_ring=first_ring)
    with pytest.raises(TypeError, match=r"scanner: expected a pettutor\.Scanner, got 'mmr'"):
        read_listmode(path, "mmr")


def test_what_cannot_be_written(tmp_path):
    none = np.zeros(RING.sinogram_shape)
    half, negative = none.copy(), none.copy()
    half[0, 3, 5], negative[0, 3, 5] = 0.5, -2

    def write(prompts=none, delayeds=none, name="a.bf", **settings):
        return write_listmode(tmp_path / name, prompts, delayeds, RING, **{"seconds": 2, "seed": 0} | settings)

    with pytest.raises(ValueError, match=r"prompts: expected whole numbers >= 0, got .*0\.5"):
        write(half)
    with pytest.raises(ValueError, match=r"delayeds: expected whole numbers >= 0, got .*-2"):
        write(none, negative)
    with pytest.raises(TypeError, match=r"prompts: expected whole numbers, got a NumPy array .*bool"):
        write(none > 0)
    with pytest.raises(ValueError, match=r"delayeds: expected shape \(1, 252, 344\) of the scanner"):
        write(none, none[0])
    for seconds in (0, -1, np.nan, 1e9):
        with pytest.raises(ValueError, match=r"seconds: expected 0\.001 … 536871, got"):
            write(seconds=seconds)
    for course in ([1, 2, 3], [0, 0], [1, -1], [1, np.nan]):
        with pytest.raises(ValueError, match="time_course: expected 2 relative rates >= 0, not all 0"):
            write(time_course=course)
    with pytest.raises(ValueError, match="bucket_singles: expected 224 rates"):
        write(bucket_singles=[1.0])
    with pytest.raises(
        ValueError, match=r"bucket_singles: expected rates 0 … 4194296 per second, got 0\.0 … 5000000\.0"
    ):
        write(bucket_singles=np.arange(224) // 223 * 5e6)
    with pytest.raises(FileNotFoundError):
        write(name="none/a.bf")
    assert list(tmp_path.iterdir()) == []
