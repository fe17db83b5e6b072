// Which view is shown: the address after # names the song, so that a reload shows it again.

import { songInView } from "./address.js";
import * as home from "./home.js";
import { attempt, complain, worry } from "./page.js";
import * as song from "./song.js";

history.replaceState(null, "", location.pathname + location.hash); // a token does not stay in sight

const limits = await attempt(home.setUp);
let leave = () => {};

function route() {
  leave();
  complain("");
  worry(null);
  const id = songInView();
  leave = id ? song.show(id, limits) : home.show();
}

if (limits) {
  addEventListener("hashchange", () => {
    route();
    if (!songInView()) home.focus();
  });
  route();
}
