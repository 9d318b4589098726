// Rules that post jobs repeatedly; the tab is there only when there are any.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { brief, when } from "../format.js";
import { cell, table } from "../parts.js";

const COLUMNS = [{ name: "Schedule" }, { name: "When" }, { name: "Next" }, { name: "Queue" }, { name: "Message" }];

/** Show the schedules in `place`. */
export async function schedules(place, { signal }) {
  const list = table("Schedules", COLUMNS);
  put(place, h("h1", {}, "Schedules"));
  const { schedules: found } = await get("schedules", {}, { signal });
  const said = (text) => h("span", { class: "said" }, brief(text ?? ""));
  list.body.append(...found.map((each) => h("tr", { role: "row" },
    cell("Schedule", said(each.name ?? each.id)), cell("When", said(each.cron ?? each.every)), cell("Next", when(each.next_at)),
    cell("Queue", said(each.queue)), cell("Message", said(each.msg), { kind: "says" }))));
  place.append(found.length ? list.node : h("p", { class: "muted" }, "There are no schedules."));
}
