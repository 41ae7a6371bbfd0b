// Writes text into lines as a terminal does that knows colours, a carriage return, after which a line is written anew, a
// backspace, and a cursor that goes up and down between lines that are there and erases them, as nested progress bars have it.

import { Ansi } from "./ansi.js";

const LINE_MAX = 8192;
const ROWS_MAX = 200; // how far up the cursor can go
const MOVE = /\n|\r|\x08|\x1b\[(\d{0,4})([ABDEFGJK])/g;
const CUT = /\x1b(?:\[\d{0,4})?$/; // the beginning of a movement, whose rest may come later
const LINES = { "\n": 1, A: -1, B: 1, E: 1, F: -1 }; // how many lines down a movement goes

export class Screen {
  #rows = []; #at = 0; #length = 0; #hidden = 0; #anew = false; #back = 0; #class = ""; #cut = ""; #ansi = new Ansi();
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
    this.#at = this.#back = 0;
    this.#anew = false;
    this.#cut = "";
  }

  // What comes next has no colour left from before.
  reset() { this.end(); this.#ansi = new Ansi(); }

  #move(sign, by, way = sign) {
    if (way === "\r" || (way === "G" && by <= 1)) { this.#anew = true; this.#back = 0; }
    else if (way === "\b" || way === "D") this.#back += Number(by) || 1;
    else if (way === "K") this.#erase(by > 0);
    else if (way === "J" && !(by > 0)) {
      this.#erase(false);
      for (const line of this.#rows.slice(this.#at + 1)) if (line.firstChild) { line.replaceChildren(); this.#ended(line); }
    } else if (way in LINES) this.#go(way, LINES[way] * (Number(by) || 1));
  }

  #go(way, lines) {
    if (way === "\n" && !this.#rows[this.#at]) this.#add();
    this.#leave();
    if (way === "\n") this.#passed(this.#class);
    this.#at = Math.min(this.#rows.length, Math.max(0, this.#at + lines));
    this.#anew = true;
    this.#back = 0;
  }

  // Erases what is right of the cursor, or all of its line.
  #erase(all) {
    const line = this.#rows[this.#at];
    if (!line) return;
    if (all || this.#anew) { line.replaceChildren(); this.#length = this.#hidden = this.#back = 0; }
    while (this.#back && line.lastChild) {
      const last = line.lastChild, left = last.textContent.slice(0, -this.#back), gone = last.textContent.length - left.length;
      if (left) last.textContent = left;
      else last.remove();
      this.#back -= gone;
      this.#length = Math.max(0, this.#length - gone);
    }
    this.#back = 0;
  }

  #add() {
    this.#rows.push(this.#make(this.#class));
    if (this.#rows.length > ROWS_MAX) this.#rows.shift();
    this.#at = this.#rows.length - 1;
    this.#length = this.#hidden = 0;
    this.#anew = false;
  }

  // The line to write to, from where the cursor is.
  #line() {
    if (!this.#rows[this.#at]) this.#add();
    else this.#erase(false);
    this.#anew = false;
    return this.#rows[this.#at];
  }

  #put(text) {
    if (!text) return;
    const shown = text.slice(0, Math.max(0, LINE_MAX - (this.#anew ? 0 : this.#length)));
    if (shown) this.#ansi.render(shown, () => this.#line());
    this.#length += shown.length;
    this.#hidden += text.length - shown.length;
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
