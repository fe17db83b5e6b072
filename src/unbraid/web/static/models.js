// Which model separates a song: chosen beside the drop zone, and remembered by the browser.

import { $ } from "./page.js";

const KEY = "model"; // no entry: the server's own, whichever that is

/** Offer the server's models. @param {object} server - from the API */
export function offer({ model, models }) {
  const names = models.map(({ name }) => name);
  $("models").hidden = names.length < 2;
  $("choice").replaceChildren(...names.map((name) => new Option(name === model ? `${name}, the default` : name, name)));
  const remembered = memory((storage) => storage.getItem(KEY));
  if (names.includes(remembered)) $("choice").value = remembered;
  $("choice").addEventListener("change", () =>
    memory((storage) => (chosen() === model ? storage.removeItem(KEY) : storage.setItem(KEY, chosen()))),
  );
}

/** Name of the model for what is separated from now on. */
export const chosen = () => $("choice").value;

/** Use what outlives a reload, if the browser has it: some forbid it, or keep nothing. */
function memory(use) {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}
