// Times for people, in the browser's zone or in UTC. Each names its offset, as on the command line:
// 2026-11-21 18:00:05+01:00.

const KEY = "queuectl-zone";
const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;

let utc = false;
try { utc = localStorage.getItem(KEY) === "UTC"; } catch { /* a browser that keeps nothing shows its own zone */ }

export const zone = () => utc ? "UTC" : HERE;

function parts(at, options) {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone(), hourCycle: "h23", ...options });
  return Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
}

// `at` is a Date, milliseconds, or a text of ISO 8601.
export function moment(at) {
  at = new Date(at);
  const two = "2-digit";
  const p = parts(at, { year: "numeric", month: two, day: two, hour: two, minute: two, second: two, timeZoneName: "longOffset" });
  return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}${p.timeZoneName.replace("GMT", "") || "+00:00"}`;
}

// Hours and minutes, for a chart whose page names the zone.
export function clock(at) {
  at = new Date(at);
  const p = parts(at, { hour: "2-digit", minute: "2-digit" });
  return `${p.hour}:${p.minute}`;
}

// Month and day.
export function day(at) {
  const p = parts(new Date(at), { month: "2-digit", day: "2-digit" });
  return `${p.month}-${p.day}`;
}

export function choose(inUtc) {
  utc = inUtc;
  try {
    if (utc) localStorage.setItem(KEY, "UTC");
    else localStorage.removeItem(KEY);
  } catch { /* lasts as long as the page */ }
  document.dispatchEvent(new Event("zone"));
}
