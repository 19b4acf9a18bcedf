// The way into a notebook: an anywidget module. Nothing is ever sent back to the kernel.

import { make } from "./dom.mjs";
import { showError, unpackVolumes, Viewer } from "./viewer.mjs";

const unpacked = new WeakMap(); // a model shown twice is unpacked once

async function render({ model, el }) {
  el.classList.add("pettutor-viewer");
  const waiting = make("p", { class: "ptv-waiting" }, "unpacking …");
  el.append(waiting);
  try {
    const settings = model.get("_settings");
    if (!unpacked.has(model)) {
      const bytes = model.get("_volumes").map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
      unpacked.set(model, unpackVolumes(settings, bytes));
    }
    const viewer = new Viewer(el, settings, await unpacked.get(model));
    el.pettutorViewer = viewer;
    const follow = {
      "change:plane": viewer.guard(() => viewer.setPlane(model.get("plane"))),
      "change:position": viewer.guard(() => viewer.setPosition(model.get("position"))),
      "change:frame": viewer.guard(() => viewer.setFrame(model.get("frame"))),
    };
    for (const [name, handler] of Object.entries(follow)) model.on(name, handler);
    return () => {
      for (const [name, handler] of Object.entries(follow)) model.off(name, handler);
      viewer.destroy();
      delete el.pettutorViewer;
    };
  } catch (error) {
    showError(el, error);
  } finally {
    waiting.remove();
  }
}

export default { render };
