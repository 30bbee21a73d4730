/** What people do on the page as a whole. */

import { $ } from "./dom.js";

/** Pass on a file that is dropped anywhere. */
export function onDrop(take, isAllowed) {
  let depth = 0; // Each element on the way is entered and left.
  const show = (change) => {
    depth = Math.max(0, depth + change);
    $("curtain").classList.toggle("open", depth > 0 && isAllowed());
  };
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && show(1));
  addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(-depth);
    take(event.dataTransfer.files[0]);
  });
}

/** The space bar plays, wherever it has no meaning of its own. */
export function onSpace(act) {
  addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("button, input, select, textarea, summary, dialog")) return;
    if ($("player").hidden) return;
    event.preventDefault();
    act();
  });
}
