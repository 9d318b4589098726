// Pieces that several views are made of.

import { h, say, set } from "./dom.js";
import { brief } from "./format.js";
import { complain } from "./notices.js";

export const STATES = ["queued", "running", "scheduled", "blocked", "succeeded", "canceled", "dead"];
const ENDED = new Set(["succeeded", "canceled", "dead"]);

/** Whether nothing more happens to a job by itself. */
export function ended(state) {
  return ENDED.has(state);
}

/** Return the mark of a state; `update(state)` changes it. */
export function pill(state) {
  const node = h("span", { class: "pill" });
  const update = (now) => {
    node.dataset.state = STATES.includes(now) ? now : "unknown";
    say(node, now || "");
  };
  update(state);
  return { node, update };
}

/** Return how far a job is: a bar where that is a share, words where the listener said something else. */
export function progress() {
  const bar = h("progress", { max: 100, "aria-label": "Progress" });
  const words = h("span", { class: "said" });
  const node = h("span", { class: "progress" }, bar, words);
  return {
    node,
    update({ state, progress: value }) {
      const number = typeof value === "number" && value >= 0 && value <= 100 ? value : null;
      const running = state === "running";
      node.dataset.state = state || "";
      bar.hidden = !(running || state === "succeeded") || (running && number === null && value !== null);
      if (number === null && running) set(bar, "value", null);
      else set(bar, "value", state === "succeeded" ? 100 : number || 0);
      say(words, running ? (number === null ? brief(value ?? "", 60) : `${Math.round(number)} %`) : "");
    },
  };
}

/** Return a button that runs `action` once at a time; what goes wrong is said. */
export function button(words, action, attributes = {}) {
  const node = h("button", { type: "button", ...attributes }, words);
  node.addEventListener("click", async () => {
    if (node.getAttribute("aria-busy") === "true") return;
    set(node, "aria-busy", "true");
    try {
      await action(node);
    } catch (error) {
      complain(error);
    } finally {
      set(node, "aria-busy", null);
    }
  });
  return node;
}

/** Return what to show where there is nothing yet: a sentence, and what to type next. */
export function empty(sentence, ...commands) {
  return h("div", { class: "empty" }, h("p", {}, sentence), ...commands.map((each) => h("pre", { class: "command" }, each)));
}

/** Return a table: `columns` are `{name, right, key}`; its body is returned too, to be filled. */
export function table(caption, columns, kind = "") {
  const head = columns.map(({ name, right, hide }) =>
    h("th", { scope: "col", class: right ? "right" : "" }, hide ? h("span", { class: "unseen" }, name) : name));
  const body = h("tbody", { role: "rowgroup" });
  const node = h("table", { class: `cards ${kind}`.trim(), role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)), body);
  return { node, body };
}

/** Return a cell; on a narrow page its label stands before it. */
export function cell(label, content, { right = false, kind = "" } = {}) {
  return h("td", { role: "cell", class: `${right ? "right" : ""} ${kind}`.trim(), data: { label } }, content);
}

/** Ask before something that cannot be undone. Returns whether the answer is yes. */
export function confirmed(title, sentence, yes) {
  const dialog = h("dialog", { "aria-labelledby": "confirm-title" },
    h("h2", { id: "confirm-title" }, title),
    h("p", { class: "said" }, sentence),
    h("div", { class: "actions" },
      h("button", { type: "button", on: { click: () => dialog.close("") } }, "Keep"),
      h("button", { type: "button", class: "danger", on: { click: () => dialog.close("yes") } }, yes),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

/** Return a link to a job's page. */
export function jobLink(id) {
  return h("a", { href: `#/jobs/${encodeURIComponent(id)}`, class: "id said" }, id);
}

/** Return a <select> of a few choices; `onChange(value)`. */
export function choice(label, values, chosen, onChange) {
  const options = values.map(([value, words]) => h("option", { value, selected: value === chosen }, words));
  const select = h("select", { on: { change: () => onChange(select.value) } }, ...options);
  return h("label", { class: "field" }, h("span", {}, label), select);
}
