// Says what an action came to, in one place that screen readers hear.

import { h } from "./dom.js";

const MOST = 4;
const PATIENCE = 6000;

/** Say that something is done; goes away by itself. */
export function tell(text) {
  const node = add(text, "good");
  setTimeout(() => node.remove(), PATIENCE);
}

/** Say that something went wrong; stays until it is closed. */
export function complain(error) {
  const text = error instanceof Error ? error.message : String(error);
  const words = error instanceof TypeError ? "The server is out of reach." : text;
  const said = [...document.querySelectorAll("#notices .bad .said")].some((each) => each.textContent === words);
  if (said) return;
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close this message" }, "Close");
  const node = add(words, "bad", close);
  close.addEventListener("click", () => node.remove());
}

/** Say what went wrong while looking; not that a view was left, nor that the server is away, which the sign says. */
export function mention(error) {
  if (error.name !== "AbortError" && !(error instanceof TypeError)) complain(error);
}

function add(text, kind, ...more) {
  const place = document.getElementById("notices");
  const node = h("div", { class: `notice ${kind}` }, h("span", { class: "said" }, text), ...more);
  while (place.childElementCount >= MOST) place.firstElementChild.remove();
  place.append(node);
  return node;
}
