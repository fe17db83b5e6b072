// What is dropped on the page: files, and folders, which a browser does not send.

import { $ } from "./page.js";

/** Call with each drop. @param {(files: File[], folders: string[]) => void} onDrop */
export function acceptDrops(onDrop) {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folders = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry?.isDirectory);
    const files = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory).map((item) => item.getAsFile());
    if (items.length) onDrop(files, folders.map((folder) => folder.name));
  });
}
