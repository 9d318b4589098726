// Dark, light, or as the system has it: one button that goes round.

const NEXT = { auto: "dark", dark: "light", light: "auto" };
const WORDS = { auto: "Auto", dark: "Dark", light: "Light" };

/** Make `button` the switch of the page's colours. */
export function themeButton(button) {
  const root = document.documentElement;
  const show = () => {
    const now = root.dataset.theme || "auto";
    button.textContent = WORDS[now];
    button.setAttribute("aria-label", `Colours: ${WORDS[now]}. Switch to ${WORDS[NEXT[now]]}.`);
  };
  button.addEventListener("click", () => {
    const next = NEXT[root.dataset.theme || "auto"];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("mlq.theme", next);
    } catch {
      // Then it holds for this page only.
    }
    show();
  });
  show();
}
