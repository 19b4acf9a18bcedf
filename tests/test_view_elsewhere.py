"""The viewer outside of JupyterLab: in Notebook 7, and mounted as VS Code, Colab and marimo mount widgets."""

import base64
import json

import numpy as np
import pytest
from browser_pages import (
    VOLUME,
    X,
    Y,
    coloured,
    contrast,
    hover,
    keep,
    opened_notebook,
    output_of,
    picture,
    run_cell,
    settle,
    watched_page,
)

from pettutor.view import volshow

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SHOW = f"""import json, numpy as np
from pettutor.view import volshow
vol = (np.indices({VOLUME.shape}) * np.array([31, 5, 2])[:, None, None, None]).sum(0).astype(np.uint8)
viewer = volshow(vol, vmins=0, vmaxs=252)
viewer"""


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium


def test_in_notebook_7(browser, lab):
    cells = [SHOW, "print(json.dumps([viewer.roi.plane, *viewer.roi.centre, viewer.roi.radius]))"]
    with opened_notebook(browser, lab, cells, view="notebooks") as (page, faults, _):
        run_cell(page, 0)
        view = page.locator(".ptv-view")
        view.locator("canvas").wait_for(timeout=30_000)
        view.press("ArrowUp")
        settle(page)
        np.testing.assert_array_equal(picture(page), coloured(VOLUME[4], "magma", 0, 252))
        page.get_by_role("button", name="ROI").click()
        view.scroll_into_view_if_needed()
        hover(page, 3, 5, (Y, X))
        page.mouse.down()
        hover(page, 3, 8, (Y, X))
        page.mouse.up()
        run_cell(page, 1)
        plane, *numbers = json.loads(output_of(page, 1))
        assert plane == "axial"
        np.testing.assert_allclose(numbers, [1, -1, -0.5, 3], atol=0.1)  # voxels from the middle one
        keep(page, "notebook_7")
        # Notebook 7 stumbles over settings and commands of its own, with an empty notebook as well
        its_own = ("reading 'schema'", "Command 'filebrowser:open-path' not registered")
        assert [fault for fault in faults if not any(words in fault for words in its_own)] == []


# --- where anywidget's module is mounted by others -------------------------------------------------------------------

# what these programs put around a widget, as far as it concerns one
VS_CODE = """<style>
:root {{ --vscode-editor-foreground: {text}; --vscode-editor-background: {ground}; --vscode-focusBorder: #007fd4;
  --jp-ui-font-color1: rgba(0, 0, 0, .87); --jp-content-font-color1: rgba(0, 0, 0, .87); --jp-brand-color1: #2196f3; }}
body {{ background: {ground}; color: {text}; }}
.cell-output-ipywidget-background {{ background: white !important; }}
</style><body class="vscode-{name}"><div class="cell-output-ipywidget-background" id="host"></div>"""
COLAB = """<style>
:root { --colab-primary-text-color: #e3e3e3; --jp-ui-font-color1: var(--colab-primary-text-color); }
body { background: #383838; color: var(--colab-primary-text-color); }
</style><body><div id="output-area"><div id="host"></div></div>"""
HOSTS = {
    "VS Code, dark": VS_CODE.format(name="dark", text="#cccccc", ground="#1f1f1f"),
    "VS Code, light": VS_CODE.format(name="light", text="#3b3b3b", ground="#ffffff"),
    "Colab, dark": COLAB,
    "marimo": '<body><div id="host" data-shadow style="display: flex"></div>',
}
# the model that a widget is given, and no more of it than anywidget promises
MOUNT = """async ({ state, volumes }) => {
    const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    const heard = {};
    const values = { ...state, _volumes: volumes.map(bytes) };
    const model = {
        get: (name) => values[name],
        set: (name, value) => { values[name] = value; for (const hear of heard[`change:${name}`] ?? []) hear(); },
        save_changes: () => { window.saved = (window.saved ?? 0) + 1; },
        on: (name, hear) => { (heard[name] ??= []).push(hear); },
        off: (name, hear) => { heard[name] = heard[name].filter((other) => other !== hear); },
        send: () => {},
    };
    const host = document.querySelector("#host");
    const root = "shadow" in host.dataset ? host.attachShadow({ mode: "open" }) : host;
    const style = document.createElement("style");
    style.textContent = state._css;
    const el = document.createElement("div");
    root.append(style, el);
    const address = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
    const { default: widget } = await import(address);
    await widget.initialize?.({ model });
    window.dispose = await widget.render({ model, el });
    window.model = model;
}"""


@pytest.mark.parametrize("host", HOSTS)
def test_mounted_as_others_mount_widgets(browser, tmp_path, host):
    viewer = volshow(VOLUME, vmins=0, vmaxs=252)
    state = viewer.get_state()
    volumes = [base64.b64encode(v).decode() for v in state.pop("_volumes")]
    state = {name: state[name] for name in ("_esm", "_css", "_code", "_settings", *viewer.keys) if name in state}
    state = json.loads(json.dumps(state, default=lambda other: None))  # the layout is a widget of its own
    (tmp_path / "cell.html").write_text(f'<!doctype html><base href="https://elsewhere.invalid/">{HOSTS[host]}')
    # no allow-same-origin: stricter than any of them
    (tmp_path / "page.html").write_text(
        '<iframe sandbox="allow-scripts" src="cell.html" width=900 height=150></iframe>'
    )
    with watched_page(browser, (tmp_path.as_uri(),), offline=True) as (page, faults):
        page.goto((tmp_path / "page.html").as_uri())
        cell = page.frames[1]
        cell.evaluate(MOUNT, {"state": state, "volumes": volumes})
        view = cell.locator(".ptv-view")

        def shows(values):
            settle(cell)
            data = view.locator("canvas").evaluate(
                "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            )
            np.testing.assert_array_equal(np.reshape(data, (Y, X, 4)), coloured(values, "magma", 0, 252))

        def size():
            return view.evaluate("(e) => [e.clientWidth, e.closest('.ptv').clientHeight]")

        shows(VOLUME[3])
        width, height = size()
        assert width > 300
        page.locator("iframe").evaluate("(e) => e.setAttribute('height', 800)")
        settle(page)
        assert size() == [width, height]  # which Colab makes the frame as high as
        assert not cell.locator(".ptv").evaluate(
            "(root) => [...root.querySelectorAll('*')].some((e) => getComputedStyle(e).position === 'fixed')"
        )
        view.press("ArrowUp")
        shows(VOLUME[4])
        box = view.bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.wheel(0, -100)
        shows(VOLUME[5])
        cell.get_by_role("button", name="ROI").click()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.up()
        (roi,) = cell.evaluate("window.model.get('_rois')")
        assert roi["plane"] == "axial" and roi["radius"] == pytest.approx(X / 4, abs=0.1)
        assert cell.evaluate("window.saved") == 1
        cell.evaluate("window.model.set('plane', 'sagittal')")
        assert cell.locator("[data-plane=sagittal]").is_visible()
        keep(page, host.replace(", ", "_").replace(" ", "_"))
        if host != "marimo":  # whose shadow root the words would have to be looked for in
            assert contrast(cell) >= 4.5
        cell.evaluate("window.dispose()")
        assert cell.locator(".ptv").count() == 0
        assert faults == []
