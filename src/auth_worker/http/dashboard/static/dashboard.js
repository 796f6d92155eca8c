// What the pages do beyond HTML: they refresh themselves, take keys, and show times in the reader's zone.
import { startLive, refresh, togglePause } from "./live.js";
import { startKeys } from "./keys.js";
import { startSearch } from "./search.js";

const AGAIN_MS = 5000;
const COPIED_MS = 1000;
const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

// On a narrow screen a row is a block, in which each value stands beside the name of its column.
function label(table) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  for (const row of table.tBodies[0].rows) {
    for (const cell of row.querySelectorAll("td")) if (names[cell.cellIndex]) cell.dataset.label = names[cell.cellIndex];
  }
  table.classList.add("labelled");
}

function enhance(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    if (time.title.includes("\n")) continue;
    time.title = `${zone.format(new Date(time.dateTime))}\n${time.title}`;
  }
  for (const title of root.querySelectorAll("title[data-at]")) { // of a part of a chart
    title.textContent = `${zone.format(new Date(title.dataset.at))}\n${title.textContent}`;
    title.removeAttribute("data-at");
  }
  for (const table of root.querySelectorAll("table.rows")) label(table);
  for (const all of root.querySelectorAll("input.all")) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of all.closest("table").querySelectorAll("input[name^=ids]")) box.checked = all.checked;
    });
  }
}

function forgetWhatWasSaid() {
  const here = new URL(location.href);
  if (here.searchParams.has("done") || here.searchParams.has("selected")) {
    here.searchParams.delete("done");
    here.searchParams.delete("selected");
    history.replaceState(null, "", here);
  }
}

function toggleTheme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = dark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("auth-worker-theme", theme);
  } catch {
    // Storage is off: it holds for this page alone.
  }
}

async function copy(element) {
  const chosen = getSelection();
  chosen.selectAllChildren(element);
  try {
    await navigator.clipboard.writeText(element.textContent);
  } catch {
    document.execCommand("copy"); // over plain http there is no clipboard
  }
  setTimeout(() => chosen.containsNode(element, true) && chosen.empty(), COPIED_MS);
}

// A form is sent once, however often its button is clicked: twice, or again since the answer is slow.
function sendOnce(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.ariaBusy) return event.preventDefault();
  form.ariaBusy = "true";
  setTimeout(() => (form.ariaBusy = null), AGAIN_MS);
}

enhance(document);
forgetWhatWasSaid();
const theme = document.getElementById("theme");
if (theme) {
  theme.hidden = false;
  theme.addEventListener("click", toggleTheme);
}
document.addEventListener("submit", sendOnce);
addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach((form) => (form.ariaBusy = null)));
document.addEventListener("click", (event) => {
  const code = event.target.closest("code.copy");
  if (code && getSelection().isCollapsed) copy(code);
});
startKeys({ refresh: () => refresh(enhance), togglePause, toggleTheme, copy });
startLive(enhance);
startSearch(enhance);
