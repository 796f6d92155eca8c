// Continues a search to its end: appends what each following page finds, so much a second, until it is stopped.
const PAUSE_MS = 1000;
const MOST_ROWS = 1000;

async function load(address) {
  const answer = await fetch(address, { credentials: "same-origin", headers: { accept: "text/html" } });
  if (answer.redirected) location.assign(answer.url);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

export function startSearch(enhance) {
  const button = document.getElementById("search-on");
  const found = document.getElementById("found");
  const next = () => document.querySelector("#looked a[rel=next]");
  if (!button || !next()) return;
  let running = false;

  function show(going) {
    running = going;
    button.hidden = !next();
    button.textContent = running ? "Stop" : "Go on to the end";
  }

  async function goOn() {
    show(true);
    try {
      while (running && next() && found.querySelectorAll("tbody tr").length < MOST_ROWS) {
        const page = await load(next().href);
        const rows = page.querySelectorAll("#found tbody tr");
        found.querySelector("tbody").append(...rows);
        found.hidden = found.hidden && !rows.length;
        document.getElementById("looked").replaceWith(page.getElementById("looked"));
        enhance(found);
        if (next()) await new Promise((wake) => setTimeout(wake, PAUSE_MS));
      }
    } finally {
      show(false);
    }
  }

  button.addEventListener("click", () => (running ? show(false) : goOn()));
  show(false);
}
