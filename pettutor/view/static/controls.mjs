// The controls over the panels, and the help under them.

import { make } from "./dom.mjs";
import { AXES, PLANES } from "./geometry.mjs";
import { TOOLS } from "./tools.mjs";

const HELP =
  "Wheel, ↑ ↓: slice · Page ↑ ↓: ten · Home, End · ← →: frame · drag: as chosen above · right button: window and level · " +
  "Shift + arrows: crosshair, C: hide it · Ctrl + wheel, + −: zoom, 0: all · R: circle at the crosshair, [ ]: its size, Delete · " +
  "P, twice: profile between two crosshairs · D: difference · numbers under a bar: window, double click: the first one";

export const press = (button, on) => button.setAttribute("aria-pressed", String(on));

function makeButton(viewer, text, onClick, more = {}) {
  const button = make("button", { type: "button", "aria-pressed": "false", ...more }, text);
  viewer.listen(button, "click", onClick);
  return button;
}

function makeSlider(viewer, label, count, move) {
  const input = make("input", { type: "range", min: "0", max: String(count - 1), step: "1", "aria-label": label });
  const text = make("span", { class: "ptv-text" });
  viewer.listen(input, "input", () => move(Number(input.value)));
  return { input, text, line: make("div", { class: "ptv-slider" }, input, text) };
}

const makeGroup = (label, buttons) => make("div", { class: "ptv-planes", role: "group", "aria-label": label }, ...buttons);

/** The row over the panels, and what of it the viewer changes later. */
export function makeControls(viewer) {
  const { panels, settings } = viewer;
  const planeButtons = [...Object.keys(PLANES), "all"].map((name) => [
    name,
    makeButton(viewer, name === "all" ? "all three" : viewer.planeName(name), () => viewer.setPlane(name)),
  ]);
  const toolButtons = Object.entries(TOOLS).map(([name, title]) => [
    name,
    makeButton(viewer, name, () => viewer.setTool(name), { title: `dragging: ${title}` }),
  ]);
  const sliders = AXES.map((_, axis) =>
    makeSlider(viewer, `slice along ${viewer.axes[axis]}`, viewer.grid.shape[axis], (index) => viewer.setIndex(axis, index)),
  );
  const frameSlider = makeSlider(viewer, "frame", viewer.frames, (frame) => viewer.setFrame(frame));
  frameSlider.line.hidden = viewer.frames < 2;
  const play = { class: "ptv-play", "aria-label": "play the frames" };
  const playButton = makeButton(viewer, "▶", () => (viewer.timer ? viewer.stop() : viewer.play()), play);
  frameSlider.line.prepend(playButton);
  const opacity = makeSlider(viewer, "opacity of the overlay", 101, (percent) => viewer.setOpacity(percent / 100));
  opacity.line.hidden = !panels.some((panel) => panel.overlay);
  const to = viewer.canSubtract ? { title: `to ${panels[settings.reference].name}` } : { hidden: true };
  const differenceButton = makeButton(viewer, "difference", () => viewer.setDifference(!viewer.state.difference), to);
  const sharedButton = makeButton(viewer, "one window", () => viewer.setShared(!viewer.shared));
  const buttons = (named) => named.map(([, button]) => button);
  const controls = make(
    "div",
    { class: "ptv-controls" },
    viewer.flat ? null : makeGroup("plane", buttons(planeButtons)),
    makeGroup("mouse", buttons(toolButtons)),
    panels.length > 1 ? makeGroup("panels", [differenceButton, sharedButton]) : null,
    make("div", { class: "ptv-sliders" }, ...[...sliders, frameSlider, opacity].map(({ line }) => line)),
  );
  return { controls, planeButtons, toolButtons, sliders, frameSlider, playButton, opacity, differenceButton, sharedButton };
}

/** Where the cursor is, and the help that opens. */
export function makeFooter(viewer, where) {
  const help = make("p", { class: "ptv-help", hidden: true }, HELP);
  const more = { class: "ptv-quiet", "aria-label": "keys and mouse", "aria-pressed": null, "aria-expanded": "false" };
  const toggle = () => {
    help.hidden = !help.hidden;
    button.setAttribute("aria-expanded", String(!help.hidden));
  };
  const button = makeButton(viewer, "?", toggle, more);
  return [make("footer", {}, where, button), help];
}
