// The listening test: who listens, page after page, and thanks.

import { call } from "./api.js";
import { $, attempt } from "./page.js";
import { patiently } from "./patience.js";
import * as trial from "./trial.js";

history.replaceState(null, "", location.pathname + location.hash); // a token does not stay in sight

const VIEWS = ["welcome", "trial", "thanks"];
let session = null;

function show(view) {
  for (const name of VIEWS) $(name).hidden = name !== view;
  scrollTo(0, 0);
}

/** Show the first page that is not rated. */
async function go() {
  $("where").textContent = session.page ? `Page ${session.page.number} of ${session.pages}` : "";
  if (session.page) {
    show("trial");
    await trial.show(session, send);
  } else {
    show("thanks");
    document.querySelector("#thanks h1").focus();
  }
}

async function send(ratings) {
  const { id, page } = session;
  const body = JSON.stringify({ ratings });
  const headers = { "content-type": "application/json" };
  session = await patiently(() => call(`sessions/${id}/pages/${page.number}`, { method: "PUT", headers, body }));
  trial.leave();
  attempt(go);
}

async function route() {
  trial.leave();
  const id = location.hash.slice(1);
  if (!id) {
    $("where").textContent = "";
    show("welcome");
    return;
  }
  if (session?.id !== id) session = await attempt(() => patiently(() => call(`sessions/${encodeURIComponent(id)}`)));
  if (session) attempt(go);
  else show("welcome");
}

$("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const body = JSON.stringify({ listener: $("listener").value });
    const headers = { "content-type": "application/json" };
    session = await call("sessions", { method: "POST", headers, body }).catch((error) => {
      throw error.status === 422 ? new Error(NAME) : error;
    });
    location.hash = session.id;
  });
});
const NAME = "a name begins with a letter or digit, and has only letters, digits, spaces, . ' - and _";

$("again").addEventListener("click", () => { location.hash = ""; });
addEventListener("hashchange", route);
route();
