// What a page hears from the server, by way of the browser's hub (see hub.js). `heard` gets an event "events", "deaths" or
// "outputs" with each message of the hub as its detail.

import { address } from "./talk.js";

const HERE_MS = 15000;
const { hub, who } = document.documentElement.dataset;

export const heard = new EventTarget();

let port = null;
let said = {}; // what this page wants to hear, for a hub that begins later

function begin(made) {
  port = made;
  port.onmessage = ({ data }) => {
    if (data.of === "forgotten") { port.postMessage(said); return; }
    if (data.of === "outputs" && data.type) said.follow = data.type === "output" && said.follow && { ...said.follow, place: data.place };
    heard.dispatchEvent(new CustomEvent(data.of, { detail: data }));
  };
  port.postMessage(said);
}

async function beginHere() {
  const { port1, port2 } = new MessageChannel();
  const { Hub } = await import("./hub.js");
  new Hub().add(port2);
  begin(port1);
}

function tell(wanted) {
  said = { ...said, ...wanted };
  port?.postMessage(wanted);
}

export const listen = (wanted) => tell({ listen: wanted });
export const follow = (wanted) => tell({ follow: wanted });
export const watch = (wanted) => tell({ watch: wanted });

document.addEventListener("login", () => port?.postMessage({ again: true }));

try {
  const worker = new SharedWorker(address(hub), { type: "module", name: who });
  worker.onerror = () => { if (port === worker.port) beginHere(); };
  begin(worker.port);
} catch { beginHere(); } // no shared workers, as in some browsers of phones
setInterval(() => { if (!document.hidden || said.watch) port?.postMessage({ here: true }); }, HERE_MS);
