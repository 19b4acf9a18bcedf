"""``pettutor bench``: what its report holds and how it reads; no time is judged."""

import functools
import json
import re
import sys
import time
import types

import numpy as np
import pytest
from processes import run_python
from typer.testing import CliRunner

import pettutor as pt
from pettutor import bench, cli
from pettutor.arrays import find_cupy
from pettutor.bench import cases, measuring, outside, report, tables
from pettutor.bench.plan import METHODS, scalings
from pettutor.projector import MODELS

NO_GPU = pytest.mark.skipif(find_cupy() is not None, reason="there is a GPU here")


def run(*arguments):
    return CliRunner().invoke(cli.app, ["bench", *map(str, arguments)])


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# ---- a real run ----


@pytest.fixture(scope="module")
def slab(tmp_path_factory):
    """All models at the smallest size, one call each, by the command line; (its result, the file that it wrote)."""
    out = tmp_path_factory.mktemp("bench") / "slab.json"
    parts = ("--only", "projection", "--only", "mlem")
    result = run("--size", "slab", "--device", "cpu", "--repeats", 1, "--threads", 2, *parts, "--out", out)
    return result, out


@pytest.fixture(scope="module")
def measured(slab):
    return json.loads(slab[1].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured_rest():
    """List mode and stored matrix, Joseph's method."""
    plan = bench.Plan(sizes="slab", models="joseph", device="cpu", repeats=1, parts=("listmode", "matrix"))
    return bench.run_bench(plan, tell=lambda text: None)


def test_a_run_ends_well(slab, measured):
    result, _ = slab
    assert not measured["failed"], measured["failed"]
    assert result.exit_code == 0, result.output
    assert measured["finished"] and measured["format"] == "pettutor bench 1"
    assert measured["plan"]["sizes"] == ["slab"] and measured["plan"]["repeats"] == 1
    assert [p.name for p in slab[1].parent.iterdir()] == ["slab.json"], "nothing else is left behind"


def test_the_machine_is_described(measured):
    machine = measured["machine"]
    assert machine["processor"] and machine["system"] and machine["cores"] >= machine["cores_usable"] >= 1
    assert machine["libraries"].keys() >= {"numpy", "numba", "scipy"} and machine["gpu"] is None
    assert machine["python"] == ".".join(map(str, sys.version_info[:3]))
    assert 1e8 < machine["copy_bytes_per_second"] < 1e13
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", measured["date"])


def test_every_model_is_measured_both_ways(measured):
    found = {(r["model"], r["what"]): r for r in measured["records"] if r["part"] == "projection"}
    assert {m for m, _ in found} == set(MODELS)
    scanner = pt.Scanner.preset("slab")
    for (model, what), record in found.items():
        seconds = record["seconds"]
        assert len(seconds["all"]) == 1 and 0 < seconds["min"] == seconds["median"] == seconds["max"] < 100
        assert record["sinogram_shape"] == [1, 144, 144] and record["image_shape"] == [1, 128, 128]
        assert record["lors"] == 144 * 144
        assert record["live_lors"] == scanner.live_bins.sum() < record["lors"]
        assert record["lors_per_second"] == pytest.approx(record["lors"] / seconds["median"], abs=1)
        assert 0 <= record["outside_kernels"] <= 1, (model, what)
        assert record["first_call_seconds"] > 0 and record["compiled"] in (True, False)
        assert record["threads"] == 2 and record["device"] == "cpu" and record["size"] == "slab"
    for model in MODELS:
        assert found[model, "forward"]["memory_bytes"] < 100e6 > found[model, "back"]["memory_bytes"]


def test_mlem_is_measured_with_and_without_psf(measured):
    records = [r for r in measured["records"] if r["part"] == "mlem"]
    assert [(r["model"], r["psf_fwhm"]) for r in records] == [("joseph", 0.0), ("joseph", 4.5)]
    assert all(r["seconds"]["median"] > 0 and len(r["seconds"]["all"]) == 1 for r in records)


@pytest.mark.parametrize(
    ("part", "whats"), [("listmode", {"forward", "back"}), ("matrix", {"build", "forward", "back"})]
)
def test_the_rest_is_measured(measured_rest, part, whats):
    assert not measured_rest["failed"] and not measured_rest["skipped"]
    records = [r for r in measured_rest["records"] if r["part"] == part]
    assert {r["what"].split()[-1] for r in records} == whats
    for record in records:
        assert record["seconds"]["median"] > 0 and record["model"] == "joseph"
        if part == "listmode":
            assert record["events"] == 100_000
            assert record["events_per_second"] == pytest.approx(1e5 / record["seconds"]["median"], abs=1)
        else:
            # at least a few weights of 8 bytes for each voxel on the way of each line
            assert record["stored_bytes"] > 50 * 144 * 144
    ((_, _, header, (row,)),) = [t for t in tables.tables(measured_rest) if t[0] == tables.TITLES[part]]
    assert len(header) == len(row) and row[:2] == ["slab", "joseph"]


# ---- methods ----


def few_patches(monkeypatch):
    """Learning the usual dictionary takes seconds."""
    from pettutor import reconstruction

    usual = reconstruction.learn_dictionary
    monkeypatch.setattr(
        reconstruction, "learn_dictionary", lambda image, mask: usual(image, mask=mask, samples=100, passes=1)
    )


MEASURED = ("mlem", "map_em_bowsher", "bsrem", "kernel_em", "dictionary_map")


@pytest.fixture(scope="module")
def methods_measured():
    """A method of every kind at the smallest size, one timed iteration, in this process."""
    common = {"part": "methods", "size": "slab", "model": "joseph", "device": "cpu", "repeats": 1, "threads": 2}
    with pytest.MonkeyPatch.context() as monkeypatch:
        few_patches(monkeypatch)
        return {name: cases.measure({**common, "method": name}) for name in MEASURED}


def test_methods_are_measured(methods_measured):
    for name, (record,) in methods_measured.items():
        assert record["what"] == METHODS[name][0] and record["usual_iterations"] == METHODS[name][1] > 1
        seconds, set_up = record["seconds"], record.get("set_up_seconds", 0.0)
        assert len(seconds["all"]) == 1 and seconds["median"] > 0 and record["first_iteration_seconds"] > 0
        rest = (record["usual_iterations"] - 1) * seconds["median"]
        assert record["total_seconds"] == pytest.approx(set_up + record["first_iteration_seconds"] + rest, abs=2e-3)
        assert ("set_up_seconds" in record) == (name != "mlem") == ("set_up_memory_bytes" in record)
        assert 0 <= record["memory_bytes"] < 300e6
    head = pt.load_subject("mni:0").on(pt.Scanner.preset("slab").image_grid()).regions["head"].sum()
    # 48 weights a voxel of the head, each a float32 and an int32; the mask's other voxels keep one
    assert methods_measured["kernel_em"][0]["stored_bytes"] == pytest.approx(48 * 8 * head, rel=0.1)


def test_the_methods_are_those_of_the_library(monkeypatch):
    """Which algorithm and prior each case runs, at which settings, with iterations and callback passed on."""
    from pettutor import reconstruction
    from pettutor.bench import methods as room

    called = []

    def recorder(name):
        return lambda y, A, *rest, **settings: called.append((name, rest, settings))

    few_patches(monkeypatch)
    algorithms = ("mlem", "osem", "map_em", "bsrem", "kernel_em", "dictionary_map")
    for name in algorithms:
        monkeypatch.setattr(reconstruction, name, recorder(name))
    case = {"size": "slab", "model": "joseph", "device": "cpu"}
    subject = room.Subject(case)
    A, y = room.scan(case, subject)
    assert (y >= 1).all() and A.psf_fwhm[1] > 0 and y.max() > 10
    made = {}
    for name in METHODS:
        make, run = room.prepared(name, case, A, subject)
        made[name] = make() if make else None
        run(y, made[name], iterations=3, callback=print)
    assert [name for name, *_ in called] == ["mlem", "osem", *["map_em"] * 3, *algorithms[3:]]
    assert [type(x).__name__ for x in made.values()][2:] == [
        "Smoothness", "Bowsher", "RelativeDifference", "RelativeDifference", "KernelMatrix", "Dictionary",
    ]  # fmt: skip
    for (_, rest, settings), thing in zip(called, made.values(), strict=True):
        assert settings["iterations"] == 3 and settings["callback"] is print
        assert rest == (() if thing is None else (thing,))
    assert [settings.get("subsets") for *_, settings in called] == [None, 8, None, None, None, 8, None, None]
    # without unit the strengths of the quadratic and the relative difference prior differ by the activity
    assert made["bsrem"].beta / made["map_em_quadratic"].beta == pytest.approx(subject.mean)


def test_methods_table(methods_measured):
    records = [record for records in methods_measured.values() for record in records]
    ((title, words, header, rows),) = tables.tables({"records": records, "machine": {}})
    assert title == tables.TITLES["methods"] and words == 3 and len(header) == len(rows[0])
    cells = dict(zip(MEASURED, (dict(zip(header, row, strict=True)) for row in rows), strict=True))
    assert [c["method"] for c in cells.values()] == [METHODS[name][0] for name in MEASURED]
    assert cells["mlem"]["set up s"] == "–" != cells["kernel_em"]["set up s"] and cells["mlem"]["iterations"] == "60"
    assert all(float(c["total s"]) > 0 for c in cells.values())


def test_methods_are_cases_of_their_own():
    plan = bench.Plan(sizes=("slab", "mini"), device="cpu", threads=1, parts="methods")
    found = plan.cases()
    assert [(c["size"], c["method"]) for c in found] == [(s, m) for s in ("slab", "mini") for m in METHODS]
    assert report.describe_case(found[-1]) == "mini joseph methods dictionary_map"


# ---- networks ----


@pytest.fixture
def one_unroll(monkeypatch):
    """MAPEM-Net with one, for the time that it takes to trace."""
    from pettutor import networks

    monkeypatch.setattr(networks, "MAPEMNet", functools.partial(networks.MAPEMNet, unrolls=1, steps=1))


@pytest.fixture
def networks_measured(one_unroll):
    """Both at the smallest size, in this process."""
    common = {"part": "networks", "size": "slab", "model": "joseph", "device": "cpu", "repeats": 2, "threads": 2}
    return [cases.measure({**common, "network": name}) for name in ("diprecon", "mapem_net")]


def test_networks_are_measured(networks_measured):
    (update, step), (forward, gradient) = networks_measured
    assert [r["what"].partition(", ")[2] for r in (update, step, forward, gradient)] == [
        "update of the image", "gradient of the network", "forward", "forward and gradient",
    ]  # fmt: skip
    for record in (update, step, forward, gradient):
        assert len(record["seconds"]["all"]) == 2 and 0 < record["seconds"]["min"] < 100
        assert record["image_shape"] == [1, 128, 128] and record["backend"] in ("tensorflow", "jax", "torch")
    unet = pt.networks.dip_unet((128, 128, 1), (8, 16, 32))
    assert update["weights"] == step["weights"] == unet.count_params() != gradient["weights"] > 1000
    assert step["memory_method"].endswith("reset before each call") == (sys.platform == "linux")
    ((title, words, header, rows),) = tables.tables({"records": [r for rs in networks_measured for r in rs]})
    assert title == tables.TITLES["networks"] and words == 5 and all(len(row) == len(header) for row in rows)
    cells = dict(zip(header, rows[0], strict=True))
    assert cells["image"] == "1×128×128" and cells["weights"] == f"{unet.count_params():,}"


def test_what_is_timed_is_what_its_name_says(one_unroll):
    from pettutor.bench import methods, networks

    case = {"size": "slab", "model": "joseph", "device": "cpu"}
    subject = methods.Subject(case)
    A, y = methods.scan(case, subject)
    model, parts = networks._diprecon(A, y, subject)
    update, gradient = parts.values()
    # noiseless counts of the image that it starts from, which is where it stays
    np.testing.assert_allclose(update(), subject.activity, rtol=2e-3, atol=1e-3 * subject.mean)
    value, slope = gradient()
    assert slope.shape == (model.count_params(),) and abs(slope).max() > 0
    # the untrained network makes 1 everywhere, about
    assert value == pytest.approx(np.square(subject.activity / subject.mean - 1).mean(), rel=0.1)
    model, parts = networks._mapem_net(A, y, subject)
    forward, gradient = parts.values()
    before = model.get_weights()
    assert forward().shape == (1, 128, 128, 1)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    gradient()
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_networks_are_cases_of_their_own():
    """Asked for, not measured by default; the large scanner's image is as wide as a head."""
    found = bench.Plan(sizes=("mini", "mmr"), device="cpu", threads=1, parts="networks").cases()
    assert [(c["size"], c["network"]) for c in found] == [
        (size, network) for size in ("mini", "mmr") for network in ("diprecon", "mapem_net")
    ]
    assert report.describe_case(found[-1]) == "mmr joseph networks mapem_net"
    assert cases.problem(found[0])[1].shape == (31, 128, 128)
    scanner, grid = cases.problem(found[-1])
    assert grid.shape == (127, 128, 128) and grid.voxel_size == scanner.image_grid().voxel_size
    head = pt.load_subject("mni:0").on(grid).regions["head"]
    assert head.any() and not head[:, [0, -1]].any() and not head[:, :, [0, -1]].any()
    assert "networks" not in bench.Plan(device="cpu").parts


def test_networks_need_keras(monkeypatch):
    def missing():
        raise ImportError("the networks need Keras, which is not installed here")

    monkeypatch.setattr("pettutor.networks.backend.load_keras", missing)
    with pytest.raises(cases.SkippedError, match="need Keras"):
        cases.measure({"part": "networks", "network": "diprecon", "size": "slab", "model": "joseph", "device": "cpu"})


def test_memory_of_a_shared_gpu_is_all_that_is_taken(monkeypatch):
    free = [900]
    runtime = types.SimpleNamespace(memGetInfo=lambda: (free[0], 1000))
    monkeypatch.setattr(
        measuring, "find_cupy", lambda: types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
    )
    memory = measuring.WholeDeviceMemory()

    def call():
        free[0] = 300
        time.sleep(0.05)
        free[0] = 700

    assert memory.peak_of(call) == (None, 600)


def test_progress_goes_to_stderr_and_tables_to_stdout(slab, measured):
    result, _ = slab
    count = len(re.findall(r"^\[\d+/\d+\] slab ", result.stderr, flags=re.M))
    assert count == len(MODELS) + 2
    assert "Projections" in result.stdout and "[1/" not in result.stdout
    for model in MODELS:
        assert re.search(rf"^slab +{model} +[\d.]+ ", result.stdout, flags=re.M)
    assert measured["machine"]["processor"] in result.stdout


def test_kept_numbers_are_shown_again(slab):
    result, out = slab
    assert run("--show", out).stdout == result.stdout
    lines = run("--show", out, "--markdown").stdout.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    header = next(row for row in rows if "back M/s" in row)
    following = rows[rows.index(header) + 1 :]
    assert set(following[0]) <= set("|-: ") and following[0].count("|") == header.count("|")
    assert sum(row.startswith("| slab | joseph |") for row in rows) == 3


# ---- what is measured is what happens ----


def test_memory_of_a_call_is_found():
    """200 MB, written and freed inside the call: by the kernel's peak, and by looking again and again.

    The system counts pages in batches, and the process may give some back meanwhile.
    """
    for resettable in (None, False):
        memory = measuring.HostMemory(resettable)

        def call():
            block = np.ones(25_000_000)
            time.sleep(0.05)
            return block.size

        result, peak = memory.peak_of(call)
        assert result == 25_000_000 and 195e6 <= peak < 230e6, memory.method
        assert memory.peak_of(lambda: None)[1] < 20e6


def test_memory_of_a_call_is_not_what_was_left_before():
    """100 MB that nobody uses any more, and that Python has not given back."""
    memory = measuring.HostMemory()
    left = [np.ones(12_500_000)]
    left.append(left)
    del left
    assert memory.peak_of(lambda: None)[1] < 20e6


def test_seconds_leave_the_first_call_and_freeing_out():
    calls, told = [], []
    times = measuring.seconds_of(lambda: calls.append(time.sleep(0.02)), 3, after=told.append)
    assert len(calls) == len(times) == 3 and times == told and all(0.02 <= t < 1 for t in times)
    assert measuring.summary([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "all": [3.0, 1.0, 2.0]}


def test_time_inside_the_kernels_is_told_from_the_rest():
    def kernel(seconds, array):
        time.sleep(seconds)

    kernel.stats, kernel.py_func = None, None
    module = types.SimpleNamespace(kernel=kernel, other=len)
    watch = outside.KernelTime(module)
    module.kernel(0.03, np.zeros(1))
    time.sleep(0.02)
    module.kernel(0.01, np.zeros(1))
    assert 0.06 <= watch.taken() < 0.5 and watch.taken() == 0 and module.other is len


def test_events_are_spread_over_all_live_lines():
    scanner = pt.Scanner.preset("mini")
    planes, views, bins = cases.random_events(scanner, 100_000, seed=1)
    assert scanner.live_bins[views, bins].all()
    for index, size in zip((planes, views, bins), scanner.sinogram_shape, strict=True):
        assert index.shape == (100_000,) and set(index) == set(range(size))
    assert (np.diff(planes) < 0).any() and (np.diff(views) < 0).any(), "in no order"


@pytest.mark.parametrize("size", ["slab", "mini", "mmr"])
def test_scaling_changes_one_thing_at_a_time(size):
    scanner = pt.Scanner.preset(size)
    usual = scanner.sinogram_shape, scanner.image_grid().shape
    seen = []
    for change in scalings(size, 4):
        case = {"size": size, **change}
        other, grid = cases.problem(case)
        views = len(range(0, other.views, case.get("view_step", 1)))
        sinogram = (other.sinogram_shape[0], views, other.bins)
        work = np.prod(sinogram, dtype=float) / np.prod(usual[0]) * np.prod(grid.shape, dtype=float) / np.prod(usual[1])
        work *= case.get("threads", 4) / 4
        squared = 2 if change["changed"] == "voxels along y and x" else 1
        assert work == pytest.approx(change["factor"] ** squared, rel=0.04), change
        assert np.allclose(grid.size, scanner.image_grid().size, rtol=0.04), "the field of view stays"
        seen.append(change["changed"])
    expected = {"nothing", "voxels along y and x", "bins", "views", "threads"}
    assert set(seen) == (expected if size == "slab" else expected | {"voxels along z", "planes"})
    assert seen[0] == "nothing" and seen.count("threads") == 2


def test_a_scaled_case_is_measured_and_shown():
    case = {"part": "scaling", "size": "slab", "model": "joseph", "device": "cpu", "repeats": 1, "threads": 1}
    records = []
    for change in ({"changed": "nothing", "factor": 1.0}, {"changed": "views", "factor": 0.25, "view_step": 4}):
        answer = report.in_a_process({**case, **change}, 1)
        records += answer["records"]
    assert [r["lors"] for r in records] == [144 * 144] * 2 + [36 * 144] * 2
    assert records[2]["live_lors"] == pt.Scanner.preset("slab").live_bins[::4].sum()
    ((title, words, header, rows),) = tables.tables({"records": records, "machine": {}})
    assert "Scaling" in title and header[2] == "changed" and words < len(header)
    assert [row[2] for row in rows] == ["nothing", "views"] and rows[0][-2:] == ["×1", "×1"]
    assert rows[1][3:5] == ["1×128×128", "1×36×144"]


@pytest.mark.gpu
def test_a_gpu_is_measured_too():
    plan = bench.Plan(sizes="slab", models="joseph", device="cuda", repeats=2, parts=("projection", "mlem", "listmode"))
    found = bench.run_bench(plan, tell=lambda text: None)
    assert not found["failed"] and not found["skipped"] and found["machine"]["gpu"]["name"]
    whats = [r["what"] for r in found["records"] if r["part"] == "projection"]
    assert whats[:2] == ["forward", "back"] and "forward, NumPy arrays" in whats
    assert all(r["device"] == "cuda" and r["seconds"]["min"] > 0 for r in found["records"])
    assert found["machine"]["gpu"]["name"] in bench.as_text(found)


# ---- tables of made-up numbers ----


def made_up(**changes):
    seconds = {"median": 2.0, "min": 1.75, "max": 2.25, "all": [1.75, 2.0, 2.25]}
    common = {"size": "mmr", "model": "joseph", "device": "cpu", "threads": 2, "seconds": seconds, **changes}
    return [
        {**common, "part": "projection", "what": what, "lors_per_second": 36_300_000, "memory_bytes": 123_400_000,
         "outside_kernels": 0.0456, "least_bytes_per_second": 2e11}
        for what in ("forward", "back")
    ]  # fmt: skip


def test_numbers_read_as_they_should():
    ((_, _, header, (row,)),) = tables.tables({"records": made_up(), "machine": {}})
    cells = dict(zip(header, row, strict=True))
    assert cells["forward s"] == "2 (0.5)" and cells["forward M/s"] == "36.3" and cells["back MB"] == "123"
    assert cells["back outside kernels"] == "4.56 %"


def test_on_a_gpu_the_share_of_the_copy_bandwidth_is_shown():
    machine = {"copy_bytes_per_second": 4e12}
    ((_, _, header, (row,)),) = tables.tables({"records": made_up(device="cuda"), "machine": machine})
    cells = dict(zip(header, row, strict=True))
    assert cells["forward of bandwidth"] == "5 %" and cells["NumPy back s"] == "–"


# ---- what cannot be ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "huge"), "mmr"),
        (("--model", "pencil"), "distance_driven"),
        (("--device", "tpu"), "cuda"),
        (("--repeats", "0"), "--repeats"),
        (("--threads", "0"), "--threads"),
        (("--only", "everything"), "listmode"),
    ],
)
def test_wrong_options_name_what_is_right(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2 and words in plain(result.stderr)


@NO_GPU
def test_cuda_without_a_gpu():
    result = run("--device", "cuda")
    assert result.exit_code == 1
    assert result.stderr.strip().startswith("pettutor: device='cuda': expected CuPy and a CUDA GPU, found none")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"sizes": ["slab", "huge"]}, "sizes: expected some of slab, mini, mmr, got 'huge'"),
        ({"models": []}, "models: expected some of"),
        ({"repeats": 0}, "repeats: expected a whole number >= 1, got 0"),
        ({"threads": 1.5}, "threads: expected a whole number >= 1, got 1.5"),
        ({"parts": ["matrix"], "sizes": ["mini"]}, "nothing to measure"),
        ({"parts": ["listmode"], "models": ["multi_ray"]}, "nothing to measure"),
    ],
)
def test_wrong_choices(choice, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        bench.Plan(device="cpu", **choice)


def test_an_unwritable_file_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "in_a_process", lambda *a: pytest.fail("measured"))
    for path, words in ((tmp_path, "folder"), (tmp_path / "none" / "x.json", "in a folder that is there")):
        result = run("--size", "slab", "--device", "cpu", "--out", path)
        assert result.exit_code == 1 and words in " ".join(result.stderr.split()), result.stderr


