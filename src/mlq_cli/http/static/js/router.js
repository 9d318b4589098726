// Which view the address asks for: #/jobs/53, #/jobs?state=dead.

/** Take `#/jobs/53?x=y` apart: `{parts: ["jobs", "53"], query: {x: "y"}}`. */
export function route(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** Return the address of a view, with what of `query` is not empty. */
export function address(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value);
  return pairs.length ? `#/${path}?${new URLSearchParams(pairs)}` : `#/${path}`;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
