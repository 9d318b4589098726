// The record of a job, field by field, in words.

import { each, h, say, set } from "./dom.js";
import { count, duration, setWhen, when } from "./format.js";
import { took } from "./jobrow.js";

/** Show the fields of a record in the <dl> `place`; those without a value are left out. */
export function facts(place, job) {
  const attempts = Number(job.attempt) || 0;
  const allowed = job.retries_allowed;
  const all = [
    ["Queue", job.queue, `#/jobs?${new URLSearchParams({ queue: job.queue || "default" })}`],
    ["Priority", job.priority ? String(job.priority) : null],
    ["Functions", list(job.functions)],
    ["Tags", list(job.tags)],
    ["Posted", { at: job.timestamp }],
    ["Due", job.state === "scheduled" ? { at: job.due_at } : null],
    ["Started", { at: job.processing_started }],
    ["Ended", { at: job.processing_finished }],
    ["Took", job.processing_finished ? took(job) : null],
    ["Worker", job.worker],
    ["Attempts", attempts ? `${attempts}${allowed ? ` of ${Number(allowed) + 1}` : ""}` : null],
    ["Failures", job.failures ? count(job.failures) : null],
    ["Crashes", job.crashes ? count(job.crashes) : null],
    ["Given back", job.retries ? `${count(job.retries)}×` : null],
    ["Timeout", job.timeout ? duration(job.timeout) : null],
    ["Callback", job.callback ? withoutPassword(job.callback) : null],
  ].map(([name, value, href]) => ({ name, value, href }));
  each(place, all.filter(({ value }) => isInstant(value) ? value.at : value), ({ name }) => name, fact);
}

function fact({ name, value, href }) {
  const shown = isInstant(value) ? when(value.at) : href ? h("a", { href, class: "said" }) : h("span", { class: "said" });
  return {
    node: h("div", {}, h("dt", {}, name), h("dd", {}, shown)),
    update(now) {
      if (isInstant(now.value)) setWhen(shown, now.value.at);
      else say(shown, now.value);
      if (now.href) set(shown, "href", now.href);
    },
  };
}

function isInstant(value) {
  return value !== null && typeof value === "object";
}

function list(values) {
  return Array.isArray(values) && values.length ? values.join(", ") : null;
}

/** Write a URL without the name and password that it may carry. It is shown as text: a callback is not there to be opened. */
function withoutPassword(text) {
  try {
    const url = new URL(text);
    if (!url.username && !url.password) return text;
    url.username = url.password = "";
    return url.href;
  } catch {
    return text;
  }
}
