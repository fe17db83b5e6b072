// Following a song on the server, also through a connection that breaks.

import * as api from "./api.js";
import { GONE } from "./errors.js";

const RETRY = 2000; // ms

/**
 * Tell a song's states until it is finished.
 * @param {string} id
 * @param {(job: object) => void} onChange
 * @param {(error: Error | null) => void} onTrouble - no state for now; null when there is one again
 * @param {(error: Error) => void} onGone - there is no such song (any longer)
 * @returns {() => void} ends it
 */
export function follow(id, onChange, onTrouble, onGone) {
  let source = null;
  let timer = 0;
  let ended = false;

  function end() {
    ended = true;
    source?.close();
    clearTimeout(timer);
  }

  function take(job) {
    onTrouble(null);
    if (job.status === "done" || job.status === "failed") end();
    onChange(job);
  }

  function listen() {
    source = new EventSource(`api/jobs/${id}/events`);
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.addEventListener("deleted", look);
    source.onerror = look; // does not say why, and at some answers the browser gives up for ever
  }

  async function look() {
    source?.close();
    try {
      const job = await api.job(id);
      if (ended) return;
      take(job);
      if (!ended) timer = setTimeout(listen, source ? RETRY : 0);
    } catch (error) {
      if (ended) return;
      if (error.status === GONE) {
        end();
        onGone(error);
      } else {
        onTrouble(error);
        timer = setTimeout(look, RETRY);
      }
    }
  }

  look();
  return end;
}