def test_show_of_another_file(tmp_path):
    for text in ("{}", "no json", "[]"):
        (tmp_path / "x.json").write_text(text)
        result = run("--show", tmp_path / "x.json")
        assert result.exit_code == 1 and "pettutor bench --out" in result.stderr
    assert run("--show", tmp_path / "none.json").exit_code == 1


def test_a_case_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    def answer(case, threads):
        if case["part"] == "machine":
            return {"records": [{"copy_bytes_per_second": 10}]}
        if case["model"] == "siddon":
            return {"error": "ValueError: it fell"}
        return {"records": [r for r in made_up(size="slab", model=case["model"])]}

    monkeypatch.setattr(report, "in_a_process", answer)
    result = run("--size", "slab", "--device", "cpu", "--only", "projection", "--out", tmp_path / "x.json")
    assert result.exit_code == 1
    assert "Failed: slab siddon projection: ValueError: it fell" in result.stdout
    assert {r["model"] for r in bench.load_report(tmp_path / "x.json")["records"]} == set(MODELS) - {"siddon"}


def test_ctrl_c_leaves_what_was_measured(tmp_path, monkeypatch):
    def answer(case, threads):
        if case.get("model") == "joseph":
            raise KeyboardInterrupt
        return {"records": made_up(size="slab", model=case["model"])} if "model" in case else {}

    monkeypatch.setattr(report, "in_a_process", answer)
    result = run("--size", "slab", "--device", "cpu", "--only", "projection", "--out", tmp_path / "x.json")
    assert result.exit_code == 130
    kept = bench.load_report(tmp_path / "x.json")
    assert not kept["finished"] and {r["model"] for r in kept["records"]} == {"siddon", "multi_ray"}
    assert "Not finished" in run("--show", tmp_path / "x.json").stdout


