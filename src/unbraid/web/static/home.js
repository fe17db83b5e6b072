// The first view: a song in, and the songs that are there.

import * as api from "./api.js";
import { $, announce, attempt, complain, fromTemplate } from "./page.js";
import { clock, left, track } from "./text.js";

const POLL = 1500; // ms between looks at songs that are not finished

let limits = null;
let timer = 0;

export async function setUp() {
  limits = await api.server();
  const minutes = Math.round(limits.max_seconds / 60);
  $("limits").textContent = `Up to ${minutes} minutes and ${Math.round(limits.max_bytes / 2 ** 20)} MB`;
  $("model").textContent = `model ${limits.model}`;
  const hours = limits.keep_seconds / 3600;
  $("kept").textContent = `Songs are removed ${hours >= 1 ? `${+hours.toFixed(1)} h` : `${Math.round(hours * 60)} min`} after they are done.`;

  $("file").addEventListener("change", () => {
    send([...$("file").files]);
    $("file").value = "";
  });
  $("example").addEventListener("click", () =>
    attempt(async () => {
      location.hash = (await api.example()).id;
    }),
  );
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
    if (event.dataTransfer.files.length) {
      location.hash = "";
      send([...event.dataTransfer.files]);
    }
  });
  return limits;
}

export function show() {
  $("home").hidden = false;
  document.title = "Unbraid";
  list();
  return () => {
    clearTimeout(timer);
    $("home").hidden = true;
  };
}

/** Upload songs one after another; one that is refused does not keep the others from coming. */
async function send(files) {
  const stop = new AbortController();
  $("sending-cancel").onclick = () => stop.abort();
  const sent = [];
  const refused = [];
  complain("");
  for (const file of files) {
    if (file.size > limits.max_bytes) {
      refused.push(`“${file.name}”: larger than the limit`);
      continue;
    }
    $("sending").hidden = false;
    $("sending-name").textContent = file.name;
    announce(`Uploading ${file.name}`);
    const onProgress = (fraction) => {
      $("sending-bar").value = fraction;
      $("sending-text").textContent = fraction < 1 ? `${Math.round(fraction * 100)} %` : "is being read";
    };
    try {
      sent.push(await api.upload(file, onProgress, stop.signal));
    } catch (error) {
      if (error.name === "AbortError") break;
      refused.push(`“${file.name}”: ${error.message}`);
      if (error.final) break;
    }
  }
  $("sending").hidden = true;
  complain(refused.join(".\n"));
  if (sent.length && files.length === 1) location.hash = sent[0].id;
  else list();
}

async function list() {
  clearTimeout(timer);
  let jobs;
  try {
    jobs = await api.jobs();
  } catch (error) {
    complain(error.message);
    return;
  }
  if ($("home").hidden) return;
  $("earlier").hidden = jobs.length === 0;
  const shown = new Map([...$("songs").children].map((item) => [item.dataset.id, item]));
  const items = jobs.map((job) => filled(shown.get(job.id) ?? entry(job), job));
  const same = items.length === shown.size && items.every((item, i) => item === $("songs").children[i]);
  if (!same) $("songs").replaceChildren(...items); // else the focus stays where it is
  if (jobs.some((job) => !job.expires)) timer = setTimeout(list, POLL);
}

function entry(job) {
  const item = fromTemplate("entry");
  item.dataset.id = job.id;
  item.querySelector("a").href = `#${job.id}`;
  item.querySelector("strong").textContent = track(job.name);
  const button = item.querySelector("button");
  button.setAttribute("aria-label", `Delete ${track(job.name)}`);
  button.addEventListener("click", async () => {
    if (!confirm(`Delete ${track(job.name)} and its stems?`)) return;
    await attempt(() => api.remove(job.id));
    announce("Deleted");
    list();
  });
  return item;
}

function filled(item, job) {
  const bar = item.querySelector("progress");
  bar.hidden = job.status !== "running";
  bar.value = job.progress;
  bar.setAttribute("aria-label", `Separation of ${job.name}`);
  item.querySelector(".soft").textContent = {
    queued: job.before ? `waiting, ${job.before} before it` : "waiting",
    running: `separating, ${Math.round(job.progress * 100)} % ${left(job.seconds_left)}`,
    done: clock(job.duration),
    failed: `failed: ${job.error}`,
  }[job.status];
  item.classList.toggle("failed", job.status === "failed");
  return item;
}
