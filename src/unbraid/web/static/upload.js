// Sending one song.

import { server, uploadUrl } from "./api.js";
import { ConnectionError, Refusal } from "./errors.js";

/**
 * Send a song; an error says why it was not taken.
 * @param {File} file
 * @param {string} model - name of the one to separate it with
 * @param {(fraction: number) => void} onProgress - gets how much has been sent
 * @param {AbortSignal} signal - ends it
 * @returns {Promise<object>} the new job
 */
export function upload(file, model, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not say how much has been sent
    request.open("POST", uploadUrl(file.name, model));
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onload = () => {
      const { status, response } = request;
      if (status === 202) resolve(response);
      else reject(new Refusal(status, response, Number(request.getResponseHeader("retry-after"))));
    };
    request.onerror = async () => {
      reject((await canBeRead(file)) ? await whyBroken() : new Error("it can't be read"));
    };
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Whether a file is still there, unchanged, and no folder: the browser calls all of it a broken connection. */
const canBeRead = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

/** A connection that broke, or what the server has against this page: Firefox and Safari hear no refusal while they send. */
const whyBroken = () => server().then(() => new ConnectionError(), (error) => error);
