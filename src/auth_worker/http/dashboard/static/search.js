// Continues a search to its end: appends what each following page finds, so much a second, until it is stopped.
import { ask } from "./live.js";

const PAUSE_MS = 1000;
const RETRY_MS = 3000;
const MOST_ROWS = 1000;

// Returns the page; null while the server cannot answer.
async function load(address) {
  const answer = await ask(address).catch(() => null);
  if (!answer || answer.status >= 500 || answer.status === 429) return null;
  if (answer.type === "opaqueredirect") location.reload(); // to a login
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const wait = (ms) => new Promise((wake) => setTimeout(wake, ms));

export function startSearch(enhance) {
  const button = document.getElementById("search-on");
  const found = document.getElementById("found");
  const next = () => document.querySelector("#looked a[rel=next]");
  if (!button || !next()) return;
  let run = null; // what goes on now; one that was stopped finds another one here, or null

  function show(now, text) {
    run = now;
    button.hidden = !next();
    button.textContent = text;
  }

  const stop = () => show(null, "Go on to the end");

  function add(page) {
    const rows = page.querySelectorAll("#found tbody tr");
    found.querySelector("tbody").append(...rows);
    found.hidden = found.hidden && !rows.length;
    const looked = page.getElementById("looked") ?? page.querySelector("main [role=alert]"); // the queue may be gone
    document.getElementById("looked").replaceWith(looked ?? "");
    enhance(found);
  }

  async function goOn() {
    const own = {};
    show(own, "Stop");
    try {
      while (next() && found.querySelectorAll("tbody tr").length < MOST_ROWS) {
        const page = await load(next().href);
        if (run !== own) return;
        if (page) add(page);
        show(own, page ? "Stop" : "Waiting for the server. Stop");
        if (next()) await wait(page ? PAUSE_MS : RETRY_MS);
        if (run !== own) return;
      }
    } finally {
      if (run === own) stop();
    }
  }

  button.addEventListener("click", () => (run ? stop() : goOn()));
  stop();
}
