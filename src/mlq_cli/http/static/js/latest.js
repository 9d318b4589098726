// What runs, and what has ended last: two short tables.

import { get } from "./api.js";
import { each, h, put } from "./dom.js";
import { instant } from "./format.js";
import { jobRow, jobTable } from "./jobrow.js";
import { atMost } from "./live.js";
import { ended as hasEnded } from "./parts.js";

const MOST = 6; // rows of a table
const QUEUES = 4; // the list goes queue by queue: the busiest are asked

/** Return the places of the two tables, kept fresh until the signal aborts. */
export function latest({ live, signal }) {
  const running = short("Running jobs", "Nothing runs.");
  const ended = short("Jobs that ended last", "Nothing has ended yet.");
  const list = async (query) => (await get("jobs", { limit: MOST, ...query }, { signal })).jobs;
  const away = () => document.hidden || signal.aborted;

  const lookRunning = atMost(1000, async () => {
    if (!away()) running.show(await list({ state: "running" }));
  });
  const lookEnded = atMost(2000, async () => {
    if (away()) return;
    const found = await Promise.all(asked(live.overview).map(list));
    const newest = found.flat().sort((one, other) => instant(other.processing_finished) - instant(one.processing_finished));
    ended.show(newest.slice(0, MOST));
  });
  live.on("jobs", (news) => {
    lookRunning();
    if (news.some(({ word }) => hasEnded(word))) lookEnded();
  }, signal);
  live.on("overview", lookEnded, signal);
  lookRunning();
  lookEnded();
  return { running: running.node, ended: ended.node };
}

function asked(overview) {
  const busy = (state) => (overview?.queues || [])
    .filter(({ queue, states }) => states[state] && !queue.startsWith("_"))
    .sort((one, other) => (other.rates[state] || 0) - (one.rates[state] || 0))
    .slice(0, QUEUES).map(({ queue }) => ({ state, queue }));
  return [...busy("succeeded"), ...busy("dead")];
}

function short(caption, none) {
  const rows = jobTable(caption);
  const node = h("div", {});
  return {
    node,
    show(jobs) {
      each(rows.body, jobs, ({ id }) => id, jobRow);
      put(node, jobs.length ? rows.node : h("p", { class: "muted small" }, none));
    },
  };
}
