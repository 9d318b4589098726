// The first view: totals, queues, and what runs and has run.

import { send } from "../api.js";
import { each, h, put, say, set } from "../dom.js";
import { count, duration, rate } from "../format.js";
import { latest } from "../latest.js";
import { tell } from "../notices.js";
import { watchOverview } from "../overview.js";
import { button, cell, empty, table } from "../parts.js";
import { address } from "../router.js";
import { spark } from "../spark.js";

const COLUMNS = [
  { name: "Queue" }, { name: "Queued", right: true }, { name: "Running", right: true }, { name: "Scheduled", right: true },
  { name: "Succeeded", right: true }, { name: "Dead", right: true }, { name: "Oldest waits", right: true },
  { name: "In / out" }, { name: "Action", hide: true },
];
const CURVE = "Jobs posted (area) and succeeded (line) in the last three minutes";

/** Show the overview in `place`. */
export function overview(place, app) {
  const totals = h("dl", { class: "totals" });
  const doubts = h("ul", { class: "doubts" });
  const queues = table("Queues", COLUMNS);
  const queuePlace = h("div", {});
  const jobs = latest(app);
  put(place, h("h1", { class: "unseen" }, "Overview"), totals, doubts, section("Queues", queuePlace),
    section("Running", jobs.running, h("a", { href: address("jobs", { state: "running" }) }, "All that run")),
    section("Ended last", jobs.ended, h("a", { href: "#/jobs" }, "All jobs")));

  const showQueues = (now) => {
    each(totals, figures(now), ({ name }) => name, figure);
    each(doubts, now.server.doubts || [], (words) => words, (words) => ({ node: h("li", { class: "said" }, words), update() {} }));
    const rows = now.queues.map((queue) => ({ ...queue, samples: app.history.of(queue.queue) }));
    each(queues.body, rows, ({ queue }) => queue, queueRow);
    put(queuePlace, rows.length ? queues.node : newcomer(now));
  };
  watchOverview(app, showQueues);
  const timer = setInterval(() => app.live.overview && showQueues(app.live.overview), 2000);
  app.signal.addEventListener("abort", () => clearInterval(timer));
}

function section(title, content, more = null) {
  return h("section", {}, h("div", { class: "head" }, h("h2", {}, title), more), content);
}

function figures({ queues, workers, rates }) {
  const sum = (...states) => queues.reduce((all, queue) => all + states.reduce((n, state) => n + (queue.states[state] || 0), 0), 0);
  const dead = sum("dead");
  const running = sum("running");
  const each = (name) => rates[name] ?? queues.reduce((all, queue) => all + (queue.rates[name] || 0), 0);
  return [
    { name: "Waiting", value: count(sum("queued", "scheduled", "blocked")), href: address("jobs", { state: "queued" }) },
    { name: "Running", value: count(running), href: address("jobs", { state: "running" }) },
    { name: "Dead", value: count(dead), href: "#/dead", kind: dead ? "bad" : "" },
    { name: "Posted", value: rate(each("posted")) },
    { name: "Succeeded", value: rate(each("succeeded")) },
    { name: "Workers", value: count(workers.length), href: "#/workers", kind: workers.length ? "" : "bad" },
  ];
}

function figure({ name, href }) {
  const value = href ? h("a", { href }) : h("span");
  const node = h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return {
    node,
    update(now) {
      say(value, now.value);
      node.className = now.kind || "";
    },
  };
}

function queueRow({ queue }) {
  const ours = queue.startsWith("_");
  const paused = h("span", { class: "pill", data: { state: "paused" } }, "paused");
  const states = ["queued", "running", "scheduled", "succeeded", "dead"];
  const links = states.map((state) => h("a", { href: state === "dead" ? address("dead", { queue }) : address("jobs", { state, queue }) }));
  const oldest = h("span");
  const curve = spark(`${CURVE}, queue ${queue}`);
  const flow = h("span", { class: "flow" });
  const act = button("Pause", async (node) => {
    const verb = node.dataset.verb;
    await send(`queues/${encodeURIComponent(queue)}/${verb}`);
    tell(verb === "pause" ? `Queue ${queue} is paused; running jobs go on.` : `Queue ${queue} goes on.`);
  }, { class: "small", "aria-label": `Pause queue ${queue}` });
  const labels = ["Queued", "Running", "Scheduled", "Succeeded", "Dead"];
  const node = h("tr", { role: "row" },
    cell("Queue", h("span", { class: "name" }, h("a", { href: address("jobs", { queue }), class: "said" }, queue), paused)),
    ...links.map((link, index) => cell(labels[index], link, { right: true })),
    cell("Oldest waits", oldest, { right: true }),
    cell("In / out", h("span", { class: "rates" }, curve.node, flow), { kind: "wide" }),
    cell("", ours ? null : act, { right: true, kind: "act" }));
  return {
    node,
    update(now) {
      paused.hidden = !now.paused;
      states.forEach((state, index) => {
        say(links[index], count(now.states[state] || 0));
        links[index].className = now.states[state] ? (state === "dead" ? "bad" : "") : "zero";
      });
      say(oldest, now.states.queued ? duration(now.oldest_waiting) : "–");
      curve.update(now.samples);
      say(flow, `${rate(now.rates.posted)} · ${rate(now.rates.succeeded)}`);
      act.dataset.verb = now.paused ? "resume" : "pause";
      say(act, now.paused ? "Resume" : "Pause");
      set(act, "aria-label", `${now.paused ? "Resume" : "Pause"} queue ${now.queue}`);
    },
  };
}

function newcomer({ workers }) {
  const sentence = "Nothing was ever posted here. Post a job, then let a worker run your function on it:";
  const commands = ["mlq post '{\"arg1\": 6, \"arg2\": 3}'", ...(workers.length ? [] : ["mlq worker --fn mypkg.tasks:multiply"])];
  return empty(sentence, commands.join("\n"));
}
