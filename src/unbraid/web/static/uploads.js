// Songs on their way to the server: one queue, from which one after another is sent.

import { ConnectionError } from "./errors.js";
import { $, announce, say } from "./page.js";
import { sleep } from "./patience.js";
import { upload } from "./upload.js";

const queue = []; // files, each with the model that was chosen for it
let refused = []; // one line each, since nothing was on its way
let stop = null; // ends all that is on its way; null while nothing is
let state = ""; // of the file that is being sent

/**
 * Send files after those that are on their way; one that is refused keeps no other from coming.
 * @param {File[]} files
 * @param {string} model - name of the one to separate them with
 * @param {{name: string, why: string}[]} refusals - what is not even tried
 * @param {(job: object) => void} onTaken - called for each that is a job now
 * @returns {Promise<object | null>} the new job, if it is the only thing that came since nothing was on its way
 */
export async function send(files, model, refusals, onTaken) {
  forget();
  queue.push(...files.map((file) => ({ file, model })));
  for (const { name, why } of refusals) refuse(name, why);
  if (stop || !queue.length) {
    show(state);
    return null;
  }
  stop = new AbortController();
  $("sending-cancel").onclick = () => stop.abort();
  $("sending").hidden = false;
  const jobs = await sendAll(onTaken, stop.signal);
  stop = null;
  $("sending").hidden = true;
  return jobs.length === 1 && !refused.length ? jobs[0] : null;
}

/** What was refused has been read, unless songs are still on their way. */
export function forget() {
  if (!stop) refused = [];
  tell();
}

async function sendAll(onTaken, signal) {
  const jobs = [];
  while (queue.length && !signal.aborted) {
    const { file, model } = queue.shift();
    try {
      const job = await sendOne(file, model, signal);
      jobs.push(job);
      onTaken(job);
    } catch (error) {
      if (signal.aborted) break;
      refuse(file.name, error.message);
      if (error instanceof ConnectionError || error.status >= 500) {
        for (const left of queue.splice(0)) refuse(left.file.name, "not sent"); // it would meet the same
      }
    }
  }
  queue.length = 0;
  return jobs;
}

/** Send a file, again and again while the server says that it should come later. */
async function sendOne(file, model, signal) {
  $("sending-name").textContent = file.name;
  for (;;) {
    announce(`Uploading ${file.name}`);
    try {
      return await upload(file, model, progress, signal);
    } catch (error) {
      if (!error.wait) throw error;
      $("sending-bar").removeAttribute("value");
      show(`waits, because the server is busy: next try in ${error.wait} s`);
      announce("Waiting: the server is busy");
      await sleep(error.wait, signal);
    }
  }
}

function progress(fraction) {
  $("sending-bar").value = fraction;
  show(fraction < 1 ? `${Math.round(fraction * 100)} %` : "is being read");
}

function show(now) {
  state = now;
  $("sending-text").textContent = queue.length ? `${state}, ${queue.length} more after it` : state;
}

function refuse(name, why) {
  refused.push(`“${name}”: ${why}`);
  tell();
}

function tell() {
  say($("refused"), refused.join(".\n"));
}
