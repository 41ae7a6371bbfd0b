// Turns text with terminal escape sequences into spans. Colours and weights are kept; all other sequences are dropped.
// Nothing is read as markup: text is added as text.

const SEQUENCE_MAX = 512; // a longer one is not a sequence, and is dropped
const PARAMETERS_MAX = 32;
const SPANS_MAX = 500;

// CSI … letter | OSC, DCS, APC, PM, SOS … end | other two- and three-character sequences | other control characters
const ESCAPE = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|(?=\x1b)|$)|\x1b[ -/]*[0-~]|\x1b|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]/g;

const PLAIN = { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false };

function level(number) { return [0, 95, 135, 175, 215, 255][number]; }

// One of 256 colours: the first 16 by name, the rest as they are.
function indexed(number) {
  if (!(number >= 0 && number <= 255)) return null;
  if (number < 16) return number % 8;
  if (number >= 232) { const grey = 8 + 10 * (number - 232); return `rgb(${grey} ${grey} ${grey})`; }
  const at = number - 16;
  return `rgb(${level(Math.floor(at / 36))} ${level(Math.floor(at / 6) % 6)} ${level(at % 6)})`;
}

// Black or white, whichever is easier to read on a colour.
function legibleOn(rgb) {
  const [red, green, blue] = rgb.match(/\d+/g).map(Number);
  return 0.3 * red + 0.59 * green + 0.11 * blue > 140 ? "#000" : "#fff";
}

export class Ansi {
  constructor() { this.style = { ...PLAIN }; this.rest = ""; }

  // Adds spans for a piece of a line to what `parent()` gives, which is asked for only where there is something to see.
  // A sequence cut off at the end waits for the next piece.
  render(text, parent) {
    text = this.rest + text;
    this.rest = "";
    const open = text.lastIndexOf("\x1b");
    if (open >= 0 && text.length - open < SEQUENCE_MAX && /^\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*)?$/.test(text.slice(open))) {
      this.rest = text.slice(open);
      text = text.slice(0, open);
    }
    let at = 0;
    for (const found of text.matchAll(ESCAPE)) {
      this.put(text.slice(at, found.index), parent);
      at = found.index + found[0].length;
      if (found[2] === "m" && found[1].length < SEQUENCE_MAX) this.select(found[1]);
    }
    this.put(text.slice(at), parent);
  }

  // Drops an incomplete sequence at the end of a line.
  endLine() { this.rest = ""; }

  put(text, parent) {
    if (!text) return;
    parent = parent();
    const { style } = this;
    const classes = ["bold", "dim", "italic", "underline", "strike"].filter((name) => style[name]).map((name) => `a-${name}`);
    let { fg, bg } = style;
    if (style.inverse) [fg, bg] = [bg ?? 0, fg ?? 7];
    if (typeof fg === "number") classes.push(`a-f${fg}`);
    if (typeof bg === "number") classes.push(`a-b${bg}`);
    if ((!classes.length && typeof fg !== "string" && typeof bg !== "string") || parent.childElementCount >= SPANS_MAX) {
      parent.append(text);
      return;
    }
    const span = document.createElement("span");
    span.className = classes.join(" ");
    if (typeof fg === "string") span.style.color = fg;
    else if (typeof bg === "string" && fg === null) span.style.color = legibleOn(bg);
    if (typeof bg === "string") span.style.backgroundColor = bg;
    span.textContent = text;
    parent.append(span);
  }

  select(parameters) {
    const codes = parameters.split(/[;:]/, PARAMETERS_MAX).map(Number);
    for (let at = 0; at < codes.length; at++) {
      const code = codes[at] || 0;
      const style = this.style;
      if (code === 0) this.style = { ...PLAIN };
      else if (code === 1) style.bold = true;
      else if (code === 2) style.dim = true;
      else if (code === 3) style.italic = true;
      else if (code === 4) style.underline = true;
      else if (code === 7) style.inverse = true;
      else if (code === 9) style.strike = true;
      else if (code === 22) style.bold = style.dim = false;
      else if (code === 23) style.italic = false;
      else if (code === 24) style.underline = false;
      else if (code === 27) style.inverse = false;
      else if (code === 29) style.strike = false;
      else if (code >= 30 && code <= 37) style.fg = code - 30;
      else if (code === 39) style.fg = null;
      else if (code >= 40 && code <= 47) style.bg = code - 40;
      else if (code === 49) style.bg = null;
      else if (code >= 90 && code <= 97) style.fg = code - 90;
      else if (code >= 100 && code <= 107) style.bg = code - 100;
      else if (code === 38 || code === 48) {
        const which = code === 38 ? "fg" : "bg";
        if (codes[at + 1] === 5) { style[which] = indexed(codes[at + 2]); at += 2; }
        else if (codes[at + 1] === 2) {
          const parts = codes.slice(at + 2, at + 5);
          style[which] = parts.length === 3 && parts.every((part) => part >= 0 && part <= 255) ? `rgb(${parts.join(" ")})` : null;
          at += 4;
        }
      }
    }
  }
}
