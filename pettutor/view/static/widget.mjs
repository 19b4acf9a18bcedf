// The way into a notebook: an anywidget module. Scrolling sends nothing back to the kernel; a finished circle or line, or a click on a line of response, does.

import { make } from "./dom.mjs";
import { openViewer } from "./explorer.mjs";
import { showError } from "./viewer.mjs";
import { inflate } from "./volume.mjs";

const unpacked = new WeakMap(); // a model shown twice is unpacked once; one shown no more is let go
const toBytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** Take the frames that come while a reconstruction runs: now and then the newest, all when it has ended. */
function followGrowth(viewer, model) {
  const { volume } = viewer.panels.at(-1);
  volume.labels ??= viewer.settings.labels ?? []; // a volume that another view has filled knows more
  let queue = Promise.resolve(); // unpacking is not done at once, and frames have to stay in order
  let missed = false;
  const enqueue = (task) => {
    queue = queue.then(task).catch((error) => showError(viewer.element, error));
  };
  const take = async ({ first, frames, window }, data) => {
    const bytes = await Promise.all(data.map((part) => inflate(toBytes(part))));
    missed = first > volume.labels.length || (missed && first > 0);
    const begin = Math.min(first, volume.labels.length);
    frames.forEach(({ part }, i) => volume.put(begin + i, part, bytes[i]));
    volume.labels = [...volume.labels.slice(0, begin), ...frames.map(({ label }) => label)];
    viewer.grown(volume.labels, window);
  };
  const ask = () => (missed || volume.labels.length !== model.get("_grown")) && model.send({ kind: "frames wanted" });
  const check = () => enqueue(ask);
  check();
  return [["change:_grown", check], ["msg:custom", (message, data) => message.kind === "frames" && enqueue(() => take(message, data))]];
}

// what Python sets, and what the viewer does then
const FOLLOWED = {
  plane: "setPlane",
  position: "setPosition",
  frame: "setFrame",
  difference: "setDifference",
  opacity: "setOpacity",
  shared_window: "setShared",
  _rois: "setRois",
  _line: "setLine",
};

async function render({ model, el }) {
  el.classList.add("pettutor-viewer");
  const waiting = make("p", { class: "ptv-waiting" }, "unpacking …");
  el.append(waiting);
  try {
    const settings = { ...model.get("_settings"), rois: [], line: [] };
    if (!unpacked.has(model)) unpacked.set(model, { views: 0 });
    const shared = unpacked.get(model);
    shared.views += 1;
    const viewer = await openViewer(el, settings, model.get("_volumes").map(toBytes), shared);
    el.pettutorViewer = viewer;
    const handlers = Object.entries(FOLLOWED).map(([name, method]) => [`change:${name}`, () => viewer[method](model.get(name))]);
    if (viewer.beside) handlers.push(["change:lor", () => viewer.beside.setIndices(model.get("lor"))]);
    for (const [, handler] of handlers) handler(); // it may have changed since the volumes were sent
    if (settings.panels.at(-1).live) handlers.push(...followGrowth(viewer, model));
    const guarded = handlers.map(([name, handler]) => [name, viewer.guard(handler)]);
    for (const [name, handler] of guarded) model.on(name, handler);
    const tell = (name, value) => {
      model.set(name, value);
      model.save_changes();
    };
    for (const name of ["_rois", "_line"]) viewer.hooks[name] = (value) => tell(name, value);
    const { beside } = viewer;
    if (beside) viewer.hooks.chosen = beside.hooks.chosen = () => tell("lor", beside.grid.voxel(beside.state.position));
    return () => {
      for (const [name, handler] of guarded) model.off(name, handler);
      viewer.destroy();
      shared.views -= 1;
      if (!shared.views) unpacked.delete(model);
      delete el.pettutorViewer;
    };
  } catch (error) {
    showError(el, error);
  } finally {
    waiting.remove();
  }
}

export default { render };
