// What mouse and keys do in a picture.

import { isPageScroll } from "./dom.mjs";
import { handleOf, PLANES } from "./geometry.mjs";

export const TOOLS = { cursor: "crosshair", window: "window and level", ROI: "circle", profile: "line" };
export const ZOOM_STEP = 1.25;
const SMALLEST = 3; // pixels of the screen that a circle or a line has to be dragged, else it was a click
const REACH = 8; // pixels of the screen about a circle's handle in which it is grasped

/** Each tool begins a drag at (event, places) and gives back what it does on every move and at the end. */
const drags = {
  cursor: (viewer, at) => {
    viewer.setPosition(at().voxel);
    return { move: () => viewer.setPosition(at().voxel), end: () => viewer.hooks.chosen?.() };
  },
  window: (viewer, at, panel) => {
    const [low, high] = panel.scale.window;
    return {
      move: (right, down) => {
        // as in radiology: to the right is wider, upwards is a higher level
        const half = ((high - low) / 2) * 2 ** (right / 150);
        const level = panel.subtracted ? 0 : (low + high) / 2 + ((high - low) * -down) / 300;
        panel.setWindow([level - half, level + half]);
        viewer.windowChanged(panel);
      },
    };
  },
  ROI: (viewer, at, panel, plane) => {
    const { point: start } = at();
    const before = viewer.state.rois;
    const { number, resize } = circleAt(viewer, panel, plane, at());
    const smallest = Math.min(...panel.grid.voxelSize) / 2;
    const changed = (now) => {
      if (number < 0) return [...before, { plane, centre: start, radius: Math.max(distance(plane, now, start), smallest) }];
      const { centre, radius } = before[number];
      const wider = radius + distance(plane, now, centre) - distance(plane, start, centre);
      const change = resize ? { radius: Math.max(wider, smallest) } : { centre: centre.map((c, k) => c + now[k] - start[k]) };
      return before.with(number, { ...before[number], ...change });
    };
    return {
      move: () => viewer.setRois(changed(at().point)),
      end: (far) => viewer.changeRois(far ? viewer.state.rois : before),
    };
  },
  profile: (viewer, at) => {
    const start = at().point;
    const before = viewer.state.line;
    return { move: () => viewer.setLine([start, at().point]), end: (far) => viewer.changeLine(far ? viewer.state.line : before) };
  },
};

function distance(plane, a, b) {
  const { row, column } = PLANES[plane];
  return Math.hypot(a[row] - b[row], a[column] - b[column]);
}

/** The circle that is grasped at a place: its number, or -1; by its handle (resize), or within it. */
function circleAt(viewer, panel, plane, { point, reach }) {
  const last = (near) => viewer.state.rois.findLastIndex((roi) => roi.plane === plane && sameSlice(panel.grid, plane, roi.centre, point) && near(roi));
  const handle = last((roi) => distance(plane, handleOf(roi), point) <= reach);
  const resize = handle >= 0;
  return { number: resize ? handle : last(({ centre, radius }) => distance(plane, centre, point) <= radius), resize };
}

function sameSlice(grid, plane, a, b) {
  const { slice } = PLANES[plane];
  return grid.index(slice, a[slice]) === grid.index(slice, b[slice]);
}

