"""Noise–contrast curves against slow loops and values worked out by hand, and what their picture says."""

import itertools
import math
import re
import statistics

import numpy as np
import pandas
import pytest
from processes import run_python

from pettutor import measures

SHAPE = (2, 4, 5)
COLUMNS = ["method", "setting", "iteration", "fwhm", "region"]


@pytest.fixture(scope="module")
def problem():
    """Truth, region, background, and frames (5 realisations, 3 points): more contrast and more noise at each point."""
    rng = np.random.default_rng(8)
    region, background = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    region[0, 1:3], background[1, :, :4] = True, True
    truth = np.where(region, 8.0, 2.0).astype(np.float32)
    frames = np.stack(
        [
            [
                np.where(region, 2 + 6 * c, 2.0) + rng.normal(0, s, SHAPE)
                for c, s in ((0.3, 0.1), (0.6, 0.2), (0.8, 0.5))
            ]
            for _ in range(5)
        ]
    ).astype(np.float32)
    return frames, truth, region, background


def test_a_curve_against_loops(problem):
    frames, truth, region, background = problem
    mask = np.random.default_rng(0).random(SHAPE) < 0.5
    labels = {"method": "MLEM", "region": "grey matter"}
    curve = measures.noise_contrast(frames, truth, region, background, labels=labels, normaliser="mean", mask=mask)
    assert list(curve.columns) == [*COLUMNS, "crc", "crc_error", "std", "nrmse", "bias", "realisations"]
    assert list(curve["iteration"]) == [1, 2, 3] and set(curve["realisations"]) == {5} and set(curve["fwhm"]) == {0}
    assert (
        set(curve["method"]) == {"MLEM"} and set(curve["region"]) == {"grey matter"} and curve["setting"].isna().all()
    )
    for point in range(3):
        images = frames[:, point].astype(float)
        recovered, errors, biases = [], [], []
        for image in images:
            a, b = statistics.fmean(image[region]), statistics.fmean(image[background])
            recovered.append((a / b - 1) / (8 / 2 - 1))
            squares = [(x - t) ** 2 for x, t in zip(image[mask], truth[mask].astype(float), strict=True)]
            errors.append(math.sqrt(statistics.fmean(squares)) / statistics.fmean(truth[mask].astype(float)))
            biases.append(a / 8 - 1)
        noise = []
        for k in np.argwhere(background):
            values = [float(image[tuple(k)]) for image in images]
            noise.append(statistics.stdev(values) / statistics.fmean(values))
        row = curve.iloc[point]
        assert row["crc"] == pytest.approx(statistics.fmean(recovered), rel=1e-6)
        assert row["crc_error"] == pytest.approx(statistics.stdev(recovered) / math.sqrt(5), rel=1e-5)
        assert row["std"] == pytest.approx(statistics.fmean(noise), rel=1e-6)
        assert row["nrmse"] == pytest.approx(statistics.fmean(errors), rel=1e-6)
        assert row["bias"] == pytest.approx(statistics.fmean(biases), rel=1e-5, abs=1e-7)


def test_points_by_value(problem):
    """A dict of strengths gives what the array of frames gives, in its own order."""
    frames, *rest = problem
    whole = measures.noise_contrast(frames, *rest)
    some = measures.noise_contrast(
        {0.5: frames[:, 2], 0.1: frames[:, 0]}, *rest, along="setting", labels={"iteration": 60, "fwhm": 3.0}
    )
    assert list(some["setting"]) == [0.5, 0.1] and set(some["iteration"]) == {60} and set(some["fwhm"]) == {3.0}
    assert list(some["crc"]) == [whole["crc"][2], whole["crc"][0]] and some["nrmse"].isna().all()


