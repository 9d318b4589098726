// Elements made in code. Text goes in as text, whatever it says: there is no way from here to markup.

const SVG = "http://www.w3.org/2000/svg";
const ATTRIBUTES = new Set(
  ("id class href rel target type value max min step name for role title tabindex placeholder rows open disabled hidden " +
    "selected scope colspan datetime autocomplete spellcheck required lang inputmode maxlength download " +
    "viewBox points d x y width height preserveAspectRatio focusable").split(" "),
);

/** Return an element. `attributes` may hold `on: {event: function}` and `data: {name: text}`; children are nodes or text. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Return an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, action] of Object.entries(value)) node.addEventListener(event, action);
    else if (name === "data") Object.assign(node.dataset, value);
    else set(node, name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Set an attribute, or take it away with null or false. Only names that cannot run anything are taken. */
export function set(node, name, value) {
  if (!ATTRIBUTES.has(name) && !name.startsWith("aria-")) throw new Error(`no attribute for us: ${name}`);
  if (name === "href" && !value.startsWith("#")) throw new Error("a link that leaves this page");
  if (value === null || value === false || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Make `text` what a node says. Touches nothing that says it already, so a selection stays. */
export function say(node, text) {
  const said = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== said) node.textContent = said;
}

/** Make `children` all that a node holds. */
export function put(node, ...children) {
  const wanted = children.flat().filter(Boolean);
  const there = node.childNodes;
  if (there.length === wanted.length && wanted.every((child, index) => child === there[index])) return; // focus stays
  node.replaceChildren(...wanted);
}

const rows = new WeakMap();

/**
 * Show `items` as children of `parent`, one each, in their order. `make(item)` returns `{node, update(item)}`; nodes are
 * kept by key, so that focus, selection and what is folded open stay where they are.
 */
export function each(parent, items, key, make) {
  const before = rows.get(parent) || new Map();
  const after = new Map();
  for (const item of items) {
    const name = key(item);
    if (after.has(name)) continue;
    const row = before.get(name) || make(item);
    row.update(item);
    after.set(name, row);
  }
  for (const [name, row] of before) if (!after.has(name)) row.node.remove();
  let place = parent.firstChild;
  for (const { node } of after.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  rows.set(parent, after);
}
