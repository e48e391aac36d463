// The page can be read without this. It fetches the parts that have changed, lets times run on, tells of a day in a calendar under the
// pointer, and copies commands. Words and units are those of words.go and heat.go.
"use strict";

const query = document.body.dataset.query;
const live = document.getElementById("live");
const tip = document.getElementById("tip");

// Times

const steps = [[730 * 86400, 365 * 86400, "year"], [60 * 86400, 30 * 86400, "month"], [48 * 3600, 86400, "day"], [3600, 3600, "hour"], [60, 60, "minute"]];

function ago(seconds) {
  const past = seconds >= 0;
  seconds = Math.abs(seconds);
  for (const [from, unit, name] of steps) {
    if (seconds >= from) {
      const n = Math.floor(seconds / unit);
      const text = n.toLocaleString("en-US") + " " + name + (n === 1 ? "" : "s");
      return past ? text + " ago" : "in " + text;
    }
  }
  return past ? "just now" : "in a moment";
}

function tick(root) {
  for (const t of root.querySelectorAll("time[title]")) {
    const text = ago(Math.trunc((Date.now() - Date.parse(t.dateTime)) / 1000));
    if (t.textContent !== text) t.textContent = text;
  }
}

// Parts

const wanted = new Set();
let fetching = false;

async function fetchParts() {
  if (fetching || wanted.size === 0) return;
  fetching = true;
  const ids = [...wanted].filter(id => document.getElementById(id)).slice(0, 60);
  try {
    if (ids.length === 0) { wanted.clear(); return; }
    const address = "/parts" + (query ? query + "&" : "?") + ids.map(id => "id=" + encodeURIComponent(id)).join("&");
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.redirected || answer.status === 404) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.status);
    const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ids) {
      wanted.delete(id);
      const old = document.getElementById(id), fresh = doc.getElementById(id);
      if (old && fresh && old.dataset.v !== fresh.dataset.v) replace(old, fresh);
    }
  } catch {
    setTimeout(fetchParts, 5000);
    return;
  } finally {
    fetching = false;
  }
  if (wanted.size > 0) fetchParts();
}

const focusable = "a[href], button, summary, input";

// replace gives a part its new content. The element stays, so that a live region is read out; so do the focus, and what was folded open.
function replace(old, fresh) {
  const focus = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
  const open = [...old.querySelectorAll("details")].map(d => d.open);
  old.dataset.v = fresh.dataset.v;
  const label = fresh.getAttribute("aria-labelledby");
  if (label) old.setAttribute("aria-labelledby", label); else old.removeAttribute("aria-labelledby");
  old.replaceChildren(...fresh.childNodes);
  const folded = [...old.querySelectorAll("details")];
  if (folded.length === open.length) folded.forEach((d, i) => { d.open = open[i]; });
  if (focus >= 0) (old.querySelectorAll(focusable)[focus] || document.getElementById("main")).focus({ preventScroll: true });
  buttons(old);
  tick(old);
  title(old);
}

function title(root) {
  const verdict = root.querySelector(".verdict[data-title]");
  if (!verdict) return;
  document.title = verdict.dataset.title + " · " + document.body.dataset.title;
  const icon = document.querySelector("link[rel=icon]");
  icon.href = icon.getAttribute("href").replace(/\w+\.svg/, verdict.dataset.level + ".svg");
}

// Stream: while somebody looks. A tab in the background would take one of the few connections that a browser has for each server; it
// asks for the verdict now and then, which its title shows. Not that of the fleet: a target with many hosts is read for nobody but those
// who look.

let events;

function say(text, off) {
  live.hidden = false;
  live.className = off ? "live off" : "live";
  live.textContent = text;
}

function listen() {
  if (document.hidden) return;
  events?.close();
  events = new EventSource("/events" + query);
  events.onopen = () => say("Live", false);
  events.addEventListener("parts", e => {
    for (const [id, version] of Object.entries(JSON.parse(e.data))) {
      if (id === "assets") {
        if (version !== document.body.dataset.assets) location.reload();
        continue;
      }
      const part = document.getElementById(id);
      if (!part || part.dataset.v !== version) wanted.add(id);
    }
    fetchParts();
  });
  events.onerror = () => {
    say("Not live", true);
    if (events.readyState === EventSource.CLOSED) setTimeout(again, 15000);
  };
}

function pause() {
  events?.close();
  say("Paused", true);
}

// again looks whether whoever looks is still known, and listens anew.
async function again() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/parts" + query, { headers: { Accept: "text/html" } });
    if (answer.redirected || answer.status === 404) { location.reload(); return; }
  } catch { /* nobody is there: the stream will say so too */ }
  listen();
}

// Calendars

const kinds = JSON.parse(document.body.dataset.kinds || "{}");

function dayAt(svg, x, y) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal, from = new Date(svg.dataset.from + "T00:00:00Z");
  const column = Math.floor((x - box.left) / box.width * view.width), row = Math.floor((y - box.top) / box.height * view.height + view.y);
  let n = column * 7 + row - (from.getUTCDay() + 6) % 7;
  if (row < 0 || row > 6 || n < 0) return "";
  const date = new Date(from.getTime() + n * 86400000);
  for (const [, days, kind] of svg.dataset.days.matchAll(/(\d+)(\w)/g)) {
    n -= Number(days);
    if (n < 0) return date.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }) + ": " + (kinds[kind] || kind);
  }
  return "";
}

function point(e) {
  const svg = e.target.closest && e.target.closest("svg.heat[data-from]");
  const text = svg ? dayAt(svg, e.clientX, e.clientY) : "";
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.left = Math.max(8, Math.min(e.pageX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = e.pageY + 18 + "px";
}

// Commands

function buttons(root) {
  for (const command of root.querySelectorAll(".command")) {
    if (command.querySelector("button") || !navigator.clipboard) continue;
    const button = document.createElement("button");
    button.type = "button"; button.className = "quiet"; button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    command.append(button);
  }
}

document.addEventListener("pointermove", point, { passive: true });
buttons(document);
if (live) {
  listen();
  document.addEventListener("visibilitychange", () => document.hidden ? pause() : again());
}
setInterval(() => tick(document), 20000);
setInterval(() => {
  if (!document.hidden || !live || query.startsWith("?view=fleet")) return;
  wanted.add("verdict");
  fetchParts();
}, 60000);
