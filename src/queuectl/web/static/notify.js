// The browser's notifications of jobs that die, while any page is open, seen or not. One page of a browser gives them: the
// one that has the lock, which the next one gets when it is closed. All pages hear of the deaths, and forget those that
// the one has told, so that none is lost between two turns.

import { heard, watch } from "./listen.js";
import { address, call, counted, say } from "./talk.js";

const KEY = "queuectl-notify", TOGETHER_MS = 3000, GROUPS = 100, SHOWN = 3;
const button = document.getElementById("notify");

const wanted = () => { try { return localStorage.getItem(KEY) === "yes"; } catch { return false; } };
const allowed = () => Notification.permission === "granted";

let release = null, mine = false, dead = [], due = 0; // `release` ends this page's turn, or its wait for one
const pages = new BroadcastChannel(KEY); // of the jobs that one has told

function show(title, body, path) {
  const shown = new Notification(title, { body, tag: KEY, renotify: true, icon: address("/static/icon.svg") });
  shown.onclick = () => { window.focus(); if (path) location.href = address(path); shown.close(); };
}

const line = ({ command, error, last_line: last }) => [command, last ?? error].filter(Boolean).map((text) => text.slice(0, 120)).join(": ");

// One job by its name, several by how they failed, each group with all that failed alike.
async function tell() {
  const jobs = dead;
  due = 0;
  dead = [];
  const since = Math.min(...jobs.map(({ at }) => Date.parse(at)));
  const groups = (await call("GET", `/api/v1/dlq/groups?limit=${GROUPS}`)).filter(({ last_at: last }) => Date.parse(last) >= since);
  const lines = groups.slice(0, SHOWN).map((group) => (group.jobs > 1 ? `${counted(group.jobs)} alike: ` : "") + line(group));
  const [{ job }] = jobs;
  if (jobs.length === 1) show(`${job} died`, lines[0] ?? "", `/jobs/${encodeURIComponent(job)}`);
  else show(`${counted(jobs.length)} died`, lines.join("\n"), "/failures");
  pages.postMessage(jobs.map((each) => each.job));
}

function tellSoon() {
  if (mine && dead.length) due ||= setTimeout(() => tell().catch((error) => say(error.message, true)), TOGETHER_MS);
}

heard.addEventListener("deaths", ({ detail: { data } }) => {
  if (dead.some(({ job }) => job === data.job)) return;
  dead.push(data);
  tellSoon();
});
pages.onmessage = ({ data: told }) => { dead = dead.filter(({ job }) => !told.includes(job)); };

function turn() {
  const on = wanted() && allowed(), label = on ? "Do not notify of jobs that die" : "Notify of jobs that die";
  button.setAttribute("aria-pressed", String(on));
  button.setAttribute("aria-label", label);
  button.title = label;
  if (on && !release) {
    watch(true);
    let wait;
    const over = new Promise((resolve) => { wait = release = resolve; });
    navigator.locks.request(KEY, () => {
      mine = release === wait;
      tellSoon();
      return over;
    });
  } else if (!on) end();
}

function end() {
  if (!release) return;
  release();
  release = null;
  clearTimeout(due);
  due = 0;
  mine = false;
  dead = [];
  watch(false);
}

async function toggle() {
  const on = !(wanted() && allowed());
  if (on && await Notification.requestPermission() !== "granted") { say("the browser does not let this address notify", true); return; }
  if (on) try { show("Notifications are on", "You will hear of jobs that die while a page of queuectl is open."); }
  catch { say("this browser lets no page notify", true); return; } // those of Android have it for service workers alone
  try { localStorage.setItem(KEY, on ? "yes" : "no"); } catch { say("the browser keeps nothing, so it cannot notify", true); }
  turn();
}

if (button && "Notification" in window && navigator.locks) { // browsers have both for https and for this machine alone
  button.hidden = false;
  button.addEventListener("click", toggle);
  addEventListener("storage", ({ key }) => { if (key === KEY) turn(); });
  addEventListener("pagehide", end);
  addEventListener("pageshow", ({ persisted }) => { if (persisted) turn(); });
  turn();
}
