// The workers that are alive, what their executors are at.

import { get } from "../api.js";
import { each, h, put, say, set } from "../dom.js";
import { brief, count, setWhen, when } from "../format.js";
import { atMost } from "../live.js";
import { watchOverview } from "../overview.js";
import { empty, jobLink, progress } from "../parts.js";

const MOST = 200; // running jobs that are shown
const CELLS = 64; // executors drawn one by one

/** Show the workers in `place`. */
export function workers(place, app) {
  const list = h("ul", { class: "workers" });
  const none = empty("No worker is alive. Start one in the folder of your package:",
    "mlq worker --fn mypkg.tasks:multiply");
  const content = h("div", {});
  put(place, h("h1", {}, "Workers"), content);
  let running = null; // by worker; what it says itself is some seconds old
  let known = [];

  const draw = () => {
    const shown = known.map((worker) => {
      const jobs = running?.get(worker.name) || [];
      return { ...worker, jobs, busy: running ? jobs.length : Number(worker.running) || 0 };
    });
    each(list, shown, ({ name }) => name, card);
    put(content, shown.length ? list : none);
  };
  const look = atMost(1000, async () => {
    if (document.hidden || app.signal.aborted) return;
    const { jobs } = await get("jobs", { state: "running", limit: MOST }, { signal: app.signal });
    running = Map.groupBy ? Map.groupBy(jobs, ({ worker }) => worker) : grouped(jobs);
    draw();
  });
  watchOverview(app, ({ workers: alive }) => {
    known = alive;
    draw();
  });
  app.live.on("jobs", look, app.signal);
  look();
}

function grouped(jobs) {
  const groups = new Map();
  for (const job of jobs) groups.set(job.worker, [...(groups.get(job.worker) || []), job]);
  return groups;
}

function card({ name }) {
  const place = h("span", { class: "said" });
  const since = when(null, "for");
  const functions = h("span", { class: "said" });
  const queues = h("span", { class: "said" });
  const cells = h("span", { class: "executors", role: "img" });
  const load = h("span");
  const done = h("span");
  const jobs = h("ul", { class: "at-work" });
  const facts = [["At", place], ["Up for", since], ["Queues", queues], ["Functions", functions], ["Done", done]];
  const node = h("li", {},
    h("div", { class: "head" }, h("h2", { class: "said" }, name), h("span", { class: "load" }, cells, load)),
    h("dl", { class: "facts" }, ...facts.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value)))),
    jobs);
  return {
    node,
    update(now) {
      say(place, [now.host, now.pid].filter(Boolean).join(", process "));
      setWhen(since, now.started_at, "for");
      say(queues, words(now.queues) || "callbacks only");
      say(functions, words(now.functions) || "none of its own");
      say(done, count(now.done || 0));
      const executors = Number(now.executors) || 0;
      const { busy } = now;
      say(load, executors ? `${busy} running, ${executors} executor${executors === 1 ? "" : "s"}` : "");
      set(cells, "aria-label", `${busy} of ${executors} executors busy`);
      each(cells, slots(executors, busy), ({ number }) => number, slot);
      each(jobs, now.jobs, ({ id }) => id, work);
    },
  };
}

function words(value) {
  return (Array.isArray(value) ? value : String(value || "").split(" ")).filter(Boolean).join(", ");
}

function slots(executors, busy) {
  return Array.from({ length: Math.min(executors, CELLS) }, (_, number) => ({ number, busy: number < busy }));
}

function slot() {
  const node = h("i");
  return { node, update: ({ busy }) => (node.className = busy ? "busy" : "") };
}

function work(job) {
  const bar = progress();
  const since = when(job.processing_started, "for");
  const what = h("span", { class: "said muted" });
  const node = h("li", {}, jobLink(job.id), bar.node, since, what);
  return {
    node,
    update(now) {
      bar.update(now);
      setWhen(since, now.processing_started, "for");
      say(what, brief([now.queue, ...(now.functions || [])].join(" · "), 80));
    },
  };
}
