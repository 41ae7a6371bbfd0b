// Writes text into lines as a terminal does that knows colours, a carriage return, after which a line is written anew, and a
// cursor that goes up and down between lines that are there, as nested progress bars have it.

import { Ansi } from "./ansi.js";

const LINE_MAX = 8192;
const ROWS_MAX = 200; // how far up the cursor can go
const MOVE = /\n|\r|\x1b\[(\d{0,4})([AB])/g;
const CUT = /\x1b(?:\[\d{0,4})?$/; // the beginning of a movement, whose rest may come later

export class Screen {
  #rows = []; #at = 0; #length = 0; #hidden = 0; #anew = false; #class = ""; #cut = ""; #ansi = new Ansi();
  #make; #ended; #passed;

  // `make(className)` adds a line below the others and returns it; `ended(line)` hears of each that is left, `passed(className)`
  // of each line of the text.
  constructor(make, ended = () => {}, passed = () => {}) { this.#make = make; this.#ended = ended; this.#passed = passed; }

  write(text, className = "") {
    if (className !== this.#class) this.end();
    this.#class = className;
    text = this.#cut + text;
    this.#cut = CUT.exec(text)?.[0] ?? "";
    if (this.#cut) text = text.slice(0, -this.#cut.length);
    let from = 0;
    for (const found of text.matchAll(MOVE)) {
      this.#put(text.slice(from, found.index));
      from = found.index + found[0].length;
      this.#move(...found);
    }
    this.#put(text.slice(from));
  }

  // What comes next stands on a line of its own, below all others.
  end() {
    if (this.#rows[this.#at]) { this.#leave(); this.#passed(this.#class); }
    this.#rows = [];
    this.#at = 0;
    this.#anew = false;
    this.#cut = "";
  }

  // What comes next has no colour left from before.
  reset() { this.end(); this.#ansi = new Ansi(); }

  #move(sign, by, way) {
    if (sign === "\r") { this.#anew = true; return; }
    if (sign === "\n" && !this.#rows[this.#at]) this.#add();
    this.#leave();
    if (sign === "\n") this.#passed(this.#class);
    const steps = sign === "\n" ? 1 : (way === "A" ? -1 : 1) * (Number(by) || 1);
    this.#at = Math.min(this.#rows.length, Math.max(0, this.#at + steps));
    this.#anew = true;
  }

  #add() {
    this.#rows.push(this.#make(this.#class));
    if (this.#rows.length > ROWS_MAX) this.#rows.shift();
    this.#at = this.#rows.length - 1;
    this.#length = this.#hidden = 0;
    this.#anew = false;
  }

  #put(text) {
    if (!text) return;
    if (!this.#rows[this.#at]) this.#add();
    else if (this.#anew) {
      this.#rows[this.#at].replaceChildren();
      this.#length = this.#hidden = 0;
      this.#anew = false;
    }
    const room = LINE_MAX - this.#length;
    if (room > 0) this.#ansi.render(text.slice(0, room), this.#rows[this.#at]);
    this.#length += Math.min(room, text.length);
    this.#hidden += Math.max(0, text.length - Math.max(0, room));
  }

  #leave() {
    const line = this.#rows[this.#at];
    this.#ansi.endLine();
    if (line && this.#hidden) {
      const more = document.createElement("span");
      more.className = "meta";
      more.textContent = ` … ${this.#hidden.toLocaleString("en")} more characters on this line`;
      line.append(more);
    }
    this.#hidden = this.#length = 0;
    if (line) this.#ended(line);
  }
}