@pytest.mark.parametrize(("part", "needed"), [("mlem", r"2\.\d"), ("methods", r"3\.\d"), ("networks", r"2\d\.\d")])
def test_too_little_memory_is_told_with_the_numbers(monkeypatch, part, needed):
    monkeypatch.setattr(report, "free_memory", lambda: 1e9)
    monkeypatch.setattr(report, "in_a_process", lambda case, threads: {})
    said = []
    found = report.run_bench(bench.Plan(sizes=["mmr"], parts=[part], device="cpu"), tell=said.append)
    reason = found["skipped"][0]["reason"]
    assert re.fullmatch(rf"needs about {needed} GB of memory, 1\.0 GB are free", reason) and reason in "".join(said)


def test_a_process_without_an_answer_is_an_error():
    answer = report.in_a_process({"part": "nothing"}, None)
    assert "KeyError" in answer["error"]
    answer = report.in_a_process("no case", None)
    assert "error" in answer


def test_threads_reach_the_process():
    case = {"part": "projection", "size": "slab", "model": "joseph", "device": "cpu", "repeats": 1}
    assert "PETTUTOR_THREADS: expected" in report.in_a_process(case, "none")["error"]


# ---- the command line ----


def test_help_has_examples():
    result = run("--help")
    assert result.exit_code == 0 and re.search(r"Examples: *\n +pettutor bench", plain(result.output))


