// Keyboard shortcuts that leave alone what the focused control does with a key itself.

const OWN_KEYS = {
  INPUT: () => true,
  TEXTAREA: () => true,
  SELECT: () => true,
  BUTTON: (key) => key === " " && byKeyboard,
  A: (key) => key === "Enter",
};

// A button that was clicked keeps the focus, but the space bar should play; one that was reached
// with the Tab key should do what the space bar does to buttons.
let byKeyboard = false;
addEventListener("pointerdown", () => { byKeyboard = false; }, true);
addEventListener("keydown", (event) => { if (event.key === "Tab") byKeyboard = true; }, true);

/** Call actions by key until the returned function is called. */
export function listen(actions) {
  const taken = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat && event.key === " ") return null;
    const isSlider = event.target.type === "range";
    const own = OWN_KEYS[event.target.tagName]?.(event.key);
    if (own && !(isSlider && !/^(Arrow|Home|End|Page)/.test(event.key))) return null;
    return actions[event.key.length === 1 ? event.key.toLowerCase() : event.key] ?? null;
  };
  const down = (event) => {
    const action = taken(event);
    if (!action) return;
    event.preventDefault();
    action();
  };
  const up = (event) => {
    if (event.key === " " && taken(event)) event.preventDefault(); // else Firefox clicks the button
  };
  addEventListener("keydown", down);
  addEventListener("keyup", up);
  return () => {
    removeEventListener("keydown", down);
    removeEventListener("keyup", up);
  };
}