def test_rows_and_curve_fit_each_other(problem):
    """Rows in any order, of several methods in one table: each point is the mean over its own images."""
    frames, truth, region, background = problem
    one, two = (
        measures.image_measures(some, truth, region, background, labels={"method": name, "region": "lesion"})
        for name, some in (("one", frames), ("two", frames[:, :2] * np.float32(1.1)))
    )
    assert list(one.columns) == [*COLUMNS, "realisation", "crc", "std", "nrmse", "bias"] and len(one) == 15
    both = pandas.concat([one, two]).assign(subject="mni:0")
    curve = measures.curve_table(both.sample(frac=1, random_state=1)).sort_values(["method", "iteration"])
    assert list(curve["method"]) == ["one"] * 3 + ["two"] * 2 and set(curve["subject"]) == {"mni:0"}
    expected = measures.curve_table(one)
    assert list(curve["crc"][:3]) == pytest.approx(list(expected["crc"])) and len(expected) == 3
    assert list(curve["std"][3:]) == pytest.approx(list(expected["std"][:2]), rel=1e-5), "the same noise, scaled"


# ---- equal noise ----


def curve(std, crc, **more):
    return pandas.DataFrame({"std": std, "crc": crc, **more})


@pytest.mark.parametrize(
    ("std", "crc", "wanted", "expected"),
    [
        ([0.1, 0.2, 0.4], [0.3, 0.5, 0.9], 0.3, 0.7),
        ([0.1, 0.2, 0.4], [0.3, 0.5, 0.9], 0.2, 0.5),
        ([0.1, 0.2, 0.4], [0.3, 0.5, 0.9], 0.4, 0.9),
        ([0.4, 0.2, 0.1], [0.9, 0.5, 0.3], 0.3, 0.7),  # from wide filters to none
        ([0.1, 0.3, 0.2, 0.5], [0.0, 0.4, 0.5, 1.1], 0.25, 0.3),  # back and forth: the first crossing
        ([0.5, 0.2, 0.3, 0.1], [1.1, 0.5, 0.4, 0.0], 0.25, 0.3),  # the same path from its other end
        ([0.2, 0.1, 0.5], [0.2, 0.3, 0.7], 0.15, 0.25),  # quieter than where it begins
        ([0.1, 0.1, 0.3], [0.2, 0.3, 0.7], 0.2, 0.5),  # a step without a change of noise
        ([0.1, 0.2], [0.3, 0.5], 0.09, math.nan),
        ([0.1, 0.2], [0.3, 0.5], 0.21, math.nan),
        ([0.1], [0.3], 0.1, 0.3),
        ([0.1], [0.3], 0.2, math.nan),
    ],
)
def test_recovery_at_equal_noise_by_hand(std, crc, wanted, expected):
    found = measures.at_equal_noise(curve(std, crc), wanted)
    assert isinstance(found, float) and found == pytest.approx(expected, nan_ok=True)


def test_several_noises_and_other_columns():
    table = curve([0.1, 0.2, 0.4], [0.3, 0.5, 0.9], iteration=[10, 20, 60])
    assert measures.at_equal_noise(table, [0.15, 1, 0.3]) == pytest.approx([0.4, math.nan, 0.7], nan_ok=True)
    assert measures.at_equal_noise(table, 0.3, value="iteration") == pytest.approx(40)


def rows(std, crc, method, realisations=None):
    """``crc`` (point, realisation) as a table of images."""
    realisations = range(len(crc[0])) if realisations is None else realisations
    return pandas.DataFrame(
        [
            {"method": method, "iteration": k, "realisation": r, "crc": c, "std": s}
            for k, (s, values) in enumerate(zip(std, crc, strict=True))
            for r, c in zip(realisations, values, strict=True)
        ]
    )


