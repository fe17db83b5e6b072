// The page's address: what stands after # names the song in view.

export const songInView = () => location.hash.slice(1);

/** Show a song, or with "" the list; at once, so that what is said next is said in the new view. */
export function go(id) {
  if (id === songInView()) return;
  history.pushState(null, "", `#${id}`);
  dispatchEvent(new HashChangeEvent("hashchange"));
  scrollTo(0, 0);
}
