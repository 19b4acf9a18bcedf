"""The stored costs of MAPEM-Net's training step, and the program that measures them."""

from pathlib import Path

import numpy as np
import pytest
from registry import small_scanner

import pettutor as pt
from pettutor.course import step_costs, stored
from pettutor.networks.physics import graph_memory


def test_what_the_lesson_shows_is_what_was_measured():
    """The stored table has every case, and the sizes of its data are those of the scanners."""
    table = pt.course.stored_step_costs()
    assert len(table) == len(step_costs.cases()) * len(step_costs.GRAPHS) == 6 and table.attrs["versions"]
    for scanner, settings in step_costs.cases():
        rows = table[table["scanner"] == scanner.name].set_index("graph")
        assert list(rows.index) == [name for _, _, name in step_costs.GRAPHS]
        assert (rows["unrolls"] == settings["unrolls"]).all()
        assert rows["sinogram_mb"].to_numpy() == pytest.approx(4e-6 * np.prod(scanner.sinogram_shape))
        assert rows["image_mb"].to_numpy() == pytest.approx(4e-6 * np.prod(scanner.image_grid().shape))
        inside, outside = rows.loc["sinograms in the graph"], rows.loc["images only"]
        assert inside["peak_mb"] > 2 * outside["peak_mb"]
        assert outside["sinogram_sized"] == rows.loc["images, counts kept outside", "sinogram_sized"] == 0
        assert inside["sinogram_sized"] > 10 * settings["unrolls"]  # five a MAP-EM step, of two steps an unroll
        assert outside["tensors"] < inside["tensors"] and outside["largest_mb"] <= inside["largest_mb"]
        assert rows["seconds"].max() < 1.5 * rows["seconds"].min()


def test_lesson_and_docs_say_what_the_table_says():
    table = pt.course.stored_step_costs().set_index(["scanner", "graph"])
    root = Path(__file__).parents[1]
    lesson = (root / "notebooks/source/12_mapem_net.py").read_text(encoding="utf-8").replace("\n# ", " ")
    docs = (root / "docs/networks.md").read_text(encoding="utf-8").replace("\n", " ")
    (small, small_in), (large, large_in) = (
        table.loc[(name, ["images only", "sinograms in the graph"]), "peak_mb"] for name in ("ten rings", "mini")
    )
    assert (
        f"{small:,.0f} MB against {small_in:,.0f} MB for ten rings, {large:,.0f} against {large_in:,.0f} MB" in lesson
    )
    assert f"the first takes {large / 1e3:.1f} and the second {large_in / 1e3:.1f} GB" in docs
    images, inside = (table.loc[("mini", graph)] for graph in ("images only", "sinograms in the graph"))
    assert f"with images only, {images['tensors']:,} tensors, none of a sinogram's size" in docs
    assert f"the graph {inside['sinogram_sized']} of a sinogram's size ({inside['sinogram_mb']:.1f} MB each)" in docs
    assert f"({images['seconds']:.1f} and {inside['seconds']:.1f} s;" in docs


def test_costs_are_measured_case_by_case(monkeypatch, tmp_path):
    asked = []

    def run_step(kind, scanner, **settings):
        asked.append((kind, scanner.name, settings))
        return graph_memory.StepCost(kind, 2.0, 3_000_000)

    monkeypatch.setattr(graph_memory, "run_step", run_step)
    monkeypatch.setattr(step_costs, "cases", lambda: [(small_scanner(), {"filters": (2, 2), "unrolls": 1})])
    for module in (step_costs, stored):
        monkeypatch.setattr(module, "STEP_COSTS", tmp_path / "costs.json")
    step_costs.main()
    assert [(kind, settings["keep_bytes"]) for kind, _, settings in asked] == [g[:2] for g in step_costs.GRAPHS]
    table = pt.course.stored_step_costs()
    none, _, many = table["sinogram_sized"]
    assert none == 0 < many and table["largest_mb"].to_numpy() == pytest.approx(
        [4e-6 * np.prod(shape) for shape in table["largest_shape"]]
    )
    assert (table["peak_mb"] == 3.0).all() and (table["seconds"] == 2.0).all() and (table["filters"] == "2 2").all()