def test_a_paired_comparison_by_hand():
    """At noise 0.3 the first is halfway between its points, the second a quarter on its way."""
    first = rows([0.2, 0.4], [[0.2, 0.3, 0.5], [0.4, 0.7, 0.7]], "first")  # there: 0.3, 0.5, 0.6
    second = rows([0.25, 0.45], [[0.1, 0.2, 0.2], [0.5, 0.6, 1.0]], "second")  # there: 0.2, 0.3, 0.4
    found = measures.compare_at_equal_noise(first, second, 0.3).iloc[0]
    assert found["first"] == pytest.approx(1.4 / 3) and found["second"] == pytest.approx(0.9 / 3)
    differences = [0.1, 0.2, 0.2]
    assert found["difference"] == pytest.approx(statistics.fmean(differences))
    assert found["difference_error"] == pytest.approx(statistics.stdev(differences) / math.sqrt(3))
    assert found["realisations"] == 3 and found["std"] == 0.3
    table = measures.compare_at_equal_noise(first, second, [0.3, 0.22, 0.5])
    assert list(table["difference"].isna()) == [False, True, True] and math.isnan(table["second"][1])
    assert table["first"][1] == pytest.approx(0.9 * (1.0 / 3) + 0.1 * 0.6)


def test_pairs_are_matched_by_their_number():
    """What both methods share in a realisation falls out, in whatever order the rows come."""
    rng = np.random.default_rng(4)
    common = rng.normal(0, 0.1, 20)
    ordered = rows([0.2], [0.5 + common], "a", range(20)), rows([0.2], [0.4 + common], "b", range(20))
    mixed = [table.sample(frac=1, random_state=k) for k, table in enumerate(ordered)]
    for first, second in (ordered, mixed):
        found = measures.compare_at_equal_noise(first, second, 0.2).iloc[0]
        assert found["difference"] == pytest.approx(0.1) and found["difference_error"] < 1e-9


