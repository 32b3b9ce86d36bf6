// A plane of points: moved, zoomed, pointed at, lassoed; fast for tens of thousands.

import { discs, squares } from './dots.js';
import { dark, hue, ramp } from './hues.js';
import { binned, fitted, gridOf, lassoed, nearestPoint, neighbourTowards, quantile, zoomed } from './latents_math.js';

const REACH = 16,
  MARGIN = 24,
  BINS = 24,
  ROUND = 4000;

/** The plane on a canvas; `tell` hears {hover}, {pick}, {lasso}. */
export class Plane {
  constructor(canvas, tell, signal) {
    Object.assign(this, {
      canvas,
      tell,
      pen: canvas.getContext('2d'),
      tool: 'pan',
      hover: -1,
      marks: [],
      path: [],
      picked: new Set(),
      fingers: new Map(),
      pending: false,
      points: new Float32Array(0),
      shown: new Uint8Array(0),
      colours: [],
      bins: new Uint8Array(0),
      frames: 0,
    });
    const on = (event, act, options = {}) => canvas.addEventListener(event, act, { signal, ...options });
    on('pointermove', (event) => this.moved(event));
    on('pointerdown', (event) => this.pressed(event));
    on('pointerup', (event) => this.released(event));
    on('pointercancel', (event) => {
      this.fingers.delete(event.pointerId);
      this.path = [];
      this.refresh();
    });
    on('pointerleave', () => {
      if (!this.fingers.size) this.point(-1);
    });
    on(
      'wheel',
      (event) => {
        event.preventDefault();
        const { x, y } = this.place(event);
        this.zoom(Math.exp(-event.deltaY / 400), x, y);
      },
      { passive: false },
    );
    on('keydown', (event) => this.key(event));
    dark.addEventListener('change', () => this.recolour?.(), { signal });
    const size = new ResizeObserver(() => {
      if (this.wide !== canvas.clientWidth) {
        this.wide = canvas.clientWidth;
        this.fit();
      }
    });
    size.observe(canvas);
    signal.addEventListener('abort', () => size.disconnect());
  }

  /** Other places of the points, (x, y) in [0, 1]; everything else stays. */
  show(points) {
    const count = points.length / 2;
    this.points = points;
    this.grid = gridOf(points, Math.max(1, Math.ceil(Math.sqrt(count / 3))));
    if (this.shown.length !== count) this.shown = new Uint8Array(count).fill(1);
    this.fit();
  }

  /** Colours by class. */
  byClass(labels, classes) {
    this.recolour = () => {
      this.colours = Array.from({ length: classes + 1 }, (_, label) => hue(label - 1, classes));
      this.bins = Uint16Array.from(labels, (label) => label + 1);
      this.refresh();
    };
    this.recolour();
  }

  /** Colours by a number; the ends of the scale. */
  byValue(values) {
    const low = quantile(values, 0.02),
      high = quantile(values, 0.98),
      bins = binned(values, low, high, BINS);
    this.recolour = () => {
      this.colours = Array.from({ length: BINS }, (_, i) => ramp(i / (BINS - 1)));
      this.bins = bins;
      this.refresh();
    };
    this.recolour();
    return [low, high];
  }

  fit() {
    this.view = fitted(this.canvas.clientWidth, this.canvas.clientHeight, MARGIN);
    this.refresh();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const least = 0.5 * Math.min(this.canvas.clientWidth, this.canvas.clientHeight);
    this.view = zoomed(this.view, factor, x, y, least, 400 * least);
    this.refresh();
  }

  refresh() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  spot(i) {
    const { scale, x, y } = this.view;
    return [this.points[2 * i] * scale + x, this.points[2 * i + 1] * scale + y];
  }

