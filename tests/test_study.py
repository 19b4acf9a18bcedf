"""Studies: configuration with its lines, plan and keys, one cell against direct calls, tables, the folder."""

import copy
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import pettutor as pt
from pettutor import measures
from pettutor.study import cell as cell_room
from pettutor.study import command, methods
from pettutor.study.config import read
from pettutor.study.lock import locked
from pettutor.study.plan import cells_of, seed_from
from pettutor.study.scenario import scenario_of
from pettutor.study.storage import Store

SMALL = {
    "name": "small",
    "counts": 2e5,
    "realisations": 2,
    "images": "last",
    "methods": {
        "MLEM": {"algorithm": "mlem", "iterations": [1, 3], "fwhm": [0, 5]},
        "MAP": {"algorithm": "map_em", "prior": "quadratic", "kappa": [0.1, 0.5], "iterations": 2},
    },
}


def changed(path, value, base=SMALL):
    """A copy of a configuration with one setting changed; ``path`` like "psf.modelled"."""
    result = copy.deepcopy(base)
    *parents, last = path.split(".")
    here = result
    for name in parents:
        here = here.setdefault(name, {})
    here[last] = value
    return result


def keys(configuration):
    return [cell.key for cell in cells_of(read(configuration)[0])]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small study, run in this process."""
    study = pt.Study(SMALL, out=tmp_path_factory.mktemp("studies"))
    summary = study.run(workers=0, progress=False)
    assert (summary.cells, summary.computed, summary.failed) == (6, 6, [])
    return study


# ---- configuration ----

FILE = """\
name: test
counts: [5e5, 1e6]
subjects: [mni:0]
lesions: [none]
psf:
  simulated: 4
methods:
  MLEM:
    algorithm: mlem
    iterations: [1, 2]
  OSEM: {algorithm: osem, subsets: 6, iterations: 3}
  MAP:
    algorithm: map_em
    prior: bowsher
    similar: 4
    kappa: [0.1, 1]
    iterations: 5
