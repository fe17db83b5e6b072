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
let byPointer = false; // whatever was done last
addEventListener("pointerdown", () => { byKeyboard = false; byPointer = true; }, true);
addEventListener("keydown", (event) => { byKeyboard ||= event.key === "Tab"; byPointer = false; }, true);

// A list takes all keys while it has the focus: one that was chosen from with the pointer lets go of it.
addEventListener("change", ({ target }) => { if (byPointer && target.tagName === "SELECT") target.blur(); }, true);

const BRACKETS = "[]"; // on many keyboards with AltGr, which may count as Ctrl and Alt, or with Option
const ARROWS = { ArrowUp: "ArrowRight", ArrowDown: "ArrowLeft" }; // of a slider, in which they do the same

/** Call actions by key until the returned function is called. */
export function listen(actions) {
  const taken = (event) => {
    const { key, target } = event;
    const composed = event.altKey && BRACKETS.includes(key);
    if (event.metaKey || (event.ctrlKey || event.altKey) && !composed || event.repeat && key === " ") return null;
    if (target.dataset?.arrows === "shortcuts" && key.startsWith("Arrow")) return actions[ARROWS[key] ?? key];
    const isSlider = target.type === "range";
    const own = OWN_KEYS[target.tagName]?.(key);
    if (own && !(isSlider && !/^(Arrow|Home|End|Page)/.test(key))) return null;
    return actions[key.length === 1 ? key.toLowerCase() : key] ?? null;
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
