// The first view: a song in, and the songs that are there.

import { go } from "./address.js";
import * as api from "./api.js";
import { acceptDrops } from "./drop.js";
import { chosen, offer } from "./models.js";
import { $, announce, attempt, complain, fromTemplate, single, worry } from "./page.js";
import { patiently } from "./patience.js";
import { clock, left, track } from "./text.js";
import * as uploads from "./uploads.js";

const POLL = 1500; // ms between looks at songs that are not finished

let limits = null;
let timer = 0;

export async function setUp() {
  limits = await patiently(api.server);
  $("limits").textContent = `Up to ${+(limits.max_seconds / 60).toFixed(2)} min and ${Math.round(limits.max_bytes / 2 ** 20)} MB`;
  offer(limits);
  const hours = limits.keep_seconds / 3600;
  $("kept").textContent = `Songs are removed ${hours >= 1 ? `${+hours.toFixed(1)} h` : `${Math.round(hours * 60)} min`} after they are done.`;

  $("file").addEventListener("change", () => {
    send([...$("file").files]);
    $("file").value = "";
  });
  $("example").addEventListener("click", single(() =>
    attempt(async () => {
      const job = await api.example(chosen());
      if (isOpen()) go(job.id);
    }),
  ));
  acceptDrops((files, folders) => {
    go("");
    send(files, folders);
  });
  return limits;
}

const isOpen = () => !$("home").hidden;

export function show() {
  $("home").hidden = false;
  document.title = "Unbraid";
  $("model").textContent = limits.models.length > 1 ? "" : `model ${limits.model}`; // of several, it is chosen below
  list();
  return () => {
    clearTimeout(timer);
    uploads.forget();
    $("home").hidden = true;
  };
}

/** For the keyboard, and for those who hear the page: the view begins here. */
export function focus() {
  $("home").querySelector("h1").focus({ preventScroll: true });
}

async function send(files, folders = []) {
  complain("");
  const fits = (file) => file.size <= limits.max_bytes;
  const large = files.filter((file) => !fits(file));
  const refusals = [
    ...folders.map((name) => ({ name, why: "a folder; choose the songs in it" })),
    ...large.map(({ name }) => ({ name, why: "larger than the limit" })),
  ];
  const only = await uploads.send(files.filter(fits), chosen(), refusals, list);
  if (only && isOpen()) go(only.id);
}

async function list() {
  clearTimeout(timer);
  if (!isOpen()) return;
  let jobs;
  try {
    jobs = await api.jobs();
  } catch (error) {
    if (!isOpen()) return;
    worry(error);
    timer = setTimeout(list, POLL);
    return;
  }
  if (!isOpen()) return;
  worry(null);
  const shown = new Map([...$("songs").children].map((item) => [item.dataset.id, item]));
  const items = jobs.map((job) => filled(shown.get(job.id) ?? entry(job), job));
  const same = items.length === shown.size && items.every((item, i) => item === $("songs").children[i]);
  if (!same) replace(items); // else the focus stays where it is
  $("earlier").hidden = jobs.length === 0;
  if (jobs.some((job) => !job.expires)) timer = setTimeout(list, POLL);
}

/** Show other entries; the focus stays, or goes from an entry that is gone to the one after it. */
function replace(items) {
  const focused = document.activeElement;
  const before = [...$("songs").children];
  const place = before.findIndex((item) => item.contains(focused));
  $("songs").replaceChildren(...items);
  if (place < 0) return;
  const next = before.slice(place).find((item) => item.isConnected) ?? items.at(-1);
  if (focused.isConnected) focused.focus();
  else if (next) next.querySelector("a").focus();
  else focus();
}

function entry(job) {
  const item = fromTemplate("entry");
  item.dataset.id = job.id;
  item.querySelector("a").href = `#${job.id}`;
  item.querySelector("strong").textContent = track(job.name);
  const button = item.querySelector("button");
  const which = job.model === limits.model ? track(job.name) : `${track(job.name)} by ${job.model}`;
  button.setAttribute("aria-label", `Delete ${which}`);
  button.addEventListener("click", async () => {
    if (!confirm(`Delete ${which} and its stems?`)) return;
    await attempt(async () => {
      await api.remove(job.id);
      announce("Deleted");
    });
    list();
  });
  return item;
}

function filled(item, job) {
  const bar = item.querySelector("progress");
  bar.hidden = job.status !== "running";
  bar.value = job.progress;
  bar.setAttribute("aria-label", `Separation of ${job.name}`);
  const state = {
    queued: job.before ? `waiting, ${job.before} before it` : "waiting",
    running: `separating, ${Math.round(job.progress * 100)} % ${left(job.seconds_left)}`,
    done: clock(job.duration),
    failed: `failed: ${job.error}`,
  }[job.status];
  item.querySelector(".soft").textContent = job.model === limits.model ? state : `${job.model} · ${state}`;
  item.classList.toggle("failed", job.status === "failed");
  return item;
}