"""


def test_a_file_is_read(tmp_path):
    (tmp_path / "study.yaml").write_text(FILE)
    configuration, text = read(tmp_path / "study.yaml")
    assert text == FILE
    assert configuration.counts == (5e5, 1e6) and configuration.psf.simulated == 4
    assert configuration.methods["MAP"].kappa == (0.1, 1.0)
    assert configuration.methods["OSEM"].iterations == (3,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: test", "nam: test", "line 1: nam: expected one of name, size, .*unknown setting .did you mean 'name'?"),
        ("name: test", "name: a/b", "line 1: name: expected a name .*, got 'a/b'"),
        ("[5e5, 1e6]", "many", "line 2: counts: expected a number, got 'many'"),
        ("[5e5, 1e6]", "[5e5,\n 0]", "line 3: counts.1: expected a number > 0, got 0"),
        ("[5e5, 1e6]", "[]", "line 2: counts: expected at least one value, got none"),
        ("[mni:0]", "[mni:0, mni:0]", "line 3: subjects: expected every value once, got 'mni:0' twice"),
        ("[mni:0]", "mnx:0", "line 3: subjects: expected 'mni:N' .*, got 'mnx:0'"),
        ("[none]", "[non]", "line 4: lesions.0: expected one of none, standard, .*'non' .did you mean 'none'"),
        (
            "[none]",
            "[{name: x, lesions: [{diameter: -1}]}]",
            "line 4: lesions.0.lesions.0.diameter: expected a number > 0",
        ),
        ("[none]", "[{name: x, lesions: [{diamter: 1}]}]", "lesions.0.lesions.0.diamter: .*did you mean 'diameter'"),
        ("[none]", "[none, none]", "line 4: lesions: expected every"),
        ("simulated: 4", "simulatd: 4", r"line 6: psf.simulatd: .*unknown setting \(did you mean 'simulated'\?\)"),
        ("simulated: 4", "simulated: .nan", "line 6: psf.simulated: expected a"),
        (
            "algorithm: mlem",
            "algorithm: mlme",
            "line 9: methods.MLEM.algorithm: expected one of mlem, osem,.*'mlme' .did",
        ),
        ("    algorithm: mlem\n", "", "line 8: methods.MLEM.algorithm: expected one of mlem, .*got none"),
        ("[1, 2]", "[1, 2, 2]", "line 10: methods.MLEM.iterations: expected every value once, got 2 twice"),
        ("[1, 2]", "[1, two]", "line 10: methods.MLEM.iterations.1: expected a whole number, got 'two'"),
        ("subsets: 6", "subsets: 0", "line 11: methods.OSEM.subsets: expected a number >= 1, got 0"),
        ("subsets: 6", "subsets: 2.5", "line 11: methods.OSEM.subsets: expected a whole number, got 2.5"),
        ("subsets: 6", "subsets: yes", "line 11: methods.OSEM.subsets: expected a whole number, got 'yes'"),
        ("subsets: 6, ", "", "line 11: methods.OSEM.subsets: expected a value, got none"),
        ("prior: bowsher", "prior: bowser", "line 14: methods.MAP.prior: .*'bowser' .did you mean 'bowsher'"),
        ("similar: 4", "mr_shift: [0, .inf]", "line 15: methods.MAP.mr_shift.1: expected a finite number"),
        (
            "prior: bowsher\n    similar: 4",
            "prior: quadratic\n    mr_shift: 1",
            "line 12: methods.MAP: mr_shift: expected only with prior bowsher, got it with quadratic",
        ),
        ("prior: bowsher", "prior: quadratic", "line 12: methods.MAP: similar: expected only with prior bowsher"),
        ("similar: 4", "similar: 27", "line 15: methods.MAP.similar: expected a number <= 26, got 27"),
        ("    kappa: [0.1, 1]\n", "", "methods.MAP: expected either kappa .* or beta, got none"),
        ("    kappa: [0.1, 1]", "    kappa: 1\n    beta: 1", "methods.MAP: expected either kappa .* or beta, got both"),
        ("  OSEM", "  MLEM", "line 11: expected every name once, got 'MLEM' again .first on line 8."),
        ("subsets: 6", "subsets: 6: 7", "line 11: expected YAML"),
        ("psf:\n", "psf: 3\n", "line 6: expected YAML"),
    ],
)
def test_a_fault_is_found_on_its_line(tmp_path, old, new, message):
    assert old in FILE
    (tmp_path / "study.yaml").write_text(FILE.replace(old, new, 1))
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "study.yaml")
    lines = str(caught.value).splitlines()
    assert any(re.match(f"study.yaml, .*{message}", line) for line in lines), lines


def test_all_faults_are_said_in_the_order_of_the_lines(tmp_path):
    text = FILE.replace("subsets: 6", "subsets: 0").replace("[none]", "[nun]").replace("name: test", "name: ''")
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "study.yaml")
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"study.yaml, line {n}" for n in (1, 4, 11)]


def test_names_that_are_merged_can_be_overruled(tmp_path):
    text = (
        FILE.partition("methods:")[0]
        + """methods:
  one: &base {algorithm: mlem, iterations: 3, fwhm: [0, 2]}
  two: &other {<<: *base, iterations: 5}
  three: {<<: *other, fwhm: 4}
  four: *other
