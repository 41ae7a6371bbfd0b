// What a bar of a chart stands for, under the pointer or the finger. A finger's first touch tells, the second opens.

import { clock, day, moment } from "./times.js";

let shown = null;

function tell(group) {
  shown?.classList.remove("shown");
  shown = group;
  const said = document.querySelector("#chart .said, [data-part=slow-chart] .said");
  if (!said) return;
  if (!group) { said.textContent = ""; return; }
  group.classList.add("shown");
  const { from, until, said: words } = group.dataset;
  said.textContent = `${moment(from).slice(0, 16)}–${clock(until)}: ${words}`;
}

const barOf = (event) => event.target.closest?.(".chart g[data-from]");

document.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && (barOf(event) || shown)) tell(barOf(event)); });
let touched = false;
document.addEventListener("pointerdown", (event) => {
  const bar = barOf(event);
  touched = event.pointerType !== "mouse" && bar !== null && bar !== undefined && bar !== shown;
  if (touched) tell(bar);
});
document.addEventListener("click", (event) => { if (touched && barOf(event)) event.preventDefault(); touched = false; });

function label() {
  for (const time of document.querySelectorAll(".times time")) {
    const text = "day" in time.dataset ? day(time.dateTime) : clock(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}
for (const event of ["fresh", "zone", "htmx:afterSettle"]) document.addEventListener(event, label);
label();
