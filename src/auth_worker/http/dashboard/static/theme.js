// Runs before the page is painted, so that it does not flash in the other theme.
try {
  const theme = localStorage.getItem("auth-worker-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is off: the system's theme is used.
}
