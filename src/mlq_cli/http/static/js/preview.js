// A message or a result, as far as a person wants to see it: text, JSON, a picture, or how many bytes there are.

import { save, jobPath } from "./api.js";
import { write } from "./exact.js";
import { brief, size } from "./format.js";
import { h } from "./dom.js";
import { drawPicture, pictureIn } from "./images.js";
import { button } from "./parts.js";

const MOST = 64_000; // characters
const PICTURES = 8;

/** Return nodes that show a value of a record. */
export function preview(value) {
  const bytes = bytesIn(value);
  if (bytes) return [shownBytes(bytes)];
  if (typeof value === "string") return [text(value)];
  const inside = value && typeof value === "object" ? Object.values(value).slice(0, 1000).map(bytesIn).filter(Boolean) : [];
  const pictures = inside.map((each) => [each, pictureIn(each)]).filter(([, found]) => found).slice(0, PICTURES);
  return [text(write(shortened(value)) ?? "null"), ...pictures.map(([each, found]) => drawPicture(each, found))];
}

/** Return a button that saves the whole result of a job. */
export function saveButton(id) {
  return button("Save result", () => save(jobPath(id, "/result"), `job-${id}`), { class: "small" });
}

function text(value) {
  const node = h("pre", { class: "said value", tabindex: 0 }, value.slice(0, MOST));
  if (value.length <= MOST) return node;
  const rest = h("p", { class: "muted small" }, `The first ${size(MOST)} of ${size(value.length)}.`);
  return h("div", {}, node, rest);
}

function bytesIn(value) {
  if (!value || typeof value !== "object" || typeof value.$bytes !== "string" || Object.keys(value).length !== 1) return null;
  try {
    return Uint8Array.from(atob(value.$bytes), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}

function shownBytes(bytes) {
  const found = pictureIn(bytes);
  if (found) return drawPicture(bytes, found);
  const hex = [...bytes.subarray(0, 64)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return h("div", {}, h("p", {}, `${size(bytes.length)} of binary data.`), h("pre", { class: "value" }, bytes.length > 64 ? `${hex} …` : hex));
}

/** Leave out what nobody reads: base64 of long bytes inside a value. */
function shortened(value, deep = 0) {
  if (!value || typeof value !== "object" || deep > 200) return value;
  if (typeof value.$bytes === "string" && value.$bytes.length > 80) {
    return { $bytes: `${brief(value.$bytes, 40)} (${size(Math.floor(value.$bytes.length * 0.75))})` };
  }
  if (Array.isArray(value)) return value.map((each) => shortened(each, deep + 1));
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shortened(each, deep + 1)]));
}
