// What a bar of a chart stands for, under the pointer or the finger. A finger's first touch tells, and what it tells can be
// opened, since the bar itself is narrow; so does a second touch of the bar.

import { clock, day, moment } from "./times.js";

let told = null; // when the bar begins that is told: a fresh chart shows other times with the same elements

function tell(from) {
  told = from;
  document.querySelector(".chart g.shown")?.classList.remove("shown");
  const said = document.querySelector(".chart .said");
  if (!said) return;
  const bar = from && document.querySelector(`.chart g[data-from="${from}"]`);
  if (!bar) { said.replaceChildren(); return; }
  bar.classList.add("shown");
  const { until, said: words } = bar.dataset, jobs = document.createElement("a");
  jobs.href = bar.querySelector("a").getAttribute("href");
  jobs.textContent = `${moment(from).slice(0, 16)}–${clock(until)}: ${words}`;
  said.replaceChildren(jobs);
}

// The bar that an event is on, by when it begins; null if on none.
const barOf = (event) => event.target.closest?.(".chart g[data-from]")?.dataset.from ?? null;

document.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && (barOf(event) || told)) tell(barOf(event)); });
let touched = false;
document.addEventListener("pointerdown", (event) => {
  const bar = barOf(event);
  touched = event.pointerType !== "mouse" && bar !== null && bar !== told;
  if (touched) tell(bar);
  else if (event.pointerType !== "mouse" && !bar && !event.target.closest?.(".said")) tell(null);
});
document.addEventListener("click", (event) => { if (touched && barOf(event)) event.preventDefault(); touched = false; });

function label() {
  for (const time of document.querySelectorAll(".times time")) {
    const text = "day" in time.dataset ? day(time.dateTime) : clock(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}
for (const event of ["fresh", "zone", "htmx:afterSettle"]) document.addEventListener(event, () => { label(); if (told) tell(told); });
label();
