// Sets the chosen colours before anything is drawn, so that a dark page never flashes white.
try {
  const chosen = localStorage.getItem("mlq.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; then the system's colours hold.
}
