// Keys for everything: a letter goes to a page, j and k walk through the rows.
function rows() {
  return [...document.querySelectorAll("table.rows tbody tr")];
}

function current() {
  return document.querySelector("tr.at");
}

function walk(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  all[at]?.classList.remove("at");
  all[next].classList.add("at");
  all[next].querySelector("a")?.focus();
  all[next].scrollIntoView({ block: "nearest" });
}

function select() {
  const box = current()?.querySelector("input[type=checkbox]");
  if (box) box.checked = !box.checked;
}

export function startKeys({ refresh, togglePause, toggleTheme, copy }) {
  const acts = {
    "/": () => document.querySelector("[role=search] input")?.focus(),
    j: () => walk(1),
    k: () => walk(-1),
    x: select,
    r: refresh,
    p: togglePause,
    t: toggleTheme,
    c: () => document.querySelector("code.copy") && copy(document.querySelector("code.copy")),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return document.activeElement?.blur();
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "Enter" && event.target.matches("code.copy")) return copy(event.target);
    const page = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    const act = acts[event.key] ?? (page && (() => page.click()));
    if (!act) return;
    event.preventDefault();
    act();
  });
}
