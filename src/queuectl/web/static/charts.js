// The charts of the first page: jobs that ended in each minute of the last hour.

import { address } from "./talk.js";
import { clock, moment } from "./times.js";

const STATS = "/api/v1/stats?window=1h&stretches=60";
const EVERY_MS = 10000;

const CHARTS = [
  ["chart-throughput", "completed", (minute) => minute.completed],
  ["chart-failures", "failed", (minute) => minute.failed + minute.timeout + minute.lost],
];

// A custom property as a colour that a canvas takes.
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const faded = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", .14)");

function size(box) { return { width: box.clientWidth - 16, height: box.clientHeight - 16 }; }

function draw(box, state, data) {
  const muted = colour("--muted"), line = colour("--line"), stroke = colour(`--${state}`);
  const axis = { stroke: muted, font: "12px system-ui", grid: { stroke: line, width: 1 }, ticks: { show: false } };
  return new uPlot({
    ...size(box),
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    scales: { y: { range: (self, low, high) => [0, Math.max(4, high * 1.1)] } },
    axes: [{ ...axis, size: 28, space: 60, values: (self, ticks) => ticks.map((tick) => clock(tick * 1000)) }, { ...axis, size: 48, space: 36, values: (self, ticks) => ticks.map((tick) => Number.isInteger(tick) ? tick.toLocaleString("en") : "") }],
    series: [{}, { label: state, stroke, fill: faded(stroke), width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
    hooks: { setCursor: [(self) => {
      const at = self.cursor.idx;
      box.title = at == null ? "" : `${moment(self.data[0][at] * 1000)}: ${self.data[1][at]} ${state}`;
    }] },
  }, data, box);
}

const drawn = new Map();
let latest = null, last = 0;

function show(again = false) {
  if (!latest) return;
  const ends = [...latest.series, { ...latest.series.at(-1), at: latest.until }]; // the last minute has a width, too
  const times = ends.map((minute) => Date.parse(minute.at) / 1000);
  for (const [id, state, number] of CHARTS) {
    const box = document.getElementById(id);
    if (!box) continue;
    const data = [times, ends.map(number)];
    if (again || !drawn.has(id)) {
      drawn.get(id)?.destroy();
      drawn.set(id, draw(box, state, data));
    } else drawn.get(id).setData(data);
    const total = latest.series.map(number).reduce((sum, each) => sum + each, 0);
    box.setAttribute("aria-label", `${total} ${state} in the last hour`);
  }
}

async function load() {
  if (Date.now() - last < EVERY_MS || document.hidden) return;
  last = Date.now();
  try {
    const response = await fetch(address(STATS));
    if (response.ok) { latest = await response.json(); show(); }
  } catch { /* the mark in the corner shows that there is no connection */ }
}

document.addEventListener("fresh", load);
document.addEventListener("snapshot", load);
document.addEventListener("theme", () => show(true));
document.addEventListener("zone", () => show(true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(true));
new ResizeObserver(() => { for (const [id, chart] of drawn) chart.setSize(size(document.getElementById(id))); }).observe(document.getElementById("main"));
load();
