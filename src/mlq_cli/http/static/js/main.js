// Starts the page: the frame around the views, the live connection, and the view that the address asks for.

import { askAgain } from "./token.js";
import { count, tick } from "./format.js";
import { h, put, say, set } from "./dom.js";
import { History } from "./history.js";
import { Live } from "./live.js";
import { route } from "./router.js";
import { themeButton } from "./theme.js";
import { mention } from "./notices.js";
import { get } from "./api.js";
import { dead } from "./views/dead.js";
import { job } from "./views/job.js";
import { jobs } from "./views/jobs.js";
import { overview } from "./views/overview.js";
import { post } from "./views/post.js";
import { schedules } from "./views/schedules.js";
import { workers } from "./views/workers.js";

const VIEWS = { "": overview, jobs, dead, workers, schedules, post };
const NAMES = { "": "Overview", jobs: "Jobs", dead: "Dead letters", workers: "Workers", schedules: "Schedules", post: "Post a job" };
const LINKS = { opening: "connecting", open: "live", lost: "connection lost", refused: "not allowed" };

const UNSIGNED =
  "Insecure: this server takes functions that nobody has signed. Whoever reaches it can run code on the workers.";

const main = document.getElementById("main");
const app = { live: new Live(), history: new History() };
let leaving = new AbortController();

function show({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { parts, query } = route(location.hash);
  const name = Object.hasOwn(VIEWS, parts[0] || "") ? parts[0] || "" : null;
  const id = name === "jobs" ? parts[1] : undefined;
  for (const link of document.querySelectorAll("[data-view]")) {
    set(link, "aria-current", link.dataset.view === (name || "overview") ? "page" : null);
  }
  document.title = id ? `Job ${id} – mlq` : `${NAMES[name ?? ""]} – mlq`;
  const place = h("div", { class: `view ${id ? "job" : name || "overview"}` });
  put(main, place);
  if (name === null) put(place, h("h1", {}, "There is no such view"), h("p", {}, h("a", { href: "#/" }, "Overview")));
  else {
    const view = id ? job : VIEWS[name];
    Promise.resolve(view(place, { ...app, id, query, signal: leaving.signal })).catch(mention);
  }
  if (focus) main.focus({ preventScroll: true });
  if (focus) scrollTo(0, 0);
}

function frame() {
  const sign = document.getElementById("live");
  app.live.on("link", ({ state, reason }) => {
    sign.dataset.live = state;
    set(sign, "title", reason || null);
    if (state === "refused") {
      const again = () => (askAgain(), location.reload());
      put(sign, h("button", { type: "button", class: "quiet", on: { click: again } }, "Use a token"));
    } else say(sign, LINKS[state]);
  });
  app.live.on("overview", (now) => {
    app.history.take(now.queues);
    say(document.getElementById("namespace"), now.namespace);
    alarm(now.server.unsigned_functions ? UNSIGNED : "");
    badge("dead-count", now.queues.reduce((sum, queue) => sum + (queue.states.dead || 0), 0));
    badge("worker-count", now.workers.length);
  });
  themeButton(document.getElementById("theme"));
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  get("schedules").then(({ schedules: found }) => {
    document.getElementById("schedules-tab").hidden = !found.length;
  }, () => {});
}

function alarm(words) {
  const node = document.getElementById("alarm");
  node.hidden = !words;
  say(node, words);
}

function badge(id, number) {
  const node = document.getElementById(id);
  node.hidden = !number;
  say(node, count(number));
}

frame();
addEventListener("hashchange", () => show());
show({ focus: false });
app.live.start(new AbortController().signal);
app.history.start();
setInterval(tick, 1000);
