// What a bar of a chart stands for, under the pointer or the finger. A finger's first touch tells, and what it tells can be
// opened, since the bar itself is narrow; so does a second touch of the bar.

import { clock, day, moment } from "./times.js";

let shown = null;

function tell(group) {
  shown?.classList.remove("shown");
  shown = group;
  const said = document.querySelector(".chart .said");
  if (!said) return;
  if (!group) { said.replaceChildren(); return; }
  group.classList.add("shown");
  const { from, until, said: words } = group.dataset, jobs = document.createElement("a");
  jobs.href = group.querySelector("a").getAttribute("href");
  jobs.textContent = `${moment(from).slice(0, 16)}–${clock(until)}: ${words}`;
  said.replaceChildren(jobs);
}

// A fresh chart says nothing yet: what was told is told again, by its new numbers.
function again() {
  if (shown) tell(document.querySelector(`.chart g[data-from="${shown.dataset.from}"]`));
}

const barOf = (event) => event.target.closest?.(".chart g[data-from]");

document.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && (barOf(event) || shown)) tell(barOf(event)); });
let touched = false;
document.addEventListener("pointerdown", (event) => {
  const bar = barOf(event);
  touched = event.pointerType !== "mouse" && bar !== null && bar !== undefined && bar !== shown;
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
for (const event of ["fresh", "zone", "htmx:afterSettle"]) document.addEventListener(event, () => { label(); again(); });
label();
