// The connections to the server for all pages of a browser: one for events, one for outputs. A browser opens only six to
// a server, so ten pages with streams of their own would leave none for an eleventh.
//
// Runs as a shared worker; where a browser has none, each page has a hub of its own. Pages are heard by a port:
//
//   { listen: true }                    events and snapshots, as { of: "events", type, data }; false ends them
//   { watch: true }                     jobs that died, as { of: "deaths", data }, also while the page is hidden
//   { follow: { job, tail, place } }    a job's output, as { of: "outputs", type, data, place }; null ends it
//   { here: true }                      at least every GONE_MS, or the page counts as gone
//   { again: true }                     try at once, after a new login
//
// A page that counted as gone is told { of: "forgotten" } when it is heard again, and says anew what it wants.
//
// { of, state: "open" | "lost" | "denied" } says how a connection is.

const AGAIN_MS = 2000, TOGETHER_MS = 30, GONE_MS = 45000, HIDDEN_GONE_MS = 4 * GONE_MS; // timers of hidden pages are slow
const EVENTS = ["snapshot", "job", "deed", "skipped", "trouble"], OUTPUTS = ["output", "end", "trouble"];

const root = new URL(import.meta.url).pathname.replace(/\/static\/[^/]*$/, "");

// A stream that is opened again whenever it ends, until it is closed.
class Line {
  #source = null; #timer = 0;

  constructor(path, types, { heard, told }) { // `path` gives the address at each opening
    Object.assign(this, { path, types, heard, told });
    this.open();
  }

  open() {
    this.close();
    const source = this.#source = new EventSource(root + this.path());
    source.onopen = () => this.told("open");
    source.onerror = () => this.#lost(source);
    for (const type of this.types) source.addEventListener(type, (event) => { if (event.data) this.heard(type, JSON.parse(event.data), event.lastEventId); });
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  async #lost(source) {
    if (source !== this.#source) return;
    this.close();
    let status = 0;
    try { ({ status } = await fetch(`${root}/openapi.json`, { method: "HEAD", cache: "no-store" })); } catch { /* the server is away */ }
    if (this.#source || this.#timer === null) return;
    this.told(status === 401 ? "denied" : "lost");
    if (status !== 401) this.#timer = setTimeout(() => this.open(), AGAIN_MS);
  }

  end() { this.close(); this.#timer = null; }
}

export class Hub {
  #pages = new Map(); // by port: { seen, listens, follow }
  #events = null; #outputs = null; #followed = []; #snapshot = null; #state = null; #due = 0;

  constructor() { setInterval(() => this.#forget(), GONE_MS / 3); }

  add(port) {
    this.#pages.set(port, { seen: Date.now(), listens: false, watches: false, follow: null });
    port.onmessage = ({ data }) => this.#hear(port, data);
    port.start?.();
  }

  #hear(port, { listen, watch, follow, again }) {
    if (!this.#pages.has(port)) { // it counted as gone: the machine slept, or had too much to do
      this.add(port);
      port.postMessage({ of: "forgotten" });
    }
    const page = this.#pages.get(port);
    page.seen = Date.now();
    if (listen !== undefined && listen !== page.listens) {
      page.listens = listen;
      if (listen && this.#events && this.#state) port.postMessage({ state: this.#state, of: "events" });
      if (listen && this.#snapshot) port.postMessage(this.#snapshot);
      this.#listen();
    }
    if (watch !== undefined) { page.watches = watch; this.#listen(); }
    if (follow !== undefined && (follow || page.follow)) { page.follow = follow; this.#follow(); }
    if (again) { this.#events?.open(); this.#follow(); }
  }

  #forget() {
    for (const [port, { seen, watches }] of this.#pages) {
      if (Date.now() - seen > (watches ? HIDDEN_GONE_MS : GONE_MS)) this.#pages.delete(port);
    }
    this.#listen();
    if (this.#followed.some((port) => !this.#pages.has(port))) this.#follow();
  }

  #listen() {
    const those = (are) => [...this.#pages].filter(([, page]) => page[are]).map(([port]) => port);
    const say = (said) => { for (const port of those("listens")) port.postMessage(said); };
    if (!those("listens").length && !those("watches").length) {
      this.#events?.end();
      this.#events = this.#snapshot = this.#state = null;
    } else this.#events ??= new Line(() => "/api/v1/events?topics=events,snapshot", EVENTS, {
      heard: (type, data) => {
        const said = { of: "events", type, data };
        if (type === "snapshot") this.#snapshot = said;
        say(said);
        if (type === "job" && data.event === "ended" && data.state === "dead") for (const port of those("watches")) port.postMessage({ of: "deaths", data });
      },
      told: (state) => {
        this.#state = state;
        if (state !== "open") this.#snapshot = null;
        say({ state, of: "events" });
      },
    });
  }

  // Opens the outputs' connection again with those that are wanted now, each from its place on.
  #follow() {
    clearTimeout(this.#due);
    this.#due = setTimeout(() => {
      this.#outputs?.end();
      this.#outputs = null;
      this.#followed = [...this.#pages].filter(([, page]) => page.follow).map(([port]) => port);
      if (this.#followed.length) this.#outputs = new Line(() => this.#address(), OUTPUTS, {
        heard: (type, { of, ...data }, place) => this.#written(type, of, data, place),
        told: (state) => { for (const port of this.#followed) port.postMessage({ state, of: "outputs" }); },
      });
    }, TOGETHER_MS);
  }

  #address() {
    this.#followed = this.#followed.filter((port) => this.#pages.get(port)?.follow);
    const follows = this.#followed.map((port) => this.#pages.get(port).follow);
    const query = new URLSearchParams(follows.map(({ job, place }) => ["output", place ? `${job}@${place}` : job]));
    query.append("tail", Math.max(...follows.map(({ tail }) => tail)));
    return `/live/outputs?${query}`;
  }

  #written(type, of, data, place) {
    const port = this.#followed[of], page = this.#pages.get(port);
    if (!page?.follow) return;
    if (type === "output") { if (place) page.follow.place = place; }
    else page.follow = null; // it has ended
    port.postMessage({ of: "outputs", type, data, place: page.follow?.place });
    if (![...this.#pages.values()].some((each) => each.follow)) this.#follow();
  }
}

if ("onconnect" in globalThis) {
  const hub = new Hub();
  globalThis.onconnect = (event) => hub.add(event.ports[0]);
}