def test_the_error_of_a_difference_is_what_repeating_it_shows():
    """80 studies of 12 realisations, of known spread: the mean squared error is the variance of the difference."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(80):
        shared, own = rng.normal(0, 0.2, 12), rng.normal(0, 0.03, (2, 12))
        first, second = (rows([0.1], [0.5 + shared + o], name) for o, name in zip(own, "ab", strict=True))
        found.append(measures.compare_at_equal_noise(first, second, 0.1).iloc[0])
    table = pandas.DataFrame(found)
    true = 0.03 * math.sqrt(2 / 12)
    assert table["difference"].std() == pytest.approx(true, rel=0.15)
    assert math.sqrt((table["difference_error"] ** 2).mean()) == pytest.approx(true, rel=0.1)


# ---- what cannot be ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, *a: measures.noise_contrast(f[:1], *a), "images: expected at least two realisations"),
        (lambda f, *a: measures.noise_contrast(f[:, 0], *a), "frames: expected 5 dimensions"),
        (lambda f, *a: measures.noise_contrast({}, *a), "frames: expected at least one point, got none"),
        (lambda f, *a: measures.noise_contrast({3: f[0, 0]}, *a), "frames at 3: expected 4 dimensions"),
        (
            lambda f, *a: measures.noise_contrast({1: f[:, 0], 2: f[:3, 0]}, *a),
            "frames: expected 5 realisations at every point, got 3 at 2",
        ),
        (lambda f, *a: measures.noise_contrast(f, *a, along="time"), "along: expected one of 'iteration', 'setting'"),
        (lambda f, *a: measures.noise_contrast(f, *a, labels={"iteration": 3}), "labels: expected some of method"),
        (lambda f, *a: measures.noise_contrast(f, *a, labels={"name": "x"}), "got 'name'"),
        (lambda *a: measures.curve_table(rows([0.1], [[1, 2]], "a", [4, 4])), "expected each realisation once"),
        (lambda *a: measures.curve_table(curve([0.1], [1])), "rows: expected a table with columns .*'realisation'"),
        (
            lambda *a: measures.curve_table(rows([0.1], [[1, 2]], "a").assign(std=[0.1, 0.2])),
            "expected one noise .std. for all realisations at a point",
        ),
        (lambda *a: measures.at_equal_noise(curve([], []), 0.1), "curve: expected at least one point"),
        (lambda *a: measures.at_equal_noise(curve([math.nan, 1], [1, 2]), 0.1), "at least one point, std and crc"),
        (
            lambda *a: measures.at_equal_noise(curve([0.1, 0.2], [1, 2], method=["a", "b"]), 0.1),
            "curve: expected one curve, got several of method: a, b",
        ),
        (
            lambda *a: measures.compare_at_equal_noise(
                rows([0.1], [[1, 2]], "a"), rows([0.1], [[1, 2]], "b", [1, 2]), 0.1
            ),
            r"second: expected the realisations of first, \[0, 1\] .they are compared in pairs., got \[1, 2\]",
        ),
        (
            lambda *a: measures.compare_at_equal_noise(rows([0.1], [[1]], "a"), rows([0.1], [[1]], "b"), 0.1),
            "first: expected at least two realisations, got 1",
        ),
        (
            lambda *a: measures.compare_at_equal_noise(rows([0.1, 0.2], [[1, 2], [3, 4]], "a")[:3], None, 0.1),
            "first: expected the same realisations at every point",
        ),
        (
            lambda *a: measures.compare_at_equal_noise(rows([0.1], [[1, 2]], "a", [4, 4]), None, 0.1),
            "expected each realisation once at a point",
        ),
        (
            lambda *a: measures.compare_at_equal_noise(rows([0.1], [[1, 2]], "a").assign(std=[0.1, 0.2]), None, 0.1),
            "expected one noise .std. for all realisations at a point",
        ),
    ],
)  # fmt: skip
def test_refuses(problem, call, message):
    with pytest.raises(ValueError, match=message):
        call(*problem)


# ---- the picture ----


@pytest.fixture
def table():
    """Three methods, ten iterations each, and a filtered one."""
    made = []
    for number, method in enumerate(("MLEM", "MAP", "kernel")):
        k = np.array([1, 2, 3, 5, 8, 12, 18, 27, 40, 60])
        noise, found = 0.03 * k**0.5 / (1 + 0.3 * number), 1 - np.exp(-k / (15 + 4 * number))
        made.append(curve(noise, found, method=method, iteration=k, fwhm=0.0, crc_error=0.02))
    made.append(curve([0.2, 0.1], [0.7, 0.5], method="filter", iteration=60, fwhm=[0.0, 4.0], crc_error=0.02))
    return pandas.concat(made, ignore_index=True).assign(region="grey matter", setting=math.nan)


@pytest.fixture
def axes():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def of_curves(ax):
    return [line for line in ax.get_lines() if not line.get_label().startswith("_")]


def test_the_axes_say_what_they_show(table, axes):
    ax = measures.plot_curves(table, ax=axes)
    assert ax is axes
    assert "SD / mean over realisations (%)" in ax.get_xlabel() and "background" in ax.get_xlabel()
    assert "CRC of grey matter (a)" in ax.get_ylabel() and "(a/b − 1) / (" in ax.get_ylabel()
    lines = of_curves(ax)
    assert [line.get_label() for line in lines] == ["MLEM", "MAP", "kernel", "filter"]
    assert lines[1].get_xdata() == pytest.approx(100 * table["std"][table["method"] == "MAP"])
    assert lines[1].get_ydata() == pytest.approx(table["crc"][table["method"] == "MAP"])
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 4
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [line.get_label() for line in lines]
    assert ax.get_legend().get_title().get_text() == "numbers: iterations, FWHM of the filter"
    assert len(ax.collections) == 4, "a bar of one standard error at every point"


def test_few_points_are_labelled_and_nothing_overlaps(table, axes):
    measures.plot_curves(table, ax=axes, pictured=4)
    for line in of_curves(axes):
        told = [t.get_text() for t in axes.texts if t.get_color() == line.get_color()]
        assert 1 <= len(told) <= 4
        if line.get_label() == "filter":
            assert set(told) <= {"0 mm", "4 mm"}
        else:
            assert set(told) <= set(map(str, table["iteration"])) and "60" in told
    assert len(axes.texts) > 8
    assert_readable(axes)


def test_a_crowd_of_points_stays_readable(axes):
    """Fifty points within the room for a few numbers, up to the frame."""
    axes.figure.set_size_inches(2.6, 2)
    k = np.arange(10)
    crowd = [curve(0.1 + 0.003 * k, 1 + 0.002 * (k + n), method=f"m{n}", iteration=10_000 + k) for n in range(5)]
    measures.plot_curves(pandas.concat(crowd), ax=axes, pictured=10)
    assert_readable(axes)


def assert_readable(ax):
    ax.figure.draw_without_rendering()
    renderer = ax.figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in ax.texts]
    legend = ax.get_legend().get_window_extent(renderer)
    for one, two in itertools.combinations([*boxes, legend], 2):
        assert not one.overlaps(two)
    frame = ax.get_window_extent(renderer)
    assert boxes and all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)


def test_over_iterations(table, axes):
    measures.plot_curves(
        table[table["fwhm"] == 0].assign(nrmse=0.25), x="iteration", y="nrmse", ax=axes, legend=False, points="fwhm"
    )
    assert axes.get_xlabel().startswith("iterations") and "(%)" in axes.get_ylabel() and axes.get_legend() is None
    assert set(of_curves(axes)[0].get_ydata()) == {25.0} and not axes.texts and not axes.collections


def test_two_columns_are_colour_and_kind_of_line(table, axes):
    two = pandas.concat([table, table.assign(region="lesion")])[lambda t: t["method"].isin(["MLEM", "MAP"])]
    measures.plot_curves(two, by=["method", "region"], ax=axes)
    lines = {line.get_label(): line for line in of_curves(axes)}
    assert set(lines) == {"MLEM, grey matter", "MAP, grey matter", "MLEM, lesion", "MAP, lesion"}
    assert lines["MLEM, lesion"].get_color() == lines["MLEM, grey matter"].get_color()
    assert lines["MLEM, lesion"].get_linestyle() != lines["MLEM, grey matter"].get_linestyle()
    assert lines["MLEM, lesion"].get_color() != lines["MAP, lesion"].get_color()
    by_setting = table[table["method"] == "MLEM"].assign(setting=[math.nan] * 5 + [0.3] * 5)
    measures.plot_curves(by_setting, by=["method", "setting"], ax=axes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(x="noise"), "x, y: expected one of std, crc, nrmse"),
        (dict(y="nrmse"), "table: expected rows with columns std, nrmse, method: 'nrmse' is missing"),
        (dict(by=[]), "by names no column"),
        (dict(points="speed"), "points: expected 'auto', 'iteration'"),
        (dict(table=pandas.DataFrame({"std": [], "crc": [], "method": []})), "no row"),
        (dict(table=curve([1, 2], [1, 2], method="a", region=["x", "y"])), "expected one region, or 'region' in by"),
    ],
)
def test_pictures_that_cannot_be(table, axes, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        measures.plot_curves(**{"table": table, "ax": axes, **change})


def test_the_room_is_light():
    loaded = run_python("import sys, pettutor.measures; print(*sys.modules)").split()
    assert not {"pandas", "matplotlib", "skimage", "scipy"} & set(loaded)


def test_lines_of_more_methods_than_colours_differ():
    methods = [f"method {m}" for m in range(14) for _ in (1, 2)]
    numbers = np.arange(len(methods), dtype=float)
    table = pandas.DataFrame({"method": methods, "crc": numbers, "std": numbers})
    lines = measures.plot_curves(table, pictured=0).get_legend_handles_labels()[0]
    looks = {(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in lines}
    assert len(lines) == len(looks) == 14
