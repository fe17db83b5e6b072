// A song that is there, with another model: a song of its own.

import { go } from "./address.js";
import * as api from "./api.js";
import { $, attempt, single } from "./page.js";
import { track } from "./text.js";

/** Offer the models that did not separate a song. @param {() => boolean} wanted - whether it is still in view */
export function offerOthers(job, models, wanted) {
  const others = models.filter(({ name }) => name !== job.model);
  $("again").hidden = others.length === 0;
  $("again").replaceChildren(
    "Separate it again with",
    ...others.map(({ name }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "link";
      button.textContent = name;
      button.setAttribute("aria-label", `Separate ${track(job.name)} again with ${name}`);
      button.addEventListener("click", single(() =>
        attempt(async () => {
          const { id } = await api.again(job.id, name);
          if (wanted()) go(id);
        }),
      ));
      return button;
    }),
  );
}