"""
    )
    (tmp_path / "study.yaml").write_text(text)
    methods = read(tmp_path / "study.yaml")[0].methods
    assert [m.iterations for m in methods.values()] == [(3,), (5,), (5,), (5,)]
    assert [m.fwhm for m in methods.values()] == [(0, 2), (0, 2), (4,), (0, 2)]
    (tmp_path / "study.yaml").write_text(text.replace("fwhm: 4}", "fwhm: 4, fwhm: 5}"))
    with pytest.raises(ValueError, match=r"line 10: expected every name once, got 'fwhm' again \(first on line 10\)"):
        read(tmp_path / "study.yaml")


@pytest.mark.parametrize("text", ["", "- 1\n", "just words"])
def test_a_file_that_is_no_study(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"study.yaml.*expected"):
        read(tmp_path / "study.yaml")


def test_other_sources():
    with pytest.raises(ValueError, match=r"^study: methods.MLEM.fwhm: expected a number >= 0, got -1"):
        read(changed("methods.MLEM.fwhm", -1))
    with pytest.raises(TypeError, match="expected the path of a YAML file or a dict, got int"):
        pt.Study(3)
    with pytest.raises(TypeError, match=r"got both \(name\)"):
        pt.Study(SMALL, name="x")
    with pytest.raises(FileNotFoundError):
        pt.Study("no-such-file.yaml")


def test_the_text_that_is_kept_reads_as_the_same_study(tmp_path):
    configuration, text = read(SMALL)
    (tmp_path / "again.yaml").write_text(text)
    assert read(tmp_path / "again.yaml")[0] == configuration
    assert keys(tmp_path / "again.yaml") == keys(SMALL)


def test_the_example_is_a_study_and_its_defaults_are_true(tmp_path):
    (tmp_path / "example.yaml").write_text(command.EXAMPLE)
    configuration, _ = read(tmp_path / "example.yaml")
    said = yaml.safe_load(command.EXAMPLE)
    defaults = read({"name": "x", "counts": 1.0, "methods": said["methods"]})[0]
    for name in said.keys() - {"name", "counts", "subjects", "lesions", "images"}:
        assert getattr(configuration, name) == getattr(defaults, name), name


# ---- plan ----


def test_the_order_and_number_of_cells():
    cells = cells_of(read(changed("subjects", ["mni:0", "mni:1"]))[0])
    assert len(cells) == 2 * (1 + 2) * 2 and len({cell.key for cell in cells}) == len(cells)
    labels = [tuple(cell.labels[n] for n in ("subject", "method", "setting", "realisation")) for cell in cells[:6]]
    assert labels == [
        ("mni:0", "MLEM", "", 0), ("mni:0", "MLEM", "", 1), ("mni:0", "MAP", "kappa=0.1", 0),
        ("mni:0", "MAP", "kappa=0.1", 1), ("mni:0", "MAP", "kappa=0.5", 0), ("mni:0", "MAP", "kappa=0.5", 1),
    ]  # fmt: skip
    assert [cell.labels.get("kappa") for cell in cells[:6]] == [None, None, 0.1, 0.1, 0.5, 0.5]


def test_every_combination_of_swept_settings():
    swept = {"algorithm": "kernel_em", "neighbours": [8, 16], "sigma": [0.5, 1], "iterations": [1, 2]}
    cells = cells_of(read({"name": "x", "counts": 1.0, "realisations": 1, "methods": {"K": swept}})[0])
    found = [(cell.labels["neighbours"], cell.labels["sigma"]) for cell in cells]
    assert found == [(8, 0.5), (8, 1.0), (16, 0.5), (16, 1.0)]
    assert cells[1].labels["setting"] == "neighbours=8, sigma=1"
    assert cells[1].task["settings"]["sigma"] == 1.0


def test_a_stop_between_a_cell_s_file_and_its_count(tmp_path, monkeypatch):
    write = Store.write

    def write_and_stop(store, cell, result):
        write(store, cell, result)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", write_and_stop)
    study = pt.Study(SMALL, out=tmp_path)
    summary = study.run(workers=0, progress=False)
    assert summary.stopped and (summary.computed, summary.waiting) == (1, len(study.cells) - 1) and study.done == 1


def test_structure_can_be_swept():
    cells = cells_of(read(changed("structure", [0, 0.5]))[0])
    assert [cell.labels["structure"] for cell in cells] == [0.0] * 6 + [0.5] * 6
    assert [cell.key for cell in cells[6:]] == keys(changed("structure", 0.5))


def test_a_swept_structure_is_a_column_of_every_table(tmp_path):
    methods = {"MLEM": {"algorithm": "mlem", "iterations": [1, 2]}}
    study = pt.Study(changed("structure", [0, 1]) | {"methods": methods, "images": "last"}, out=tmp_path)
    study.run(workers=0, progress=False)
    assert "2 structures" in repr(study)
    for table in (study.table, study.curves(), study.region_rows()):
        assert list(table.columns)[:5].count("structure") == 1 and sorted(set(table["structure"])) == [0.0, 1.0]
    curves = study.curves()
    assert len(curves) == 2 * len(curves.query("structure == 1")) and (curves["realisations"] == 2).all()
    smooth, rough = (study.image("MLEM", structure=value) for value in (0, 1))
    assert (smooth != rough).any() and "structure" in command.results(study)
    one = curves.query("region == 'grey matter'")
    with pytest.raises(ValueError, match=r"expected one curve, got several of structure: 0\.0, 1\.0"):
        measures.at_equal_noise(one, 0.1)


def test_a_displaced_mr_is_what_a_method_gets(tmp_path):
    """MR displaced by a voxel, against the same by hand; without a displacement it is the phantom's own."""
    method = {"algorithm": "kernel_em", "neighbours": 6, "window": 3, "iterations": 2, "mr_shift": [0, 4]}
    study = pt.Study(changed("methods", {"K": method}) | {"realisations": 1, "images": "last"}, out=tmp_path)
    study.run(workers=0, progress=False)
    scenario = scenario_of(study.cells[0].scenario)
    y, t1, head = scenario.counts(0), scenario.truth.t1, scenario.truth.regions["head"]
    assert scenario.grid.voxel_size[2] == 2
    for shift, mr in ((0, t1), (4, np.concatenate([t1[..., :1], t1[..., :1], t1[..., :-2]], axis=-1))):
        kernel = pt.mr_kernel(mr, mask=head, neighbours=6, window=3)
        expected = pt.kernel_em(y, scenario.A, kernel, iterations=2)
        assert study.image("K", mr_shift=shift) == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_keys_stay_the_same():
    """Changed keys throw away everybody's results: that has to be meant (then raise ``plan.MEANING``)."""
    assert keys(SMALL)[:3] == KEYS


