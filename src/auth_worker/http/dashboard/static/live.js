// Keeps a page fresh: the server says which queues have changed, and the parts about them are loaded anew.
const TICK_MS = 1000;
const POLL_MS = 5000; // without events
const LATEST_MS = 30000; // with events: ages grow also where nothing else changes
const SILENCE_MS = 25000; // the server sends an event every 10 s at least: one is late, or held back by a proxy
const RETRY_MS = 60000;
const GIVE_UP_MS = 15000;
const ANSWER_MS = 100;
const MOST_LISTENING = 4;
const MOST_ADDRESS = 6000;
const PRESS_MS = 2000; // a button that is pressed for longer was released elsewhere
const status = document.getElementById("live");
const pause = document.getElementById("pause");
const isRevealed = () => !document.querySelector("[data-live]");
let source = null;
let listenedAt = 0;
let heardAt = 0;
let loadedAt = Date.now();
let behind = false;
let paused = false;
let busy = false;
let pressedAt = 0;

function say(text, kind) {
  if (status.textContent !== text) status.textContent = text;
  status.className = `live ${kind}`;
}

function sayLive() {
  if (behind) return;
  if (paused) say("paused", "");
  else if (source && heardAt) say("live", "on");
  else if (!source) say(`every ${patience() / 1000} s`, "on");
}

// Says above the page why it shows an earlier state: what it is about was removed, say, or Redis does not respond.
function warn(text) {
  let said = document.getElementById("not-current");
  if (!text) return said?.remove();
  if (!said) {
    said = document.createElement("p");
    Object.assign(said, { id: "not-current", className: "bad" });
    said.setAttribute("role", "alert");
    document.getElementById("main").prepend(said);
  }
  const whole = `This page is not current. ${text[0].toUpperCase()}${text.slice(1)}`;
  if (said.textContent !== whole) said.textContent = whole;
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

// What tells an element from others like it: a button of a row also by what the form of its row sends.
function identity(element, part) {
  const sent = part.contains(element.form) ? [...new FormData(element.form)] : [];
  const named = ["href", "name", "value", "aria-label"].map((name) => element.getAttribute(name));
  return JSON.stringify([element.tagName, named, sent]);
}

// Returns what gives the focus back, once the part is replaced, to the same element.
function rememberFocus(part) {
  const focused = document.activeElement;
  if (!part.contains(focused)) return () => {};
  const sought = identity(focused, part);
  const alike = () => [...part.querySelectorAll(focused.tagName)].filter((element) => identity(element, part) === sought);
  const place = alike().indexOf(focused);
  return () => alike()[place]?.focus({ preventScroll: true });
}

// A click is lost on what is replaced between press and release, and so is text that was selected to be copied.
const isPressed = () => Date.now() - pressedAt < PRESS_MS;

function isSelected() {
  const chosen = getSelection();
  return !chosen.isCollapsed && Boolean(chosen.anchorNode.parentElement?.closest("[data-live]"));
}

// The forms of this page belong to the session of its cookie, which another window may have replaced.
function renewForms(page) {
  const token = page.querySelector("input[name=form_token]")?.value;
  if (token) for (const input of document.querySelectorAll("input[name=form_token]")) input.value = token;
}

// Loads the page again, which leads to a login and back, with the rows that are selected.
function logInAgain() {
  const again = new URL(location.href);
  for (const box of document.querySelectorAll("input[name^=ids]:checked")) {
    again.searchParams.append("selected", box.name === "ids" ? box.value : decodeURIComponent(box.value));
  }
  if (again.href === location.href || again.href.length > MOST_ADDRESS) location.reload();
  else location.replace(again);
}

function update(page, enhance) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = old.id ? page.getElementById(old.id) : page.querySelector("[data-live]:not([id])");
    if (!fresh || fresh.innerHTML === old.dataset.seen) continue;
    const seen = fresh.innerHTML;
    const focusAgain = rememberFocus(old);
    const scrolled = old.querySelector(".scroll")?.scrollLeft ?? 0;
    keep(old, fresh);
    old.replaceChildren(...fresh.childNodes);
    old.dataset.live = fresh.dataset.live;
    old.dataset.seen = seen;
    enhance(old);
    if (old.querySelector(".scroll")) old.querySelector(".scroll").scrollLeft = scrolled;
    focusAgain();
  }
}