  draw() {
    const { canvas, pen } = this,
      ratio = devicePixelRatio || 1,
      width = Math.round(canvas.clientWidth * ratio),
      height = Math.round(canvas.clientHeight * ratio);
    if (!width || !this.view) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      this.image = null;
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    const count = this.points.length / 2,
      zoom = Math.sqrt(this.view.scale / Math.min(canvas.clientWidth, canvas.clientHeight));
    const dot = Math.min(12, Math.min(9, Math.max(2, 200 / Math.sqrt(count || 1))) * Math.max(1, zoom));
    if (count > ROUND) squares(this, Math.max(1, Math.round(dot * ratio)), ratio);
    else discs(this, dot / 2, ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const ink = getComputedStyle(canvas).color;
    for (const [i, letter] of this.marks) this.ring(i, dot / 2 + 6, ink, letter);
    if (this.hover >= 0) this.ring(this.hover, dot / 2 + 4, ink);
    if (this.path.length) this.lasso(ink);
    this.frames++;
  }

  ring(i, radius, ink, letter = '') {
    const [x, y] = this.spot(i),
      { pen } = this;
    pen.strokeStyle = pen.fillStyle = ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.stroke();
    pen.font = '600 14px system-ui, sans-serif';
    if (letter) pen.fillText(letter, x + radius + 4, y - radius);
  }

  lasso(ink) {
    const {
      pen,
      path,
      view: { scale, x, y },
    } = this;
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    for (let i = 0; i < path.length; i += 2) pen.lineTo(path[i] * scale + x, path[i + 1] * scale + y);
    pen.closePath();
    pen.stroke();
    pen.setLineDash([]);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect(),
      x = event.clientX - box.left,
      y = event.clientY - box.top;
    return { x, y, u: (x - this.view.x) / this.view.scale, v: (y - this.view.y) / this.view.scale };
  }

  at(event) {
    if (!this.points.length) return -1;
    const { u, v } = this.place(event);
    return nearestPoint(this.points, this.grid, this.shown, u, v, REACH / this.view.scale);
  }

  point(i) {
    if (i === this.hover) return;
    this.hover = i;
    this.refresh();
    this.tell({ hover: i, spot: i < 0 ? null : this.spot(i) });
  }

  moved(event) {
    const held = this.fingers.get(event.pointerId);
    if (!held) {
      this.point(this.at(event));
      return;
    }
    const now = this.place(event),
      others = [...this.fingers].filter(([id]) => id !== event.pointerId);
    if (this.tool === 'lasso' && !others.length) {
      this.path.push(now.u, now.v);
      this.refresh();
      return;
    }
    if (others.length) {
      const [, other] = others[0],
        before = Math.hypot(held.x - other.x, held.y - other.y),
        after = Math.hypot(now.x - other.x, now.y - other.y);
      this.zoom(after / (before || 1), other.x, other.y);
    } else this.view = { ...this.view, x: this.view.x + now.x - held.x, y: this.view.y + now.y - held.y };
    this.fingers.set(event.pointerId, {
      ...held,
      x: now.x,
      y: now.y,
      far: held.far + Math.abs(now.x - held.x) + Math.abs(now.y - held.y),
    });
    this.refresh();
  }

  pressed(event) {
    try {
      this.canvas.setPointerCapture(event.pointerId);
    } catch {
      /* a pointer that is gone */
    }
    const { x, y, u, v } = this.place(event);
    this.fingers.set(event.pointerId, { x, y, far: 0 });
    this.path = this.tool === 'lasso' ? [u, v] : [];
  }

  released(event) {
    const held = this.fingers.get(event.pointerId),
      path = this.path;
    this.fingers.delete(event.pointerId);
    this.path = [];
    if (path.length > 6) this.tell({ lasso: lassoed(this.points, this.shown, path) });
    else if (held && held.far < 5) {
      const i = this.at(event);
      this.point(i);
      if (i >= 0) this.tell({ pick: i });
    }
    this.refresh();
  }

  key(event) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const act = {
      '+': () => this.zoom(1.4),
      '-': () => this.zoom(1 / 1.4),
      0: () => this.fit(),
      Escape: () => this.tell({ clear: true }),
      Enter: () => this.hover >= 0 && this.tell({ pick: this.hover }),
    }[event.key];
    if (!(arrow || act) || event.ctrlKey || event.metaKey || !this.points.length) return;
    event.preventDefault();
    if (act) act();
    else this.point(this.hover < 0 ? this.shown.indexOf(1) : neighbourTowards(this.points, this.shown, this.hover, ...arrow));
  }
}