def test_the_names_are_those_of_the_library():
    from pettutor.bench.plan import LISTMODE_MODELS, PARTS, SIZES
    from pettutor.projector import listmode

    assert set(LISTMODE_MODELS) == set(listmode.LISTMODE_MODELS)
    assert {m.value for m in cli.Model} == set(MODELS)
    assert [p.value for p in cli.Part] == list(PARTS)
    assert [s.value for s in cli.Size] == list(SIZES)


def test_choices_reach_the_plan(monkeypatch):
    asked = []

    def run_bench(plan, out):
        asked.append((plan, out))
        return {"records": [], "skipped": [], "failed": [], "finished": True}

    monkeypatch.setattr(bench, "run_bench", run_bench)
    monkeypatch.setattr(bench, "as_text", lambda report: "text")
    result = run("--size", "mmr", "--model", "siddon", "--model", "joseph", "--device", "cpu", "--repeats", 7,
                 "--threads", 3, "--only", "mlem", "--scaling", "--out", "x.json")  # fmt: skip
    assert result.exit_code == 0 and result.stdout.strip() == "text", result.output
    ((plan, out),) = asked
    chosen = bench.Plan(("mmr",), ("siddon", "joseph"), "cpu", 7, 3, True, ("mlem",))
    assert plan == chosen and str(out) == "x.json"
    run()
    assert asked[1][0] == bench.Plan()


def test_planning_loads_no_numba():
    code = "import sys, pettutor.bench as b; b.Plan(device='cpu').cases(); print('numba' in sys.modules)"
    assert run_python(code) == "False"
