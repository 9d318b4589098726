// A small curve: what came in (area) and what went out (line) in the last minutes.

import { set, svg } from "./dom.js";
import { WINDOW } from "./history.js";

const WIDE = 120;
const HIGH = 28;

/** Return `{node, update(samples)}`. */
export function spark(label) {
  const area = svg("path", { class: "spark-in" });
  const line = svg("path", { class: "spark-out" });
  const node = svg("svg", {
    class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": label, focusable: "false",
  }, area, line);
  return {
    node,
    update(samples) {
      const most = Math.max(1, ...samples.map(([posted, ended]) => Math.max(posted, ended)));
      const step = WIDE / (WINDOW.samples - 1);
      const first = WIDE - step * (samples.length - 1);
      const at = (value, index) => `${(first + index * step).toFixed(1)} ${(HIGH - 1 - (value / most) * (HIGH - 3)).toFixed(1)}`;
      const path = (which) => samples.map((pair, index) => `${index ? "L" : "M"}${at(pair[which], index)}`).join("");
      const drawn = samples.length > 1;
      set(area, "d", drawn ? `${path(0)}L${WIDE} ${HIGH}L${first.toFixed(1)} ${HIGH}Z` : "");
      set(line, "d", drawn ? path(1) : "");
    },
  };
}
