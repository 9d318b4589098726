// The token of this tab: asked for when a route wants one, kept until the tab is closed.

import { h, say } from "./dom.js";

const KEY = "mlq.token";
let kept = stored();
let asking = null;
let declined = false;

function stored() {
  try {
    return sessionStorage.getItem(KEY) || "";
  } catch {
    return "";
  }
}

/** Return the token, empty when there is none. */
export function token() {
  return kept;
}

/** Ask for a token, once for all requests that want one. Returns whether there is a new one. */
export function askToken(wrong) {
  if (declined) return Promise.resolve(false);
  asking ||= prompt(wrong).finally(() => (asking = null));
  return asking;
}

/** Let the next 401 ask again. */
export function askAgain() {
  declined = false;
}

function prompt(wrong) {
  const input = h("input", {
    id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, placeholder: "mlq_read_…",
  });
  const dialog = h("dialog", { "aria-labelledby": "token-title" },
    h("form", { on: { submit: (event) => { event.preventDefault(); dialog.close("given"); } } },
      h("h2", { id: "token-title" }, "This server asks for a token"),
      h("p", { class: "muted", id: "token-why" }),
      h("label", { for: "token" }, "Token"),
      input,
      h("p", { class: "muted small" }, "It is kept in this tab only. ", h("code", {}, "mlq token add --role read"), " makes one."),
      h("div", { class: "actions" },
        h("button", { type: "button", on: { click: () => dialog.close("") } }, "Not now"),
        h("button", { type: "submit", class: "main" }, "Use token"),
      ),
    ),
  );
  say(dialog.querySelector("#token-why"), wrong ? "The one that this tab has is not accepted." : "");
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "given" ? input.value.trim() : "";
      dialog.remove();
      declined = !given;
      if (given) keep(given);
      resolve(Boolean(given));
    });
  });
}

function keep(given) {
  kept = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // Then it holds until the page is loaded again.
  }
}
