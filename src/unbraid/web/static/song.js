// The view of one song: first its progress, then its mixer.

import * as api from "./api.js";
import { mixer } from "./mixer.js";
import { $, announce, attempt, complain } from "./page.js";
import { clock, left, track } from "./text.js";

const QUIET = 10_000; // ms between announcements of progress

export function show(id, formats) {
  $("song").hidden = false;
  for (const part of ["waiting", "mixer", "notes"]) $(part).hidden = true;
  for (const part of ["title", "facts"]) $(part).textContent = "";
  let leaveMixer = () => {};
  let open = true;
  let announced = 0;

  const remove = async () => {
    await attempt(() => api.remove(id));
    location.hash = "";
  };
  $("waiting-cancel").onclick = remove;
  $("delete").onclick = () => confirm("Delete this song and its stems?") && remove();

  async function update(job) {
    if (!open) return;
    $("title").textContent = document.title = track(job.name);
    $("facts").textContent = `${clock(job.duration)} · ${job.sample_rate / 1000} kHz · ${{ 1: "mono", 2: "stereo" }[job.channels] ?? `${job.channels} channels`}`;
    if (job.status === "failed") {
      $("waiting").hidden = true;
      complain(`“${track(job.name)}”: ${job.error}`);
    } else if (job.status === "done") {
      notes(job.warnings);
      $("waiting-text").textContent = "Loading the stems…";
      $("waiting-bar").removeAttribute("value");
      const leave = await attempt(() => mixer(job, formats, () => open));
      $("waiting").hidden = true;
      if (leave && !open) leave();
      else if (leave) leaveMixer = leave;
    } else {
      wait(job);
      if (Date.now() - announced > QUIET) {
        announced = Date.now();
        announce($("waiting-text").textContent);
      }
    }
  }

  let unfollow = () => {};
  attempt(async () => {
    const job = await api.job(id);
    if (!open) return;
    $("waiting").hidden = false;
    if (job.status === "done" || job.status === "failed") await update(job);
    else {
      unfollow = api.follow(id, update, () => {
        complain("this song was deleted");
        location.hash = "";
      });
    }
    $("title").focus({ preventScroll: true });
  });

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
