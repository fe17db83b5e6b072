// The view of one song: first its progress, then its mixer.

import { go } from "./address.js";
import { offerOthers } from "./again.js";
import * as api from "./api.js";
import { follow } from "./follow.js";
import { mixer } from "./mixer.js";
import { $, announce, attempt, complain, worry } from "./page.js";
import { clock, left, track } from "./text.js";

const QUIET = 10_000; // ms between announcements of progress

export function show(id, { formats, models }) {
  $("song").hidden = false;
  for (const part of ["waiting", "failed-delete", "mixer", "notes", "again"]) $(part).hidden = true;
  for (const part of ["title", "facts", "model"]) $(part).textContent = "";
  let leaveMixer = () => {};
  let open = true;
  let announced = 0;

  let removing = false;
  const remove = () =>
    attempt(async () => {
      removing = true;
      await api.remove(id).finally(() => { removing = false; });
      if (open) go("");
    });
  $("waiting-cancel").onclick = remove;
  $("delete").onclick = $("failed-delete").onclick = () => confirm("Delete this song and its stems?") && remove();

  async function update(job) {
    if (!open) return;
    $("title").textContent = document.title = track(job.name);
    $("facts").textContent = `${clock(job.duration)} · ${job.sample_rate / 1000} kHz · ${{ 1: "mono", 2: "stereo" }[job.channels] ?? `${job.channels} channels`}`;
    $("model").textContent = `model ${job.model}`;
    if (job.expires) offerOthers(job, models, () => open);
    if (job.status === "failed") {
      $("waiting").hidden = true;
      $("failed-delete").hidden = false;
      complain(`“${track(job.name)}”: ${job.error}`);
    } else if (job.status === "done") {
      notes(job.warnings);
      $("waiting-text").textContent = "Loading the stems…";
      $("waiting-bar").removeAttribute("value");
      const loaded = mixer(job, formats, () => open).catch((error) => { if (open) throw error; });
      const leave = await attempt(() => loaded);
      $("waiting").hidden = true;
      if (leave && !open) leave();
      else if (leave) leaveMixer = leave;
      else $("failed-delete").hidden = !open; // the mixer's is not in view
    } else {
      wait(job);
      if (Date.now() - announced > QUIET) {
        announced = Date.now();
        announce($("waiting-text").textContent);
      }
    }
  }

  let seen = false;
  function change(job) {
    $("waiting").hidden = false;
    update(job);
    if (!seen) $("title").focus({ preventScroll: true });
    seen = true;
  }
  function gone(error) {
    if (!seen) {
      complain(error.message);
      return;
    }
    go("");
    if (!removing) complain("this song was deleted");
  }
  const unfollow = follow(id, change, worry, gone);

  return () => {
    open = false;
    unfollow();
    leaveMixer();
    $("song").hidden = true;
  };
}

function wait(job) {
  const bar = $("waiting-bar");
  if (job.status === "queued") {
    $("waiting-text").textContent = job.before
      ? `Waiting: ${job.before} ${job.before === 1 ? "song" : "songs"} before this one`
      : "Waiting for the separation to begin";
    bar.removeAttribute("value");
    return;
  }
  $("waiting-text").textContent = ["Separating", job.progress ? `${Math.round(job.progress * 100)} %` : "", left(job.seconds_left)]
    .filter(Boolean)
    .join(" · ");
  if (job.progress) bar.value = job.progress;
  else bar.removeAttribute("value");
}

function notes(warnings) {
  $("notes").hidden = warnings.length === 0;
  $("notes").replaceChildren(
    ...warnings.map((warning) => {
      const item = document.createElement("li");
      item.textContent = warning;
      return item;
    }),
  );
}
