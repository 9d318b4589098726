// Server-sent events read by fetch, which can carry a token; EventSource cannot.

import { Problem, request } from "./api.js";

const SILENCE = 45_000; // milliseconds without a sign of life; the server says something every 15 s
const LONGEST = 64 * 1024 * 1024; // characters of one event
const WAITS = { first: 500, most: 5_000 };

/**
 * Follow a path until the server says that it has ended (204), `ended()` is true when a stream closes, or `signal` aborts.
 * `onEvent({id, kind, data})` gets each event, `onLink("open" | "lost", reason)` how the connection is. Resumes behind the
 * last id, which `place.last` keeps between calls. Returns when there is nothing more to follow; throws Problem when the path will never work (403, 404 …).
 */
export async function follow(path, { onEvent, onLink = () => {}, ended = () => false, signal, place = { last: "" } }) {
  place.wait ??= WAITS.first;
  let tries = 0;
  while (!signal.aborted) {
    try {
      const answer = await open(path, place.last, signal);
      if (answer === null) return;
      onLink("open");
      await read(answer, place, signal, (event) => {
        tries = 0;
        onEvent(event);
      });
      if (ended()) return;
      onLink("lost", "the server has ended the stream");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500 && error.status !== 429) throw error;
      onLink("lost", error instanceof Problem ? error.message : "the server is out of reach");
    }
    if (signal.aborted) return;
    // The first time soon: mostly the server was started anew, or a proxy has ended a long answer.
    const wait = tries ? Math.min(WAITS.most, place.wait * 2 ** (tries - 1)) : WAITS.first;
    await pause(wait * (0.75 + Math.random() / 2), signal);
    tries = Math.min(tries + 1, 10);
  }
}

async function open(path, last, signal) {
  const headers = { Accept: "text/event-stream" };
  if (last) headers["Last-Event-ID"] = last;
  const answer = await request(path, { headers, signal });
  return answer.status === 204 ? null : answer;
}

async function read(answer, place, signal, onEvent) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const take = parser(place, onEvent);
  try {
    for (;;) {
      const { done, value } = await alive(reader);
      if (done || signal.aborted) return;
      take(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Read on; a connection that says nothing for long is dead, whatever TCP believes. */
function alive(reader) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TypeError("silence")), SILENCE);
  });
  return Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
}

/** Return a function that takes pieces of a stream as they come and tells the whole events in it. */
export function parser(place, onEvent) {
  let rest = "";
  let event = { kind: "message", data: [], id: null };
  const line = (text) => {
    if (text === "") {
      if (event.id !== null) place.last = event.id;
      if (event.data.length) onEvent({ id: event.id, kind: event.kind, data: event.data.join("\n") });
      event = { kind: "message", data: [], id: null };
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (name === "event") event.kind = value;
    else if (name === "data") event.data.push(value);
    else if (name === "id" && !value.includes("\0")) event.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) place.wait = Math.min(WAITS.most, Number(value));
  };
  return (piece) => {
    rest += piece;
    if (rest.length > LONGEST) throw new TypeError("an event without end");
    // A "\r" at the very end may be half of a "\r\n".
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
