// The dead-letter queue: what gave up, why, and how to go on.

import { get, send } from "../api.js";
import { each, h, put, say } from "../dom.js";
import { brief, count, setWhen, when } from "../format.js";
import { atMost } from "../live.js";
import { tell } from "../notices.js";
import { watchOverview } from "../overview.js";
import { button, choice, confirmed, jobLink } from "../parts.js";
import { address } from "../router.js";
import { traceback } from "../traceback.js";

const PAGE = 50;

/** Show the dead jobs in `place`; `query` may hold queue, error, cursor. */
export function dead(place, app) {
  const { query, signal } = app;
  const list = h("ul", { class: "dead-list" });
  const content = h("div", {});
  const pages = h("nav", { class: "pages", "aria-label": "Pages" });
  const choices = h("div", { class: "choice" });
  put(place, h("div", { class: "head" }, h("h1", {}, "Dead letters"), choices), content, pages);

  const look = atMost(1000, async () => {
    if (document.hidden || signal.aborted) return;
    const { queue, error, cursor } = query;
    const page = await get("dlq", { queue, error, cursor, limit: PAGE }, { signal });
    each(list, page.jobs, ({ id }) => id, (job) => letter(job, look));
    put(content, page.jobs.length ? list : h("p", { class: "empty" }, "No dead jobs here. A job that has failed for good waits here until you look."));
    const link = (words, next) => h("a", { href: address("dead", { queue, error, cursor: next }) }, words);
    if (!pages.contains(document.activeElement)) put(pages, cursor && link("Newest", ""), page.next && link("Older", page.next));
    types = [...new Set([...types, ...page.jobs.map((job) => job.error_type)])].filter(Boolean).slice(0, 50);
    drawChoices();
  });
  let types = [query.error].filter(Boolean);
  let queues = [query.queue].filter(Boolean);
  let drawn = "";
  const drawChoices = () => {
    if (drawn === (drawn = [...queues, "|", ...types].join(" "))) return;
    const go = (change) => (location.hash = address("dead", { queue: query.queue, error: query.error, ...change }));
    put(choices,
      choice("Queue", [["", "All queues"], ...queues.map((name) => [name, name])], query.queue || "", (queue) => go({ queue })),
      choice("Error", [["", "All errors"], ...types.map((name) => [name, brief(name, 40)])], query.error || "", (error) => go({ error })),
      ...bulk(query, look));
  };
  watchOverview(app, (now) => {
    const found = now.queues.filter(({ states }) => states.dead).map(({ queue }) => queue);
    queues = [...new Set([...queues, ...found])];
    drawChoices();
  });
  drawChoices();
  app.live.on("jobs", look, signal);
  look();
}

function bulk({ queue, error }, look) {
  const which = `${error ? ` with ${error}` : ""}${queue ? ` in ${queue}` : ""}`;
  const retry = button("Retry all", async () => {
    const but = queue ? "" : "; callbacks are left alone";
    if (!(await confirmed("Retry all?", `Every dead job${which} runs again, with all its attempts back${but}.`, "Retry all"))) return;
    const { retried } = await send("dlq/retry", { all: true, ...(queue && { queue }), ...(error && { error_type: error }) });
    tell(`${count(retried)} job${retried === 1 ? "" : "s"} will run again.`);
    look();
  });
  const purge = queue && !error && button("Purge…", async () => {
    if (!(await confirmed("Purge?", `Every dead job in ${queue} is thrown away with its record. There is no way back.`, "Purge"))) return;
    const { purged } = await send("dlq/purge", { queue });
    tell(`${count(purged)} thrown away.`);
    look();
  }, { class: "danger" });
  return [retry, purge];
}

function letter(job, look) {
  const error = h("p", { class: "error said" });
  const facts = h("span", { class: "muted said" });
  const at = when(job.processing_finished);
  const trace = traceback(job.traceback);
  const retry = button("Retry", async () => {
    await send(`jobs/${encodeURIComponent(job.id)}/retry`);
    tell(`Job ${job.id} will run again.`);
    look();
  }, { class: "small", "aria-label": `Retry job ${job.id}` });
  const node = h("li", {},
    h("div", { class: "head" }, h("span", { class: "name" }, jobLink(job.id), facts), h("span", { class: "name" }, at, retry)),
    error, trace.node);
  return {
    node,
    update(now) {
      say(error, brief(now.error || "no reason is known", 600));
      const attempts = Number(now.attempt) || 0;
      say(facts, `${now.queue} · ${attempts} attempt${attempts === 1 ? "" : "s"}${now.worker ? ` · ${now.worker}` : ""}`);
      setWhen(at, now.processing_finished ?? now.timestamp);
      trace.update(now.traceback);
    },
  };
}