KEYS = ["21193ad471159f33e4bfb0fb", "4e2c7f3d3e07394ae0b6cc7b", "4cdf24bebf971080e3c84bbe"]


def test_names_do_not_count_in_keys():
    renamed = copy.deepcopy(SMALL)
    renamed["name"] = "other"
    renamed["methods"] = {name + " again": method for name, method in SMALL["methods"].items()}
    assert keys(renamed) == keys(SMALL)
    assert keys(changed("realisations", 3))[:2] == keys(SMALL)[:2]  # more realisations only add


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("size", "mini"), ("subjects", "mni:1"), ("structure", 0.4), ("tracer", "amyloid"), ("lesions", "pet_only"),
        ("counts", 2e5 + 1), ("seed", 1), ("randoms_fraction", 0.2), ("scatter_fraction", 0.1), ("psf.simulated", 4.0),
        ("psf.modelled", 4.0), ("model", "siddon"), ("stored_matrix", False), ("device", "cpu"), ("images", "none"),
    ],
)  # fmt: skip
def test_whatever_changes_results_changes_every_key(path, value):
    assert not set(keys(changed(path, value))) & set(keys(SMALL))


@settings(max_examples=30, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "seed": st.integers(0, 2),
            "counts": st.lists(st.floats(1, 1e9), min_size=1, max_size=3, unique=True),
            "kappa": st.lists(st.floats(0, 1e3), min_size=1, max_size=4, unique=True),
            "similar": st.lists(st.integers(1, 26), min_size=1, max_size=3, unique=True),
        }
    )
)
def test_different_cells_have_different_keys(values):
    swept = {"algorithm": "map_em", "prior": "bowsher", "kappa": values["kappa"], "similar": values["similar"]}
    study = {"name": "x", "seed": values["seed"], "counts": values["counts"], "realisations": 3}
    found = keys(study | {"methods": {"B": swept | {"iterations": 2}, "M": {"algorithm": "mlem", "iterations": 2}}})
    assert len(set(found)) == len(values["counts"]) * 3 * (len(values["kappa"]) * len(values["similar"]) + 1)
    assert len(found) == len(set(found))


# ---- one cell ----


def test_a_cell_is_what_direct_calls_give(finished):
    """Everything by hand: phantom, scan, reconstruction, filter, measures."""
    scanner = pt.Scanner.preset("slab")
    grid = scanner.image_grid()
    truth = pt.load_subject("mni:0").on(grid, structure=0.5, seed=seed_from(0, "structure", "mni:0"))
    truth = truth.with_lesions(seed=seed_from(0, "lesions", "mni:0"))
    X = pt.Projector(scanner, grid, device="cpu")
    scan = pt.simulate(truth, X, counts=2e5, randoms_fraction=0.3, psf_fwhm=4.5, seed=seed_from(0, "scanner"))
    A = pt.AcquisitionModel(
        X.to_matrix(), attenuation=scan.attenuation, normalisation=scan.normalisation, psf_fwhm=4.5,
        background=scan.background,
    )  # fmt: skip
    (cell,) = [c for c in finished.cells if c.labels["method"] == "MLEM" and c.labels["realisation"] == 1]
    which = [cell.scenario[n] for n in ("subject", "lesions", "counts", "size", "structure", "tracer")]
    y = scan.realisation(seed_from(0, "noise", which, 1)).prompts
    row = finished.table.query("method == 'MLEM' and realisation == 1 and iteration == 3").set_index("fwhm")

    unfiltered = pt.mlem(y, A, iterations=3)
    assert np.array_equal(finished.image("MLEM", realisation=1), unfiltered)
    for fwhm in (0.0, 5.0):
        x = pt.gaussian_filter(unfiltered, fwhm, grid)
        mean = A.expected(x).astype(float)
        live = mean > 0
        likelihood = (y[live] * np.log(mean[live]) - mean[live]).sum()
        assert not y[~live].any() and row.log_likelihood[fwhm] == pytest.approx(likelihood, rel=1e-7)
        head, white = truth.regions["head"], truth.regions["white matter"]
        error, t = (x - truth.pet)[head].astype(float), truth.pet[head].astype(float)
        assert row.nrmse_head[fwhm] == pytest.approx(np.sqrt((error**2).mean() / (t**2).mean()))
        assert row.psnr_head[fwhm] == pytest.approx(20 * np.log10(truth.pet.max() / np.sqrt((error**2).mean())))
        assert row.ssim_head[fwhm] == measures.ssim(x, truth.pet, data_range=float(truth.pet.max()), mask=head)
        for name, mask in (("grey_matter", truth.regions["grey matter"]), ("lesion_1", truth.regions["lesion 1"])):
            a, b, p, q = (image[m].mean(dtype=float) for image in (x, truth.pet) for m in (mask, white))
            assert row[f"mean_{name}"][fwhm] == pytest.approx(a)
            assert row[f"bias_{name}"][fwhm] == pytest.approx(a / p - 1)
            assert row[f"crc_{name}"][fwhm] == pytest.approx((a / b - 1) / (p / q - 1))


