// What all parts of the page share.

export const $ = (id) => document.getElementById(id);

export const nonce = document.querySelector("meta[name=csp-nonce]").content;

/** Tell a screen reader. */
export function announce(text) {
  $("live").textContent = text;
}

/** Show what went wrong, or with "" nothing. */
export function complain(text) {
  say($("problem"), text);
}

let worries = "";

/** Show why the server does not answer for now, or with null that it does. @param {Error | null} error */
export function worry(error) {
  const text = error ? `${error.message}; trying again` : "";
  if (text !== worries) say($("connection"), text); // else it would be read out at every try
  worries = text;
}

/** Show a sentence, or with "" nothing. @param {HTMLElement} place @param {string} text */
export function say(place, text) {
  place.textContent = text && `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  place.hidden = !text;
}

/** Run what the user asked for; what goes wrong is shown. */
export async function attempt(action) {
  complain("");
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") complain(error.message);
    return null;
  }
}

/** An action as a handler that does nothing while it is still being done: a double click is one. */
export function single(action) {
  let busy = false;
  return () => {
    if (busy) return;
    busy = true;
    action().finally(() => { busy = false; });
  };
}

export function fromTemplate(id) {
  return $(id).content.firstElementChild.cloneNode(true);
}

/** Links to one thing in every format. */
export function downloadLinks(parent, formats, url, what) {
  parent.replaceChildren(
    ...formats.map((format) => {
      const link = document.createElement("a");
      link.href = url(format);
      link.download = "";
      link.textContent = format.toUpperCase();
      link.setAttribute("aria-label", `Download ${what} as ${format.toUpperCase()}`);
      return link;
    }),
  );
}