export function listenToView(viewer, panel, view) {
  const { element, plane } = view;
  const axis = PLANES[plane].slice;
  const place = (event) => {
    const frame = view.stage.getBoundingClientRect(); // magnified, where it is
    const parts = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    const { position } = viewer.state;
    const reach = (REACH * panel.grid.extent(plane)[0]) / frame.width;
    return { voxel: panel.grid.pick(plane, ...parts, position), point: panel.grid.point(plane, ...parts, position), reach };
  };
  const pointerOver = (event) => {
    const { number, resize } = viewer.tool === "ROI" ? circleAt(viewer, panel, plane, place(event)) : { number: -1 };
    return number < 0 ? "" : resize ? "ew-resize" : "move";
  };
  let drag = null;
  let latest = null;
  viewer.listen(element, "pointerdown", (event) => {
    if (event.button !== 0 && event.button !== 2) return;
    element.setPointerCapture(event.pointerId);
    latest = event;
    const tool = event.button === 2 ? "window" : viewer.tool;
    drag = { from: event, far: false, ...drags[tool](viewer, () => place(latest), panel, plane) };
  });
  viewer.listen(element, "pointermove", (event) => {
    latest = event;
    viewer.setHover(place(event).voxel);
    if (!drag) element.style.cursor = pointerOver(event);
    if (!drag || !element.hasPointerCapture(event.pointerId)) return;
    const [right, down] = [event.clientX - drag.from.clientX, event.clientY - drag.from.clientY];
    drag.far ||= Math.hypot(right, down) >= SMALLEST;
    drag.move(right, down);
  });
  const finish = () => {
    drag?.end?.(drag.far);
    drag = null;
  };
  viewer.listen(element, "pointerup", finish);
  viewer.listen(element, "pointercancel", finish);
  viewer.listen(element, "pointerleave", () => viewer.setHover(null));
  viewer.listen(element, "contextmenu", (event) => {
    event.preventDefault(); // the right button drags the window
    event.stopPropagation();
  });
  let travel = 0;
  const onWheel = (event) => {
    if (event.deltaY === 0 || isPageScroll(event)) return;
    if (event.ctrlKey) {
      event.preventDefault();
      viewer.zoomBy(event.deltaY > 0 ? 1 / ZOOM_STEP : ZOOM_STEP, place(event).voxel);
      return;
    }
    if (viewer.grid.shape[axis] < 2) return;
    event.preventDefault();
    travel = Math.sign(travel) === Math.sign(event.deltaY) ? travel + event.deltaY : event.deltaY;
    // a notch of a wheel is one slice; the small steps of a touch pad add up
    if (event.deltaMode === 0 && Math.abs(travel) < 40) return;
    travel = 0;
    viewer.step(axis, event.deltaY > 0 ? -1 : 1);
    if (viewer.hover) viewer.setHover(place(event).voxel);
  };
  viewer.listen(element, "wheel", onWheel, { passive: false });
  viewer.listen(element, "keydown", (event) => onKey(viewer, event, plane, panel));
}

function onKey(viewer, event, plane, panel) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { slice, row, column, upwards } = PLANES[plane];
  const down = upwards ? -1 : 1;
  const last = viewer.grid.shape[slice] - 1;
  const sideways = (by) => (viewer.frames > 1 ? () => viewer.setFrame(viewer.state.frame + by) : () => viewer.step(slice, by));
  const { rois, line, position } = viewer.state;
  const resize = (factor) => () => rois.length && viewer.changeRois(rois.with(-1, { ...rois.at(-1), radius: rois.at(-1).radius * factor }));
  const moves = event.shiftKey && event.key.startsWith("Arrow")
    ? {
        ArrowUp: () => viewer.step(row, -down),
        ArrowDown: () => viewer.step(row, down),
        ArrowLeft: () => viewer.step(column, -1),
        ArrowRight: () => viewer.step(column, 1),
      }
    : {
        ArrowUp: () => viewer.step(slice, 1),
        ArrowDown: () => viewer.step(slice, -1),
        ArrowLeft: sideways(-1),
        ArrowRight: sideways(1),
        PageUp: () => viewer.step(slice, 10),
        PageDown: () => viewer.step(slice, -10),
        Home: () => viewer.setIndex(slice, 0),
        End: () => viewer.setIndex(slice, last),
        "+": () => viewer.zoomBy(ZOOM_STEP),
        "-": () => viewer.zoomBy(1 / ZOOM_STEP),
        0: () => viewer.zoomBy(0),
        c: () => viewer.toggleCrosshair(),
        d: () => viewer.canSubtract && viewer.setDifference(!viewer.state.difference),
        r: () => viewer.changeRois([...rois, { plane, centre: [...position], radius: panel.grid.extent(plane)[0] / 16 }]),
        "]": resize(1.1),
        "[": resize(1 / 1.1),
        Delete: () => viewer.changeRois(rois.slice(0, -1)),
        // once: the line begins at the crosshair; again: it ends there
        p: () => viewer.changeLine(viewer.lineStart ? [viewer.lineStart, [...position]] : line, viewer.lineStart ? null : [...position]),
      };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  event.stopPropagation();
  viewer.hover = null;
  move();
}
