/** A small line over the last two minutes. */

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [120, 32];

/** Keeps the last values and draws them. */
export class Chart {
  /** @param {any} svg @param {string} what it shows, for those who do not see it */
  constructor(svg, what) {
    this.values = /** @type {number[]} */ ([]);
    this.what = what;
    this.svg = svg;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    this.area = piece("path", "area");
    this.line = piece("path", "line");
    const floor = piece("path", "floor");
    floor.setAttribute("d", `M0 ${HEIGHT}H${WIDTH}`);
    svg.replaceChildren(floor, this.area, this.line);
    this.#draw();
  }

  /** @param {number} value */
  push(value) {
    this.values.push(value);
    if (this.values.length > KEPT) this.values.shift();
    this.#draw();
  }

  #draw() {
    const most = Math.max(1, ...this.values);
    const left = WIDTH - ((this.values.length - 1) / (KEPT - 1)) * WIDTH;
    const points = this.values.map((value, index) => {
      const x = left + (index / (KEPT - 1)) * WIDTH;
      return `${x.toFixed(2)} ${(HEIGHT - (value / most) * (HEIGHT - 2)).toFixed(2)}`;
    });
    const line = points.length > 1 ? `M${points.join("L")}` : "";
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", line && `${line}L${WIDTH} ${HEIGHT}L${left.toFixed(2)} ${HEIGHT}Z`);
    this.svg.setAttribute("aria-label", `${this.what} over the last two minutes`);
  }
}

/** @param {string} tag @param {string} name */
function piece(tag, name) {
  const element = document.createElementNS(SVG, tag);
  element.setAttribute("class", name);
  return element;
}

const KEPT = 120;
