// One job as a row of a table.

import { h, say } from "./dom.js";
import { brief, count, duration, instant, setWhen, when } from "./format.js";
import { cell, jobLink, pill, progress, table } from "./parts.js";

const COLUMNS = [
  { name: "Job" }, { name: "State" }, { name: "Queue" }, { name: "Progress" }, { name: "Posted" },
  { name: "Took", right: true }, { name: "Says" },
];

/** Return the table of jobs and its body, to be filled with `jobRow`s. */
export function jobTable(caption) {
  return table(caption, COLUMNS, "lines");
}

/** Return the row of a job: `{node, update(job)}`. */
export function jobRow(job) {
  const state = pill(job.state);
  const bar = progress();
  const queue = h("span", { class: "said" }, job.queue);
  const posted = when(job.timestamp);
  const took = h("span");
  const says = h("span", { class: "said" });
  const node = h("tr", { role: "row" },
    cell("Job", jobLink(job.id)), cell("State", state.node), cell("Queue", queue), cell("Progress", bar.node, { kind: "wide" }),
    cell("Posted", posted, { kind: "at" }), cell("Took", took, { right: true }), cell("Says", says, { kind: "says" }));
  return {
    node,
    update(now) {
      state.update(now.state);
      bar.update(now);
      say(queue, now.queue);
      setWhen(posted, now.timestamp);
      showTook(took, now);
      say(says, remark(now));
      says.title = now.error ? brief(now.error, 1000) : "";
    },
  };
}

function showTook(node, job) {
  if (job.state === "running" && job.processing_started) {
    if (node.firstElementChild?.tagName !== "TIME") node.replaceChildren(when(job.processing_started, "for"));
    else setWhen(node.firstElementChild, job.processing_started, "for");
  } else say(node, took(job));
}

/** Write how long the last attempt of a job took. */
export function took({ processing_started: began, processing_finished: finished }) {
  const [from, to] = [instant(began), instant(finished)];
  return from === null || to === null || to < from ? "–" : duration((to - from) / 1000);
}

function remark(job) {
  switch (job.state) {
    case "dead": return brief(job.error || "", 160);
    case "succeeded": return brief(job.short_result || "", 160);
    case "running": return job.worker ? `on ${job.worker}` : "";
    case "queued": return line(job);
    case "scheduled": return job.failures ? `tries again; ${brief(job.error || "", 120)}` : "waits for its time";
    case "blocked": return "waits for other jobs";
    default: return "";
  }
}

/** Say where in its line a queued job stands. */
export function line({ position, estimated_wait: wait }) {
  if (position === null || position === undefined) return "";
  const place = position === 0 ? "next in line" : `${count(position)} before it`;
  return wait === null || wait === undefined ? place : `${place}, about ${duration(wait)}`;
}
