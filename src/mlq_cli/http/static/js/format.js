// How numbers, times and values are written for people.

import { write } from "./exact.js";
import { h, say, set } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en");
let skew = 0; // milliseconds by which the server's clock is ahead of this one

/** Learn the server's clock from the Date of an answer, if it is off by more than an answer takes. */
export function learnClock(header) {
  const theirs = Date.parse(header || "");
  if (!Number.isNaN(theirs)) skew = Math.abs(theirs - Date.now()) > 3000 ? theirs - Date.now() : 0;
}

/** Return an instant (seconds, or ISO 8601) in milliseconds; null when there is none. */
export function instant(value) {
  if (value === null || value === undefined || value === "") return null;
  const number = typeof value === "string" && !/^[\d.]+$/.test(value) ? Date.parse(value) : Number(value) * 1000;
  return Number.isFinite(number) ? number : null;
}

/** Write a whole number: 12,345. */
export function count(number) {
  return number === null || number === undefined ? "–" : NUMBER.format(Math.round(Number(number)));
}

/** Write jobs a second. */
export function rate(number) {
  const value = Number(number) || 0;
  if (value === 0) return "0/s";
  return `${value >= 100 ? NUMBER.format(Math.round(value)) : value >= 10 ? value.toFixed(0) : value.toFixed(1)}/s`;
}

/** Write seconds: 40 ms, 3.2 s, 4 min 10 s, 2 h 5 min, 3 d. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(Number(seconds))) return "–";
  const s = Math.max(0, Number(seconds));
  if (s < 0.0005) return "0 s";
  if (s < 1) return `${Math.max(1, Math.round(s * 1000))} ms`;
  if (s < 10) return `${s.toFixed(1)} s`.replace(".0 ", " ");
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return pair(Math.floor(s / 60), "min", Math.floor(s % 60), "s");
  if (s < 86400) return pair(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return pair(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

function pair(large, unit, small, part) {
  return small ? `${large} ${unit} ${small} ${part}` : `${large} ${unit}`;
}

/** Return a <time> that says how long ago or ahead an instant is, and keeps saying so. `kind`: "ago" or "for". */
export function when(value, kind = "ago") {
  const node = h("time");
  setWhen(node, value, kind);
  return node;
}

/** Give such a <time> another instant. */
export function setWhen(node, value, kind = "ago") {
  const at = instant(value);
  if (at === null) {
    delete node.dataset.at;
    set(node, "title", null);
    say(node, "–");
    return;
  }
  node.dataset.at = String(at);
  node.dataset.kind = kind;
  const date = new Date(at);
  if (!Number.isNaN(date.getTime())) {
    set(node, "datetime", date.toISOString());
    set(node, "title", date.toLocaleString());
  }
  tell(node);
}

function tell(node) {
  const seconds = (Date.now() + skew - Number(node.dataset.at)) / 1000;
  if (node.dataset.kind === "for") say(node, coarse(seconds));
  else if (seconds < -0.5) say(node, `in ${coarse(-seconds)}`);
  else say(node, seconds < 2 ? "now" : `${coarse(seconds)} ago`);
}

function coarse(seconds) {
  return seconds >= 1 && seconds < 60 ? `${Math.floor(seconds)} s` : duration(Math.max(0, seconds));
}

/** Let all times on the page go on; called once a second. */
export function tick() {
  for (const node of document.querySelectorAll("time[data-at]")) tell(node);
}

/** Write a clock time of today, with milliseconds: 12:04:31.250. */
export function clock(milliseconds) {
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime())) return "";
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Write any value on one line, at most so long. */
export function brief(value, most = 120) {
  const text = typeof value === "string" ? value : value === undefined ? "" : write(value, 0);
  const line = text.slice(0, most * 4).replace(/\s+/g, " ");
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** Write a size: 1.4 MiB. */
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < 3) [value, unit] = [value / 1024, unit + 1];
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}