// Asks for a page. It fails after a while without an answer, as where a proxy or a network swallows it.
export function ask(address) {
  const signal = AbortSignal.timeout(GIVE_UP_MS);
  return fetch(address, { redirect: "manual", headers: { accept: "text/html" }, signal });
}

export async function refresh(enhance) {
  if (busy) {
    behind = true; // what has changed meanwhile may not be in the answer
    return;
  }
  busy = true;
  behind = false;
  loadedAt = Date.now();
  try {
    const answer = await ask(location.href);
    if (answer.type === "opaqueredirect") return logInAgain();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    renewForms(page);
    if (answer.headers.has("retry-after")) behind = true; // too many ask at the same time
    else if (answer.ok && (isPressed() || isSelected())) {
      behind = true;
      if (isSelected()) say("waits: text is selected", "");
    } else if (answer.ok) update(page, enhance);
    else fail(page.querySelector("main [role=alert]")?.textContent ?? `The server answers ${answer.status}.`);
    if (answer.ok) warn("");
  } catch {
    fail("The server cannot be reached.");
  } finally {
    busy = false;
    sayLive();
  }
}

function fail(text) {
  behind = true;
  say("not current", "lost");
  warn(text);
}

function concerns(changed) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const about = part.dataset.live;
    if (changed.includes("*") || (about === "*" && changed.length) || changed.includes(about)) return true;
  }
  return false;
}

// A browser has six connections to a host, over HTTP/1.1, for all its windows: a few of them listen, and the others
// poll. Each asks the others first; of those that ask at the same time, the lower number goes first.
const number = Math.random();
const windows = new BroadcastChannel("auth-worker-live");
let asking = false;
let listening = 0;
windows.onmessage = ({ data }) => {
  if (data.asks !== undefined && (source || (asking && number < data.asks))) windows.postMessage({ answers: data.asks });
  if (data.answers === number) listening += 1;
};

async function mayListen() {
  listening = 0;
  asking = true;
  windows.postMessage({ asks: number });
  await new Promise((wake) => setTimeout(wake, ANSWER_MS));
  return listening < MOST_LISTENING;
}

async function listen(enhance) {
  close();
  const at = (listenedAt = Date.now());
  const may = await mayListen();
  if (listenedAt !== at) return; // it was asked again meanwhile
  asking = false;
  if (paused || document.hidden || !may) return sayLive();
  source = new EventSource("events");
  source.onmessage = (event) => {
    heardAt = Date.now();
    const news = JSON.parse(event.data);
    if (news.trouble) return fail(news.trouble);
    sayLive();
    if (behind || concerns(news.changed)) refresh(enhance);
  };
  source.onerror = () => {
    heardAt = 0;
    behind = true; // an event may be lost
    if (source?.readyState === EventSource.CLOSED) close(); // refused
  };
}

function close() {
  source?.close();
  source = null;
  heardAt = 0;
}

// How long (ms) after it was loaded the page is loaded again, whatever the events say.
function patience() {
  const polled = document.querySelector('[data-live="poll"]');
  if (polled) return Number(polled.dataset.every ?? 1000);
  if (!heardAt) return POLL_MS;
  return behind ? POLL_MS * (1 + number) : LATEST_MS; // not all windows of all people at once
}

function tick(enhance) {
  if (paused || document.hidden) return;
  const now = Date.now();
  if (source && now - Math.max(heardAt, listenedAt) > SILENCE_MS) close();
  if (!source && now - listenedAt > RETRY_MS) listen(enhance);
  if (now - loadedAt >= patience()) refresh(enhance);
}

let again = () => {};

export function togglePause() {
  paused = !paused;
  pause.textContent = paused ? "\u25b6" : "\u275a\u275a";
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) {
    close();
    sayLive();
  } else again();
}

export function startLive(enhance) {
  if (!status || isRevealed()) return;
  again = () => {
    if (paused || document.hidden) return;
    listen(enhance);
    refresh(enhance);
  };
  pause.hidden = false;
  pause.addEventListener("click", togglePause);
  if (!document.hidden) listen(enhance);
  setInterval(() => tick(enhance), TICK_MS);
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : again()));
  addEventListener("pointerdown", () => (pressedAt = Date.now()), true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (pressedAt = 0), true);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && again()); // the back button
}