def test_methods_run_with_their_settings(finished):
    """The strength without unit is that of `priors.strength`."""
    from pettutor.study.scenario import scenario_of

    (cell,) = [c for c in finished.cells if c.labels["setting"] == "kappa=0.5" and c.labels["realisation"] == 0]
    scenario = scenario_of(cell.scenario)
    s = scenario.A.T(np.ones(scenario.A.out_shape, np.float32))
    activity = scenario.truth.pet[scenario.truth.regions["head"]].mean(dtype=float)
    prior = pt.priors.Smoothness(0.5 * s[s > 0].mean(dtype=float) / activity, scenario.grid.voxel_size)
    image = pt.map_em(scenario.counts(0), scenario.A, prior, iterations=2)
    assert finished.image("MAP", setting="kappa=0.5") == pytest.approx(image, rel=1e-5)


def run_tasks(configuration):
    return [cell_room.run_cell(cell.task) for cell in cells_of(read(configuration)[0])]


# fmt: off
EVERY_ALGORITHM = {
    "MLEM": {"algorithm": "mlem", "iterations": [1, 2]},
    "OSEM": {"algorithm": "osem", "subsets": 4, "order": "random", "iterations": 2},
    "quadratic": {"algorithm": "map_em", "prior": "quadratic", "kappa": 0.1, "iterations": 2},
    "Bowsher": {"algorithm": "map_em", "prior": "bowsher", "kappa": 0.1, "similar": 4, "mr": "t2", "iterations": 2},
    "RDP": {
        "algorithm": "map_em", "prior": "relative_difference", "kappa": 0.1, "gamma": 1, "subsets": 4, "iterations": 2,
    },
    "BSREM": {
        "algorithm": "bsrem", "prior": "relative_difference", "beta": 0.1, "epsilon": 1, "subsets": 4, "mlem_first": 1,
        "iterations": 2,
    },
    "kernel": {"algorithm": "kernel_em", "neighbours": 8, "mr": ["t1", "t2"], "iterations": 2},
    "dictionary": {"algorithm": "dictionary_map", "kappa": 0.3, "atoms": 16, "stride": 2, "iterations": 2},
}
# fmt: on


def test_every_algorithm_is_there():
    # they have a file of their own
    networks = {"trained_network", "cnn_penalty", "network_input", "diprecon", "end_to_end_dip"}
    assert {method["algorithm"] for method in EVERY_ALGORITHM.values()} == set(methods.ALGORITHMS) - networks


@pytest.mark.parametrize("stored", [True, False])
def test_results_do_not_depend_on_threads(monkeypatch, stored):
    chosen = EVERY_ALGORITHM if stored else {"MLEM": EVERY_ALGORITHM["MLEM"]}
    study = SMALL | {"realisations": 1, "images": "all", "stored_matrix": stored, "methods": chosen}
    results = {}
    for threads in (1, 2, 3):
        monkeypatch.setenv("PETTUTOR_THREADS", str(threads))
        monkeypatch.setattr("pettutor.study.scenario._latest", (None, None))
        results[threads] = run_tasks(study)
    for one, *others in zip(*results.values(), strict=True):
        assert one.error is None
        for other in others:
            assert other.rows == one.rows and np.array_equal(other.images, one.images)
            assert np.array_equal(other.background, one.background)


def test_realisations_share_all_but_the_noise():
    study = SMALL | {"lesions": ["standard", "pet_only"], "methods": {"M": SMALL["methods"]["MAP"]}}
    from pettutor.study.scenario import scenario_of

    cells = cells_of(read(study)[0])
    one, other = (scenario_of(cell.scenario) for cell in (cells[0], cells[-1]))
    assert one is not other and [a.centre for a in one.truth.lesions] == [b.centre for b in other.truth.lesions]
    assert np.array_equal(one.truth.pet, other.truth.pet) and not np.array_equal(one.truth.t1, other.truth.t1)
    assert np.array_equal(one.simulation.trues, other.simulation.trues)
    y = [s.counts(r) for s in (one, other) for r in (0, 1)]
    assert all(not np.array_equal(y[i], y[j]) for i in range(4) for j in range(i))
    assert np.array_equal(y[0], one.counts(0))


