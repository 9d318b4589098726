// A traceback, folded.

import { h, say } from "./dom.js";

const MOST = 64_000; // characters

/** Return `{node, update(text)}`; hidden while there is none. */
export function traceback(text, { open = false } = {}) {
  const body = h("pre", { class: "said", tabindex: 0 });
  const node = h("details", { class: "traceback", open }, h("summary", {}, "Traceback"), body);
  const update = (now) => {
    node.hidden = !now;
    say(body, now && now.length > MOST ? `…${now.slice(-MOST)}` : now);
  };
  update(text);
  return { node, update };
}
