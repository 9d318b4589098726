// The one connection of the page that says what happens; views listen to it.

import { follow } from "./sse.js";
import { parse } from "./exact.js";
import { mention } from "./notices.js";
import { normal } from "./overview.js";

const HIDDEN = 10_000; // milliseconds that a page nobody sees keeps its connections; a browser has six for a server

/** Call `start(signal)` now and whenever the page is seen again; the signal aborts when it is hidden for a while or stops. */
export function whileSeen(start, signal) {
  let running = null;
  let timer = null;
  const begin = () => {
    clearTimeout(timer);
    if (running || signal.aborted) return;
    running = new AbortController();
    start(running.signal);
  };
  const end = () => {
    if (running) running.abort();
    running = null;
  };
  const changed = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(end, HIDDEN);
    else begin();
  };
  document.addEventListener("visibilitychange", changed);
  signal.addEventListener("abort", () => {
    document.removeEventListener("visibilitychange", changed);
    clearTimeout(timer);
    end();
  }, { once: true });
  begin();
}

/** News of the namespace: `on("overview" | "jobs" | "link", f)`. The last overview is kept for views that come later. */
export class Live {
  #heard = new Map();
  overview = null;
  link = { state: "opening", reason: "" };

  /** Call `action` for each such event, until `signal` aborts. */
  on(kind, action, signal) {
    const actions = this.#heard.get(kind) || new Set();
    this.#heard.set(kind, actions.add(action));
    if (signal) signal.addEventListener("abort", () => actions.delete(action), { once: true });
  }

  tell(kind, value) {
    if (kind === "overview") this.overview = value;
    for (const action of this.#heard.get(kind) || []) action(value);
  }

  #linked(state, reason = "") {
    this.link = { state, reason };
    this.tell("link", this.link);
  }

  /** Connect, and stay connected while the page is seen. */
  start(signal) {
    whileSeen((seen) => this.#run(seen), signal);
  }

  async #run(signal) {
    const onEvent = ({ kind, data }) => {
      if (kind === "overview") this.tell(kind, normal(parse(data)));
      else if (kind === "jobs") this.tell(kind, parse(data));
    };
    try {
      await follow("events", { onEvent, onLink: (state, reason) => this.#linked(state, reason), signal });
    } catch (error) {
      this.#linked("refused", error.message);
    }
  }
}

/**
 * Return a function that calls `action` at once, but never twice within `gap` milliseconds nor while it is under way.
 * What goes wrong is said, except that the server is out of reach: the sign of the connection says that.
 */
export function atMost(gap, action) {
  let wanted = false;
  let busy = false;
  const run = async () => {
    if (busy) {
      wanted = true;
      return;
    }
    busy = true;
    wanted = false;
    try {
      await action();
    } catch (error) {
      mention(error);
    } finally {
      setTimeout(() => {
        busy = false;
        if (wanted) run();
      }, gap);
    }
  };
  return run;
}
