// A form that posts one job.

import { get, send } from "../api.js";
import { h, put, say, set } from "../dom.js";
import { button } from "../parts.js";
import { tell } from "../notices.js";

/** Show the form in `place`. */
export function post(place, { signal }) {
  const message = h("textarea", { id: "message", rows: 10, spellcheck: "false", "aria-describedby": "message-hint message-wrong" });
  message.value = '{"arg1": 6, "arg2": 3}';
  const wrong = h("p", { class: "wrong", id: "message-wrong", role: "alert" });
  const queue = h("input", { id: "queue", value: "default", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const priority = h("input", { id: "priority", type: "number", value: 0, min: -2047, max: 2047, step: 1 });
  const retries = h("input", { id: "retries", type: "number", min: 0, step: 1, placeholder: "default" });
  const functions = h("select", { id: "function" }, h("option", { value: "" }, "all of the worker"));
  get("functions", {}, { signal }).then(({ functions: found }) => {
    functions.append(...found.map(({ name }) => h("option", { value: name }, name)));
  }, () => {});

  const submit = button("Post", async () => {
    const raw = rawMessage(message.value);
    say(wrong, raw === null ? "This starts like JSON and is none." : "");
    set(message, "aria-invalid", raw === null ? "true" : null);
    if (raw === null) return message.focus();
    const options = { queue: queue.value.trim() || "default", priority: Number(priority.value) || 0 };
    if (retries.value !== "") options.retries = Number(retries.value);
    if (functions.value) options.functions = [functions.value];
    // The message goes out as it was typed, so that no number loses a digit on its way.
    const job = await send("jobs", `{"msg":${raw},${JSON.stringify(options).slice(1)}`);
    tell(`Job ${job.id} is posted.`);
    location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
  }, { type: "submit", class: "main" });

  const form = h("form", { class: "post", on: { submit: (event) => event.preventDefault() } },
    field("Message", message, h("p", { class: "muted small", id: "message-hint" },
      "JSON; anything that does not start like JSON is sent as text.")), wrong,
    h("div", { class: "fields" }, field("Queue", queue), field("Priority", priority), field("Retries", retries), field("Function", functions)),
    h("div", { class: "actions" }, submit));
  put(place, h("h1", {}, "Post a job"), form);
}

function field(label, input, more = null) {
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, more);
}

/** Return the message as JSON text: what is JSON as it stands, other text as a string; null when it is neither. */
function rawMessage(text) {
  const trimmed = text.trim();
  try {
    JSON.parse(trimmed);
    return trimmed;
  } catch {
    return /^[{["]/.test(trimmed) ? null : JSON.stringify(text);
  }
}
