// One job: its record, what happens to it, what it hands out, what became of it.

import { get, jobPath, Problem, send } from "../api.js";
import { parse } from "../exact.js";
import { h, put, say } from "../dom.js";
import { brief } from "../format.js";
import { facts } from "../facts.js";
import { line } from "../jobrow.js";
import { atMost, whileSeen } from "../live.js";
import { tell } from "../notices.js";
import { button, ended, pill, progress, STATES } from "../parts.js";
import { preview, saveButton } from "../preview.js";
import { follow } from "../sse.js";
import { partStream } from "../stream.js";
import { timeline } from "../timeline.js";
import { traceback } from "../traceback.js";

/** Show the job `id` in `place`. */
export function job(place, app) {
  const { id, signal } = app;
  const page = frame(id);
  put(place, page.node);
  const heardUpTo = { last: "" }; // in the job's events, kept while nobody looks
  let known = null;
  let following = false;

  const show = (change) => {
    known = { ...known, ...change };
    page.update(known);
  };
  const load = atMost(500, async () => {
    try {
      show(await get(jobPath(id), {}, { signal }));
      if (!ended(known.state)) listen();
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
      put(place, h("h1", { class: "said" }, `There is no job ${brief(id, 140)}`),
        h("p", {}, "It may have been purged, or its retention is over. ", h("a", { href: "#/jobs" }, "All jobs")));
    }
  });
  const listen = () => {
    if (following || signal.aborted) return;
    following = true;
    const stop = new AbortController();
    signal.addEventListener("abort", () => stop.abort(), { once: true });
    whileSeen(async (seen) => {
      let over = false;
      const onEvent = (event) => {
        over = heard(event, page, show, known) ?? over;
        if (event.kind === "state") load(); // much of the record goes with it: the worker, instants, the result
      };
      await follow(jobPath(id, "/events"), { onEvent, ended: () => over, signal: seen, place: heardUpTo }).catch(() => {});
      if (seen.aborted) return;
      following = false;
      stop.abort();
      load();
    }, stop.signal);
  };
  const act = (verb, words, confirm) => button(words, async () => {
    show(await (verb === "retry" ? send(jobPath(id, "/retry")) : send(jobPath(id), null, { method: "DELETE" })));
    tell(confirm);
    load();
  });
  page.actions(act("retry", "Retry", `Job ${id} will run again.`), act("cancel", "Cancel", `Job ${id} is asked to stop.`));
  app.live.on("jobs", (news) => {
    // What it says and emits comes by its own stream; when its state is another one, so may be much of its record.
    if (news.some((each) => each.id === id && (STATES.includes(each.word) || !following))) load();
  }, signal);
  load();
  listen(); // also of a job that has ended: what it handed out is told once more
}

/** Take one event; returns whether the job has ended, null when it says nothing about that. */
function heard({ id, kind, data }, page, show, known) {
  const value = parse(data);
  const past = ended(known?.state); // what is told once more of a job that has ended changes nothing about it
  const at = /^\d{12,14}-\d+$/.test(id || "") ? Number(id.split("-")[0]) : Date.now();
  switch (kind) {
    case "state":
      if (!past) show(value);
      if (!ended(value.state)) page.history.heard(at, `${value.state} ${value.attempt || 1}`, value.state, value.state);
      return ended(value.state);
    case "progress":
      if (!past) show({ progress: value });
      page.history.heard(at, "progress", `progress ${brief(value, 80)}`);
      return null;
    case "position":
      if (!past) show(value);
      return null;
    case "part":
      page.parts.add(value);
      return null;
    case "reset":
      page.parts.reset();
      page.history.heard(at, `reset ${id}`, "begun anew; parts so far are void");
      return null;
    default:
      return null;
  }
}

function frame(id) {
  const state = pill("");
  const bar = progress();
  const where = h("span", { class: "muted" });
  const buttons = h("div", { class: "actions" });
  const parts = partStream();
  const history = timeline();
  const about = h("dl", { class: "facts" });
  const error = h("p", { class: "error said" });
  const trace = traceback("", { open: true });
  const failed = h("section", { hidden: true }, h("h2", {}, "Error"), error, trace.node);
  const result = box("Result");
  const message = box("Message");
  const [main, side] = [h("div", { class: "column" }), h("div", { class: "column" })];
  main.append(failed, result.node, parts.node, message.node);
  side.append(h("section", {}, h("h2", {}, "History"), history.node), h("section", {}, h("h2", {}, "Record"), about));
  const node = h("div", {},
    h("div", { class: "head" }, h("h1", { class: "said" }, "Job ", h("span", { class: "id" }, id)), state.node, buttons),
    h("div", { class: "far" }, bar.node, where), h("div", { class: "columns" }, main, side));
  let keep = { retry: null, cancel: null };
  return {
    node, parts, history,
    actions(retry, cancel) {
      keep = { retry, cancel };
      retry.hidden = cancel.hidden = true;
      buttons.append(retry, cancel);
    },
    update(now) {
      state.update(now.state);
      bar.update(now);
      say(where, now.state === "queued" ? line(now) : "");
      keep.retry.hidden = !["dead", "canceled"].includes(now.state);
      keep.cancel.hidden = ended(now.state);
      const bad = Boolean(now.error) && now.state !== "succeeded";
      failed.hidden = !bad;
      say(error, bad ? now.error : "");
      trace.update(bad ? now.traceback : null);
      const done = now.state === "succeeded" && now.result !== undefined && now.processing_finished;
      result.update(done && String(now.processing_finished), now.result, () => [shortResult(now), saveButton(id)]);
      message.update(now.msg !== undefined && "as posted", now.msg);
      if (ended(now.state)) parts.end();
      history.record(now);
      facts(about, now);
    },
  };
}

function shortResult({ short_result: short }) {
  return short === null || short === undefined ? null : h("span", { class: "said short" }, brief(short, 200));
}

/** Return a section that shows one value; drawn again only when its `version` is another one, hidden without one. */
function box(title) {
  const content = h("div", {});
  const more = h("span", { class: "name" });
  const node = h("section", { hidden: true }, h("div", { class: "head" }, h("h2", {}, title), more), content);
  let drawn = false;
  return {
    node,
    update(version, value, extras = () => []) {
      node.hidden = !version;
      if (!version || drawn === version) return;
      drawn = version;
      put(content, ...preview(value));
      put(more, ...extras());
    },
  };
}
