"""Image and sinogram linked by the lines of response, in Python and (by node) in JavaScript."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browser_pages import SMALL_SCANNER

import pettutor as pt
from pettutor.view import LineExplorer, explore_lines
from pettutor.view.explorer import _lines

EXPLORER = Path(__file__).parents[1] / "pettutor" / "view" / "static" / "explorer.mjs"
SCANNER = pt.Scanner(**SMALL_SCANNER)


def asked(script, values):
    """What JavaScript makes of ``values`` with the explorer's lines."""
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI"):
            pytest.fail("node is not installed, and CI must run the JavaScript units")
        pytest.skip("node is not installed")
    code = f"""
        const {{ Lines }} = await import({json.dumps(EXPLORER.as_uri())});
        const {{ settings, values }} = JSON.parse(await new Response(process.stdin).text());
        const lines = new Lines(settings);
        console.log(JSON.stringify(values.map((value) => {script})));
    """
    done = subprocess.run(
        [node, "--input-type=module", "-e", code], input=json.dumps({"settings": _lines(SCANNER), "values": values}),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_browsers_lines_are_the_scanners():
    shape = SCANNER.sinogram_shape
    bins = np.random.default_rng(0).integers(0, shape, (40, 3)).tolist()
    start, end = SCANNER.lor_endpoints()
    for (plane, view, b), found in zip(bins, asked("lines.ends(value)", bins), strict=True):
        np.testing.assert_allclose(found, [start[plane, view, b], end[plane, view, b]], atol=1e-9)


def test_the_trace_of_a_voxel_is_where_the_projector_sees_it():
    grid = SCANNER.image_grid()
    X = pt.Projector(SCANNER, grid, model="distance_driven", device="cpu")
    planes, live = SCANNER.plane_positions, SCANNER.live_bins
    cases = []
    for voxel in [(4, 6, 6), (2, 3, 8), (7, 9, 2)]:
        place = [float(axis[k]) for axis, k in zip(grid.coordinates(), voxel, strict=True)]
        direct = int(np.abs(np.where(planes[:, 1] == 0, planes[:, 0] - place[0], np.inf)).argmin())
        cases.append((voxel, place, direct))
    found = asked("[lines.directPlane(value[0][0]), lines.trace(...value)]", [[p, d] for _, p, d in cases])
    for (voxel, _, direct), (chosen, trace) in zip(cases, found, strict=True):
        assert chosen == direct
        hot = np.zeros(grid.shape, np.float32)
        hot[voxel] = 1
        seen = X(hot)[direct]
        views, bins = np.array(trace).T
        assert len(set(views)) == len(views) >= 0.5 * SCANNER.views and live[views, bins].all()
        assert (seen[views, bins] > 0.5 * seen.max(axis=1)[views]).all()


def test_an_oblique_plane_sees_a_voxel_only_where_its_lines_pass_its_height():
    steep = SCANNER.segments[-1]
    plane = steep.planes.start + steep.size // 2
    place = [0.0, 20.0, -5.0]
    (trace,) = asked("lines.trace(...value)", [[place, plane]])
    start, end = SCANNER.lor_endpoints()
    views, bins = np.array(trace, int).reshape(-1, 2).T
    a, b = start[plane, views, bins], end[plane, views, bins]
    part = ((place[1:] - a[:, 1:]) * (b - a)[:, 1:]).sum(1) / ((b - a)[:, 1:] ** 2).sum(1)
    height = a[:, 0] + part * (b - a)[:, 0]
    assert len(views) and (np.abs(height - place[0]) <= SCANNER.ring_pitch / 2).all()
    (everywhere,) = asked(
        "lines.trace(...value)", [[place, int(np.flatnonzero(SCANNER.plane_positions[:, 1] == 0)[4])]]
    )
    assert len(views) < len(everywhere)


def test_explorer_in_python(tmp_path):
    rng = np.random.default_rng(1)
    image = rng.random(SCANNER.image_shape).astype(np.float32)
    sinogram = rng.random(SCANNER.sinogram_shape).astype(np.float32)
    explorer = explore_lines(image, sinogram, SCANNER, lor=(3, 7, 11), title="activity")
    assert isinstance(explorer, LineExplorer) and explorer.lor == (3, 7, 11)
    settings, volumes = explorer.payload()
    right = settings["explorer"]["sinogram"]
    assert len(volumes) == 2 and right["panels"][0]["volume"]["parts"][0]["bytes"] == 1
    assert right["position"] == [o + k for o, k in zip(right["panels"][0]["grid"]["origin"], (3, 7, 11), strict=True)]
    explorer.lor = (0, 1, 2)
    first, last = (ax for ax in explorer.to_figure().axes if ax.images)
    start, end = (e[0, 0, 0] for e in SCANNER.lor_endpoints(slice(0, 1), slice(1, 2), slice(2, 3)))
    np.testing.assert_allclose(first.lines[0].get_xydata(), [start[:0:-1], end[:0:-1]])
    np.testing.assert_allclose(last.images[0].get_array(), sinogram[0])
    assert explorer.describe() == "LineExplorer of activity and a sinogram 19 × 20 × 22 (plane, view, bin)"
    explorer.save_html(tmp_path / "lines.html")
    explorer.save_png(tmp_path / "lines.png")
    assert (tmp_path / "lines.png").read_bytes().startswith(b"\x89PNG")
    planes = SCANNER.plane_positions[explore_lines(image, sinogram, SCANNER).lor[0]]
    assert planes[1] == 0 and abs(planes[0]) <= SCANNER.ring_pitch / 2
    with pytest.raises(ValueError, match=r"sinogram: expected shape .* of the scanner, got \(18,"):
        explore_lines(image, sinogram[1:], SCANNER)
    with pytest.raises(ValueError, match=r"lor: expected \(plane, view, bin\) within .*, got \(0, 20, 0\)"):
        explore_lines(image, sinogram, SCANNER, lor=(0, 20, 0))
    with pytest.raises(ValueError, match="lor: expected"):
        explorer.lor = (0, 0, 99)
