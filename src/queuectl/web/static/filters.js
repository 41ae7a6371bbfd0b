// Filters of the jobs that this browser keeps by a name.

import { say } from "./talk.js";

const KEY = "queuectl-filters";
const bar = document.getElementById("saved"), list = bar.querySelector(".chips"), form = bar.querySelector("form"), name = form.elements.name;

// What is filtered, sorted and shown, in one order; not which page of it.
function normal(search) {
  const query = new URLSearchParams(search);
  for (const key of ["before", "after", "skip"]) query.delete(key);
  query.sort();
  return query.toString();
}
const here = normal(location.search);

function read() { try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; } }

function keep(filters) {
  try { localStorage.setItem(KEY, JSON.stringify(filters)); } catch { say("the browser keeps nothing", true); }
  show();
}

function chip(title, query) {
  const link = document.createElement("a");
  link.className = "chip";
  link.href = `${location.pathname}?${query}`;
  link.textContent = title;
  if (query === here) link.setAttribute("aria-current", "true");
  return link;
}

function show() {
  const filters = Object.entries(read());
  const saved = filters.find(([, query]) => query === here);
  list.replaceChildren(...filters.map(([title, query]) => chip(title, query)));
  form.hidden = !here || Boolean(saved);
  bar.querySelector("#forget").hidden = !saved;
  bar.hidden = !filters.length && form.hidden;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const title = name.value.trim();
  if (!title) return;
  name.value = "";
  keep({ ...read(), [title]: here });
});
bar.querySelector("#forget").addEventListener("click", () => keep(Object.fromEntries(Object.entries(read()).filter(([, query]) => query !== here))));
addEventListener("storage", ({ key }) => { if (key === KEY) show(); });
show();
