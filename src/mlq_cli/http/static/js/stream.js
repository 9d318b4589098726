// What a job hands out while it runs, part by part: texts run on, other values get a line each.

import { h, put, say } from "./dom.js";
import { brief, count } from "./format.js";

const CHARACTERS = 200_000;
const NODES = 2000;

/** Return `{node, add(part), reset()}`; hidden while there is nothing. Keeps the last of what came, not all. */
export function partStream() {
  const body = h("pre", { class: "said value stream", tabindex: 0 });
  const told = h("span", { class: "muted small" });
  const node = h("section", { hidden: true }, h("div", { class: "head" }, h("h2", {}, "Parts"), told), body);
  let number = 0;
  let characters = 0;

  const add = (part) => {
    node.hidden = false;
    number += 1;
    const below = body.scrollHeight - body.scrollTop - body.clientHeight < 40;
    const isText = typeof part === "string";
    const text = isText ? part.slice(-CHARACTERS) : `${brief(part, 2000)}\n`;
    const last = body.lastChild;
    if (isText && last && last.nodeType === Node.TEXT_NODE && last.length < 4000) last.appendData(text);
    else body.append(isText ? text : h("span", { class: "part" }, text));
    characters += text.length;
    while ((characters > CHARACTERS || body.childNodes.length > NODES) && body.childNodes.length > 1) {
      characters -= body.firstChild.textContent.length;
      body.firstChild.remove();
    }
    say(told, `${count(number)} so far`);
    if (below) body.scrollTop = body.scrollHeight;
  };
  const reset = () => {
    put(body);
    number = characters = 0;
    say(told, "the attempt was begun anew");
  };
  const end = () => say(told, number ? `${count(number)} in all` : "");
  return { node, add, reset, end };
}
