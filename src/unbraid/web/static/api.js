// The server's API; the page uses nothing else. Addresses begin at the page's: a proxy may put it anywhere.

import { ConnectionError, GONE, Refusal } from "./errors.js";

/** What the server answers; what it refuses is an error that says why. */
export const call = (path, options) => ask(path, (response) => response.json(), options);

/** A file of the server. @returns {Promise<ArrayBuffer>} */
export const bytes = (path) => ask(path, (response) => response.arrayBuffer());

async function ask(path, read, options) {
  const response = await connected(fetch(`api/${path}`, options));
  if (response.status === 204) return null;
  if (!response.ok) throw new Refusal(response.status, await response.json().catch(() => null));
  return connected(read(response));
}

/** The browser has a phrase of its own, "Failed to fetch", for every connection that breaks. */
const connected = (answer) => answer.catch(() => { throw new ConnectionError(); });

const query = (parameters) => new URLSearchParams(parameters);
const stemPath = (id, stem, format) => `jobs/${id}/stems/${stem}.${format}`;

export const server = () => call("server");
export const jobs = () => call("jobs");
export const job = (id) => call(`jobs/${id}`);
/** Remove a song; one that is gone already is as good. */
export const remove = (id) => call(`jobs/${id}`, { method: "DELETE" }).catch((error) => { if (error.status !== GONE) throw error; });
export const example = (model) => call(`example?${query({ model })}`, { method: "POST" });
export const again = (id, model) => call(`jobs/${id}/again?${query({ model })}`, { method: "POST" });
export const uploadUrl = (name, model) => `api/jobs?${query({ name, model })}`;
export const stem = (id, name) => bytes(stemPath(id, name, "wav"));
export const stemUrl = (id, name, format) => `api/${stemPath(id, name, format)}`;
export const zipUrl = (id, format) => `api/jobs/${id}/stems.zip?format=${format}`;
