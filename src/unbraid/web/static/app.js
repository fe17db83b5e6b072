// Which view is shown: the address after # names the song, so that a reload shows it again.

import * as home from "./home.js";
import { attempt, complain } from "./page.js";
import * as song from "./song.js";

history.replaceState(null, "", location.pathname + location.hash); // a token does not stay in sight

const limits = await attempt(home.setUp);
let leave = () => {};

function route() {
  leave();
  const id = location.hash.slice(1);
  leave = id ? song.show(id, limits.formats) : home.show();
}

if (limits) {
  addEventListener("hashchange", () => {
    if (location.hash) complain("");
    route();
  });
  route();
}
