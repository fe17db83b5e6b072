// The server's API; the page uses nothing else.

/** What the server answers; what it refuses is an error that says why. */
export async function call(path, options) {
  const response = await fetch(`/api/${path}`, options);
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new Error(said(answer));
  return answer;
}

function said(answer) {
  return typeof answer.detail === "string" ? answer.detail : "the server refused this";
}

export const server = () => call("server");
export const jobs = () => call("jobs");
export const job = (id) => call(`jobs/${id}`);
export const remove = (id) => call(`jobs/${id}`, { method: "DELETE" });
export const example = () => call("example", { method: "POST" });
export const stemUrl = (id, stem, format) => `/api/jobs/${id}/stems/${stem}.${format}`;
export const zipUrl = (id, format) => `/api/jobs/${id}/stems.zip?format=${format}`;

/**
 * Send a song. `onProgress` gets the fraction sent; aborting `signal` ends it. An error is `final` if another
 * song would meet it as well.
 */
export function upload(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const fail = (message, final) => reject(Object.assign(new Error(message), { final }));
    const request = new XMLHttpRequest(); // fetch does not say how much has been sent
    request.open("POST", `/api/jobs?name=${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else fail(said(request.response ?? {}), request.status >= 500);
    };
    request.onerror = () => fail("the connection to the server broke", true);
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Follow a song until it is finished. Returns a function that ends it. */
export function follow(id, onChange, onDeleted) {
  const source = new EventSource(`/api/jobs/${id}/events`);
  source.onmessage = (event) => {
    const state = JSON.parse(event.data);
    if (state.status === "done" || state.status === "failed") source.close();
    onChange(state);
  };
  source.addEventListener("deleted", () => {
    source.close();
    onDeleted();
  });
  return () => source.close();
}
