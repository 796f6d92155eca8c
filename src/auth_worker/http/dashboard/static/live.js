// Keeps a page fresh: the server says which queues have changed, and the parts about them are loaded anew.
const POLL_MS = 5000;
const MINUTE_MS = 60000;
const status = document.getElementById("live");
const isRevealed = () => !document.querySelector("[data-live]");
let source = null;
let timer = null;
let paused = false;
let busy = false;

function say(text, kind) {
  if (!status) return;
  if (status.textContent !== text) status.textContent = text;
  status.className = `live ${kind}`;
}

function keep(old, fresh) {
  for (const box of old.querySelectorAll("input[type=checkbox][name]:checked")) {
    const same = fresh.querySelector(`input[name="${box.name}"][value="${CSS.escape(box.value)}"]`);
    if (same) same.checked = true;
  }
  for (const details of old.querySelectorAll("details[id]")) {
    const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  const at = old.querySelector("tr.at a");
  if (at) fresh.querySelector(`tr a[href="${CSS.escape(at.getAttribute("href"))}"]`)?.closest("tr").classList.add("at");
}

function focusAgain(part, focused) {
  if (!focused) return;
  const href = focused.getAttribute("href");
  const same = href
    ? part.querySelector(`a[href="${CSS.escape(href)}"]`)
    : focused.value && part.querySelector(`[name="${focused.name}"][value="${CSS.escape(focused.value)}"]`);
  same?.focus({ preventScroll: true });
}

export async function refresh(enhance) {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin", headers: { accept: "text/html" } });
    if (answer.redirected) return location.assign(answer.url);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = old.id ? page.getElementById(old.id) : page.querySelector("[data-live]:not([id])");
      if (!fresh || fresh.innerHTML === old.dataset.seen) continue;
      const seen = fresh.innerHTML;
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const scrolled = old.querySelector(".scroll")?.scrollLeft ?? 0;
      keep(old, fresh);
      old.replaceChildren(...fresh.childNodes);
      old.dataset.live = fresh.dataset.live;
      old.dataset.seen = seen;
      enhance(old);
      if (old.querySelector(".scroll")) old.querySelector(".scroll").scrollLeft = scrolled;
      focusAgain(old, focused);
    }
  } catch {
    say("not reached", "lost");
  } finally {
    busy = false;
  }
}

function concerns(changed) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const about = part.dataset.live;
    if (changed.includes("*") || (about === "*" && changed.length) || changed.includes(about)) return true;
  }
  return false;
}

function poll(enhance) {
  clearInterval(timer);
  const polled = document.querySelector('[data-live="poll"]');
  timer = setInterval(() => {
    const wanted = source === null || document.querySelector('[data-live="poll"]');
    if (!paused && !document.hidden && wanted) refresh(enhance);
  }, polled ? Number(polled.dataset.every ?? 1000) : POLL_MS);
}

function listen(enhance) {
  close();
  if (paused || document.hidden) return;
  source = new EventSource("events");
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.trouble) return say("Redis does not respond", "lost");
    say("live", "on");
    if (concerns(news.changed)) refresh(enhance);
  };
  source.onerror = () => {
    say("reconnecting", "lost");
    if (source?.readyState === EventSource.CLOSED) close(); // refused: the page asks by itself, now and then
  };
}

function close() {
  source?.close();
  source = null;
}

let again = () => {};

export function togglePause() {
  paused = !paused;
  if (paused) {
    close();
    say("paused", "");
  } else again();
}

export function startLive(enhance) {
  if (!status || isRevealed()) return;
  again = () => {
    listen(enhance);
    refresh(enhance);
  };
  listen(enhance);
  poll(enhance);
  if (document.querySelector('[data-live="minute"]')) setInterval(() => paused || document.hidden || refresh(enhance), MINUTE_MS);
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : paused || again()));
  addEventListener("pagehide", close);
}
