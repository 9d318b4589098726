// The namespace at a glance, in the form that the views read.

import { get } from "./api.js";
import { mention } from "./notices.js";

/** Bring what the routes or an event gave into one form: `{namespace, server, queues, workers, rates}`. */
export function normal(given) {
  const stats = given.stats || given;
  const workers = [given.workers, stats.workers].find(Array.isArray) || [];
  const queues = (stats.queues || []).map((queue) => ({ stats: {}, rates: {}, ...queue, states: queue.states || {} }));
  return { namespace: stats.namespace || "", server: stats.server || {}, rates: stats.rates || {}, queues, workers };
}

/** Ask for it. */
export async function askOverview(signal) {
  const [stats, { workers }] = await Promise.all([get("stats", {}, { signal }), get("workers", {}, { signal })]);
  return normal({ stats, workers });
}

/** Call `action` with the overview as it is and as it changes, until `signal` aborts. */
export async function watchOverview({ live, signal }, action) {
  live.on("overview", action, signal);
  if (live.overview) action(live.overview);
  else {
    try {
      const now = await askOverview(signal);
      if (!live.overview) live.tell("overview", now);
    } catch (error) {
      mention(error);
    }
  }
}
