// What happened to a job, in order: from its record, and from what is heard while one looks.

import { each, h, say } from "./dom.js";
import { clock, instant } from "./format.js";

const MOST = 200;

/** Return `{node, record(job), heard(at, key, words)}`. */
export function timeline() {
  const node = h("ol", { class: "timeline" });
  const entries = new Map();

  const note = (at, key, words, state = "") => {
    if (at === null) return;
    entries.set(key, { key, at, words, state });
    if (entries.size > MOST) entries.delete(entries.keys().next().value);
  };
  const draw = () => {
    const sorted = [...entries.values()].sort((one, other) => one.at - other.at);
    each(node, sorted, ({ key }) => key, entry);
  };
  return {
    node,
    /** Take the instants of a record. */
    record(job) {
      note(instant(job.timestamp), "posted", "posted", "queued");
      const attempt = Number(job.attempt) || 1;
      note(instant(job.processing_started), `running ${attempt}`, attempt > 1 ? `running, attempt ${attempt}` : "running", "running");
      if (["succeeded", "dead", "canceled"].includes(job.state)) {
        note(instant(job.processing_finished), `${job.state} ${attempt}`, job.state, job.state);
      }
      draw();
    },
    /** Take what was heard; the same key later is the same entry. */
    heard(at, key, words, state = "") {
      if (entries.has(key) && state) return;
      note(at, key, words, state);
      draw();
    },
  };
}

function entry() {
  const at = h("time");
  const words = h("span", { class: "said" });
  const node = h("li", {}, words, at);
  return {
    node,
    update(now) {
      node.dataset.state = now.state;
      say(at, clock(now.at));
      at.title = new Date(now.at).toLocaleString();
      say(words, now.words);
    },
  };
}
