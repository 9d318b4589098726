// Talks to the routes: the token, the errors, JSON in and out.

import { parse } from "./exact.js";
import { learnClock } from "./format.js";
import { askToken, token } from "./token.js";

const ROOT = new URL(".", document.baseURI);

/** What a route answered instead of what was asked for; its message is made for people. */
export class Problem extends Error {
  constructor(status, said) {
    super([said.detail || said.title || `the server answered ${status}`, said.hint].filter(Boolean).join(" – "));
    this.status = status;
    this.code = said.code;
  }
}

/** Send a request; a 401 asks for a token and tries again. Throws Problem, TypeError when the server is out of reach. */
export async function request(path, options = {}) {
  for (;;) {
    const used = token();
    const headers = { Accept: "application/json", ...options.headers };
    if (used) headers.Authorization = `Bearer ${used}`;
    const answer = await fetch(new URL(path, ROOT), {
      ...options,
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
    if (answer.status === 401 && (token() !== used || (await askToken(Boolean(used))))) continue;
    if (!answer.ok) throw new Problem(answer.status, await problem(answer));
    return answer;
  }
}

async function problem(answer) {
  try {
    const said = await answer.json();
    return said && typeof said === "object" ? said : {};
  } catch {
    return {};
  }
}

/** GET a path with what of `query` is not empty; returns the parsed answer. */
export async function get(path, query = {}, options = {}) {
  const answer = await request(withQuery(path, query), options);
  learnClock(answer.headers.get("Date"));
  return parse(await answer.text());
}

/** Send a body (a value, or JSON as text) by POST or another method; returns the parsed answer, null if it is empty. */
export async function send(path, body = null, { method = "POST", ...options } = {}) {
  const given = body === null ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const headers = body === null ? {} : { "Content-Type": "application/json" };
  const answer = await request(path, { method, headers, ...given, ...options });
  const text = await answer.text();
  return text ? parse(text) : null;
}

/** Save what a path answers under a name. Never shown by the browser: its type says that it is nothing. */
export async function save(path, name) {
  const answer = await request(path, { headers: { Accept: "*/*" } });
  const blob = new Blob([await answer.arrayBuffer()], { type: "application/octet-stream" });
  saveBlob(blob, name);
}

/** Save bytes under a name. */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\w.-]+/g, "_");
  link.rel = "noopener";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Put a query behind a path. */
export function withQuery(path, query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

/** Return the path of a job. */
export function jobPath(id, rest = "") {
  return `jobs/${encodeURIComponent(id)}${rest}`;
}
