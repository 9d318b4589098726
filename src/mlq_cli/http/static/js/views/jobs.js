// The list of jobs, live, by state and queue, page by page.

import { get } from "../api.js";
import { each, h, put } from "../dom.js";
import { jobRow, jobTable } from "../jobrow.js";
import { atMost } from "../live.js";
import { watchOverview } from "../overview.js";
import { choice, empty, STATES } from "../parts.js";
import { address } from "../router.js";

const PAGE = 50;
const GAP = 1000; // milliseconds between two looks

/** Show the list in `place`; `query` may hold state, queue, cursor. */
export function jobs(place, app) {
  const { query, signal } = app;
  const list = jobTable("Jobs");
  const content = h("div", { class: "busy" });
  const pages = h("nav", { class: "pages", "aria-label": "Pages" });
  const queuePlace = h("span", { class: "choice" });
  put(place, h("div", { class: "head" }, h("h1", {}, "Jobs"), queuePlace), filters(query), content, pages);

  let known = "";
  watchOverview(app, ({ queues }) => {
    const names = [...new Set([query.queue, ...queues.map(({ queue }) => queue)])].filter(Boolean);
    if (known === (known = names.join(" "))) return;
    const values = [["", "All queues"], ...names.map((name) => [name, name])];
    put(queuePlace, choice("Queue", values, query.queue || "", (queue) => {
      location.hash = address("jobs", { state: query.state, queue });
    }));
  });

  const look = atMost(GAP, async () => {
    if (document.hidden || signal.aborted) return;
    const { state, queue, cursor } = query;
    const page = await get("jobs", { state, queue, cursor, limit: PAGE }, { signal });
    each(list.body, page.jobs, ({ id }) => id, jobRow);
    put(content, page.jobs.length ? list.node : nothing(query));
    turn(pages, query, page.next);
  });
  app.live.on("jobs", look, signal);
  app.live.on("link", ({ state }) => state === "open" && look(), signal);
  document.addEventListener("visibilitychange", look, { signal });
  look();
}

function filters(query) {
  const link = (state, words) =>
    h("a", { href: address("jobs", { state, queue: query.queue }), "aria-current": (query.state || "") === state ? "true" : null }, words);
  return h("nav", { class: "filters", "aria-label": "States" }, link("", "all"), ...STATES.map((state) => link(state, state)));
}

function turn(pages, query, next) {
  const { state, queue, cursor } = query;
  const first = cursor ? h("a", { href: address("jobs", { state, queue }) }, "Newest") : null;
  const older = next ? h("a", { href: address("jobs", { state, queue, cursor: next }) }, "Older") : null;
  const now = [first, older].filter(Boolean).map((link) => link.href).join(" ");
  if (pages.dataset.links === now) return;
  pages.dataset.links = now;
  put(pages, first, older);
}

function nothing({ state, queue, cursor }) {
  if (cursor) return h("p", { class: "muted" }, "There are no older jobs.");
  if (state || queue) return h("p", { class: "muted" }, `No job ${state ? `is ${state}` : "is there"}${queue ? ` in ${queue}` : ""}.`);
  return empty("There are no jobs. Post one:", "mlq post '{\"arg1\": 6, \"arg2\": 3}'");
}