def test_a_lesion_that_only_mr_shows_has_no_contrast_to_recover():
    study = SMALL | {"lesions": "mr_only", "realisations": 1, "methods": {"M": {"algorithm": "mlem", "iterations": 1}}}
    (result,) = run_tasks(study)
    assert "bias_lesion_1" in result.rows[0] and "crc_lesion_1" not in result.rows[0]
    assert "crc_grey_matter" in result.rows[0]


def test_an_error_is_a_result():
    lesion = {"name": "outside", "lesions": [{"diameter": 5, "centre": [0, 500, 0]}]}
    (result,) = run_tasks(
        SMALL | {"lesions": lesion, "realisations": 1, "methods": {"M": {"algorithm": "mlem", "iterations": 1}}}
    )
    assert result.error.startswith("ValueError: lesion of 5 mm at (0.0, 500.0, 0.0): expected a sphere")
    assert "place_lesions" in result.account["traceback"] and result.rows == []


@pytest.mark.parametrize("at", [1, 3])
def test_half_a_reconstruction_is_no_result(monkeypatch, at):
    """Algorithms turn Ctrl-C into the last finished image; a cell must not take it for its result."""
    from pettutor.study import columns

    seen = []

    def measure(image, counts, scenario):
        seen.append(0)
        if len(seen) == at:
            raise KeyboardInterrupt
        return measured(image, counts, scenario)

    measured = columns.measure
    monkeypatch.setattr(columns, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run_tasks(SMALL)


# ---- tables ----


def test_the_table(finished):
    table = finished.table
    assert len(table) == 2 * (2 * 2 + 2)
    names = ["study", "subject", "lesions", "counts", "realisation", "method", "algorithm", "setting", "kappa"]
    assert list(table)[:11] == [*names, "iteration", "fwhm"]
    assert table.drop(columns="kappa").notna().all(axis=None) and table.kappa.notna().sum() == 4
    assert not table.duplicated(["method", "setting", "realisation", "iteration", "fwhm"]).any()
    pd.testing.assert_frame_equal(pd.read_parquet(finished.folder / "table.parquet"), table)
    pd.testing.assert_frame_equal(pd.read_parquet(finished.folder / "curves.parquet"), finished.curves())
    schema = pq.read_schema(finished.folder / "table.parquet")
    assert schema.field("fwhm").metadata[b"unit"] == b"mm"
    assert all(schema.field(name).metadata[b"definition"] for name in schema.names)
    definitions = finished.columns.set_index("column").definition
    assert (
        "contrast recovery" in definitions["crc_lesion_1"] and definitions["kappa"] == "setting 'kappa' of the method"
    )


def test_the_cell_table(finished):
    cells = pd.read_parquet(finished.folder / "cells.parquet")
    assert list(cells.key) == [cell.key for cell in finished.cells] and set(cells.state) == {"done"}
    assert (cells.seconds > 0).all() and (cells.process_peak_memory_mb > 10).all() and cells.error.isna().all()
    assert json.loads(cells.task[0])["scenario"]["counts"] == 2e5
    assert json.loads(cells.versions[0])["numpy"] == np.__version__
    story = json.loads((finished.folder / "provenance.json").read_text())
    assert story["seed"] == 0 and story["runs"][0]["cells"] == {"computed": 6, "earlier": 0, "failed": 0, "waiting": 0}


def test_curves_are_means_over_the_realisations(finished):
    """From the kept images, by the definitions."""
    curves = finished.curves().query("method == 'MLEM' and fwhm == 5 and iteration == 3").set_index("region")
    images = np.stack([finished.image("MLEM", fwhm=5, realisation=r) for r in (0, 1)])
    truth = finished.truth()
    white = truth.regions["white matter"]
    assert curves["std"]["grey matter"] == pytest.approx(measures.background_std(images, white), rel=1e-6)
    values = [measures.crc(image, truth.pet, truth.regions["lesion 2"], white) for image in images]
    assert curves.crc["lesion 2"] == pytest.approx(np.mean(values))
    assert curves.crc_error["lesion 2"] == pytest.approx(abs(values[0] - values[1]) / 2)
    bias = np.mean([measures.bias(image, truth.pet, mask=truth.regions["lesion 2"]) for image in images])
    assert curves.bias["lesion 2"] == pytest.approx(bias)
    errors = [measures.nrmse(image, truth.pet, normaliser="rms", mask=truth.regions["head"]) for image in images]
    assert curves.nrmse["grey matter"] == pytest.approx(np.mean(errors))
    assert (curves.realisations == 2).all() and len(curves) == 5


def test_curves_of_all_settings_fit_the_measures(finished):
    curves = finished.curves()
    assert len(curves) == 5 * (2 * 2 + 2)
    assert list(curves.query("method == 'MAP' and region == 'grey matter'").kappa) == [0.1, 0.5]
    assert curves.drop(columns="kappa").notna().all(axis=None)
    rows = finished.region_rows().query("region == 'grey matter'")
    paths = [rows.query("method == 'MLEM' and fwhm == @w") for w in (0, 5)]
    level = float(paths[1]["std"].mean())
    assert measures.compare_at_equal_noise(*paths, level).realisations[0] == 2


def test_one_realisation_has_no_noise(tmp_path):
    study = pt.Study(
        SMALL | {"realisations": 1, "methods": {"M": {"algorithm": "mlem", "iterations": 1}}}, out=tmp_path
    )
    study.run(workers=0, progress=False)
    assert study.curves()[["std", "crc_error"]].isna().all(axis=None) and study.curves().crc.notna().all()


def test_images(finished):
    import zarr

    assert finished.image("MAP", kappa=0.5).shape == (1, 128, 128)
    assert not np.array_equal(finished.image("MLEM", fwhm=0), finished.image("MLEM", fwhm=5))
    group = zarr.open_group(finished.folder / "images.zarr", mode="r")
    assert set(group) == {cell.key for cell in finished.cells}
    array = group[finished.cells[0].key]
    assert array.attrs["of"] == [{"iteration": 3, "fwhm": 0.0}, {"iteration": 3, "fwhm": 5.0}]
    assert array.attrs["task"] == finished.cells[0].task and array.attrs["versions"]["pettutor"] == pt.__version__
    with pytest.raises(
        KeyError, match=r"expected one of the kept images .iteration 3 at 0 mm, iteration 3 at 5 mm., got"
    ):
        finished.image("MLEM", iteration=1)
    with pytest.raises(KeyError, match=r"no cell with .*there are .*'MLEM', 'MAP'"):
        finished.image("OSEM")


@pytest.mark.parametrize(("keep", "expected"), [("none", []), ("last", [2, 3]), ("all", [0, 1, 2, 3])])
def test_which_images_are_kept(keep, expected):
    (result, *_) = run_tasks(SMALL | {"images": keep, "realisations": 1})
    assert result.kept == expected and (0 if result.images is None else len(result.images)) == len(expected)


# ---- the folder ----


def files(study):
    return {path.name: path.stat().st_mtime_ns for path in study.folder.glob("cells/*")}


def copied(study, tmp_path):
    import shutil

    shutil.copytree(study.folder, tmp_path / study.name)
    return pt.Study(SMALL, out=tmp_path)


def test_a_finished_study_is_not_computed_again(finished, tmp_path):
    study = copied(finished, tmp_path)
    before = files(study)
    summary = study.run(workers=0, progress=False)
    assert (summary.computed, summary.earlier) == (0, 6) and files(study) == before
    assert (study.folder / "table.parquet").read_bytes() == (finished.folder / "table.parquet").read_bytes()
    assert len(json.loads((study.folder / "provenance.json").read_text())["runs"]) == 2


def test_what_is_new_is_added_and_what_is_gone_is_left_out(finished, tmp_path):
    copied(finished, tmp_path)
    more = changed("realisations", 3) | {"methods": {"again": SMALL["methods"]["MLEM"]}}
    study = pt.Study(more, out=tmp_path)
    summary = study.run(workers=0, progress=False)
    assert (summary.computed, summary.earlier) == (1, 2)
    assert set(study.table.method) == {"again"} and len(files(study)) == 7
    assert pt.Study.open(tmp_path / "small").configuration == study.configuration
    back = pt.Study(SMALL, out=tmp_path)
    assert back.run(workers=0, progress=False).computed == 0
    pd.testing.assert_frame_equal(back.table, finished.table)


def test_two_names_for_one_method_are_computed_once(tmp_path):
    method = {"algorithm": "mlem", "iterations": 1}
    study = pt.Study(SMALL | {"methods": {"one": method, "other": method}}, out=tmp_path)
    assert study.run(workers=0, progress=False).computed == 2
    one, other = (study.table.query("method == @name").drop(columns="method") for name in ("one", "other"))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_empty(path):
    path.write_bytes(b"")


def damage_bits(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def damage_gone(path):
    path.unlink()


def damage_exchanged(path):
    other = next(p for p in path.parent.glob("*.parquet") if p != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [damage_cut, damage_empty, damage_bits, damage_gone, damage_exchanged])
def test_a_damaged_cell_is_computed_again(finished, tmp_path, damage):
    study = copied(finished, tmp_path)
    before = files(study)
    damaged = study.cells[2].key + ".parquet"
    damage(study.folder / "cells" / damaged)
    (study.folder / "cells" / ".x.parquet.99.tmp").write_bytes(b"half")
    assert study.run(workers=0, progress=False).computed == 1
    after = files(study)
    assert after.keys() == before.keys() and [n for n in after if after[n] != before[n]] == [damaged]
    pd.testing.assert_frame_equal(study.table, finished.table)
    assert np.array_equal(study.image("MAP", kappa=0.1), finished.image("MAP", kappa=0.1))


def test_failed_cells_do_not_stop_the_others_and_are_tried_again(tmp_path, monkeypatch, capsys):
    study = pt.Study(changed("methods.bad", {"algorithm": "osem", "subsets": 1000, "iterations": 1}), out=tmp_path)
    summary = study.run(workers=0, progress=False)
    assert (summary.computed, len(summary.failed), summary.waiting) == (6, 2, 0)
    cells = study.cell_table.query("state == 'failed'")
    assert set(cells.method) == {"bad"} and cells.error.str.contains("expected 0 <= k < n <= 144 views").all()
    assert cells.traceback.str.contains("Traceback").all() and "bad" not in set(study.table.method)
    assert "2 failed" in str(summary) and "2 × mni:0, bad ...: ValueError: subset" in command.failures(summary.failed)
    before = files(study)
    monkeypatch.setattr(methods.OSEM, "run", staticmethod(methods.MLEM.run))  # mended
    again = study.run(workers=0, progress=False)
    assert (again.computed, again.earlier, again.failed) == (2, 6, [])
    assert not list(study.folder.glob("cells/*.failed.json")) and set(study.cell_table.state) == {"done"}
    assert all(files(study)[name] == when for name, when in before.items() if name.endswith(".parquet"))


def test_ctrl_c_stops_and_says_how_to_go_on(tmp_path, monkeypatch):
    from pettutor.study import runner

    def run_cell(task, calls=[]):  # noqa: B006
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return cell_room.run_cell(task)

    monkeypatch.setattr(runner, "run_cell", run_cell)
    study = pt.Study(SMALL, out=tmp_path)
    summary = study.run(workers=0, progress=False)
    assert summary.stopped and (summary.computed, summary.waiting) == (2, 4)
    assert str(summary).endswith("stopped with 4 to go: run it again to go on")
    assert len(study.table) == 8
    assert study.run(workers=0, progress=False).computed == 4


def test_one_run_at_a_time(tmp_path):
    study = pt.Study(SMALL, out=tmp_path)
    study.folder.mkdir()
    code = f"""
import os, pathlib
from pettutor.study.lock import locked
with locked(pathlib.Path({str(study.folder)!r})):
    print(os.getpid(), flush=True)
    input()
    os._exit(9)  # as if killed: nothing is tidied up
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        pid = other.stdout.readline().strip()
        with pytest.raises(RuntimeError, match=f"another run is writing to this folder .process {pid} on "):
            study.run(workers=0, progress=False)
        other.communicate("\n")
    assert json.loads((study.folder / "lock").read_text())["process"] == int(pid)
    with locked(study.folder):
        pass
    assert (study.folder / "lock").read_text() == ""


def test_wrong_folders_and_workers(tmp_path):
    (tmp_path / "small").write_text("")
    with pytest.raises(NotADirectoryError, match="small: expected a folder to write to, got a file"):
        pt.Study(SMALL, out=tmp_path).run(workers=0)
    with pytest.raises(ValueError, match="workers: expected a whole number >= 0, got -1"):
        pt.Study(SMALL, out=tmp_path).run(workers=-1)
    assert "no cell is done" in command.results(pt.Study(SMALL, out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_result_that_cannot_be_written_leaves_no_half(tmp_path, monkeypatch):
    import os

    study = pt.Study(SMALL, out=tmp_path)
    (cell, *_) = study.cells
    store = Store(study.folder)
    store.prepare()
    result = cell_room.run_cell(cell.task)

    def broken(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="No space"):
        store.write(cell, result)
    assert store.read(cell.key) is None and list(store.cells.iterdir()) == []
    monkeypatch.undo()
    store.write(cell, result)  # over the images that are there already
    assert store.read(cell.key) is not None and np.array_equal(store.read_images(cell.key)[0], result.images)
