// The controls over the panels, and the help under them.

import { make } from "./dom.mjs";

const HELP =
  "Wheel, ↑ ↓: slice · Page ↑ ↓: ten · Home, End · ← →: frame · drag: as chosen above · right button: window and level · " +
  "Shift + arrows: crosshair, C: hide it · Ctrl + wheel, + −: zoom, 0: all · R: circle at the crosshair, [ ]: its size, Delete · " +
  "P, twice: profile between two crosshairs · D: difference · numbers under a bar: window, double click: the first one";

export function makeButton(viewer, text, onClick, more = {}) {
  const button = make("button", { type: "button", "aria-pressed": "false", ...more }, text);
  viewer.listen(button, "click", onClick);
  return button;
}

export function makeSlider(viewer, label, count, move) {
  const input = make("input", { type: "range", min: "0", max: String(count - 1), step: "1", "aria-label": label });
  const text = make("span", { class: "ptv-text" });
  viewer.listen(input, "input", () => move(Number(input.value)));
  return { input, text, line: make("div", { class: "ptv-slider" }, input, text) };
}

export const makeGroup = (label, buttons) => make("div", { class: "ptv-planes", role: "group", "aria-label": label }, ...buttons);

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
