// Small help with elements.

const KEEP_KEYS = "data-lm-suppress-shortcuts";
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function make(tag, attributes = {}, ...children) {
  const node = fill(document.createElement(tag), attributes, children);
  // JupyterLab looks for this on the very element that has the focus: without it the keys would go to the notebook too
  if (tag === "button" || tag === "input" || "tabindex" in attributes) node.setAttribute(KEEP_KEYS, "true");
  return node;
}

export const makeSvg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** A list of colours and what they stand for. */
export const makeLegend = (entries, attributes = {}) =>
  make(
    "ul",
    { class: "ptv-legend", ...attributes },
    ...entries.map(([colour, name]) => make("li", {}, make("i", { style: `background:${colour}` }), name)),
  );

let lastPassedWheel = -Infinity;

/** True when a wheel event belongs to a page scroll that began elsewhere, which a picture must not catch midway. */
export function isPageScroll(event) {
  const passing = event.timeStamp - lastPassedWheel < 180;
  if (passing) lastPassedWheel = event.timeStamp;
  return passing;
}

/** Watch for page scrolls that begin outside the pictures. */
export function watchPageScroll(signal) {
  document.addEventListener(
    "wheel",
    (event) => {
      // the path, as seen from outside of a shadow root the target is its host
      if (!event.composedPath().some((node) => node.classList?.contains("ptv-view"))) lastPassedWheel = event.timeStamp;
    },
    { capture: true, passive: true, signal },
  );
}
