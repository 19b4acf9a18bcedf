// The way into a page without a kernel: every <div class="pettutor-viewer"> brings its data along in a <script> inside it.

import { decodeBase64 } from "./colour.mjs";
import { openViewer } from "./explorer.mjs";
import { showError } from "./viewer.mjs";

async function start(element) {
  if (element.pettutorViewer) return;
  element.pettutorViewer = true; // taken, so that a second call while unpacking does nothing
  try {
    const { settings, volumes } = JSON.parse(element.querySelector("script").textContent);
    const viewer = await openViewer(element, settings, volumes.map(decodeBase64));
    element.querySelector(":scope > img")?.remove();
    element.pettutorViewer = viewer;
  } catch (error) {
    showError(element, error);
  }
}

function startAll() {
  document.querySelectorAll("div.pettutor-viewer").forEach(start);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
else startAll();
