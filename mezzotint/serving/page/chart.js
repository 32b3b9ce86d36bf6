// Curves over images seen, with a line under the pointer that says the numbers.

import { h, put, s } from './dom.js';
import { large, short } from './words.js';

const H = 190,
  LEFT = 52,
  RIGHT = 10,
  TOP = 10,
  BOTTOM = 26;
let charts = 0;

/** A chart; `update({x, lines: [{name, values}]})` draws anew. */
export function chart(title) {
  const id = `chart-${++charts}`,
    legend = h('p', { className: 'legend' }),
    at = h('span', { className: 'at' });
  const drawing = s('svg', { role: 'img', 'aria-labelledby': id, tabindex: 0 });
  const element = h('figure', { className: 'chart' }, h('figcaption', {}, h('b', { id }, title), legend, at), drawing);
  let data = { x: [], lines: [] },
    mark = -1,
    W = 520;
  new ResizeObserver(() => {
    W = Math.max(200, drawing.clientWidth);
    draw();
  }).observe(drawing);

  function draw() {
    const there = data.lines.flatMap((line) => line.values).filter((v) => v !== null && v !== undefined);
    const [low, high] = range(there),
      most = Math.max(...data.x, 1);
    const px = (v) => LEFT + (v / most) * (W - LEFT - RIGHT);
    const py = (v) => TOP + (1 - (Math.min(high, Math.max(low, v)) - low) / (high - low || 1)) * (H - TOP - BOTTOM);
    drawing.setAttribute('viewBox', `0 0 ${W} ${H}`);
    put(
      drawing,
      grid(low, high, most, px, py, W),
      data.lines.map((line, i) => trace(line, data.x, px, py, i)),
      mark >= 0 && cursor(px, py),
    );
    put(legend, data.lines.length > 1 && data.lines.map((line, i) => h('span', { className: `key k${i}` }, line.name)));
    at.textContent =
      mark >= 0 ? `${large(data.x[mark])}: ${data.lines.map((line) => short(nearby(line.values, mark))).join(' · ')}` : latest();
  }

  function latest() {
    return data.lines.map((line) => short(line.values.findLast((v) => v !== null))).join(' · ');
  }

  function cursor(px, py) {
    const x = px(data.x[mark]);
    return [
      s('line', { class: 'cursor', x1: x, x2: x, y1: TOP, y2: H - BOTTOM }),
      data.lines.map((line, i) => {
        const v = nearby(line.values, mark);
        return v === null ? null : s('circle', { class: `k${i}`, cx: x, cy: py(v), r: 4 });
      }),
    ];
  }

  function move(index) {
    mark = data.x.length ? Math.min(data.x.length - 1, Math.max(-1, index)) : -1;
    draw();
  }

  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect(),
      share = (((event.clientX - box.left) / box.width) * W - LEFT) / (W - LEFT - RIGHT);
    const wanted = share * Math.max(...data.x, 1);
    move(data.x.reduce((best, v, i) => (Math.abs(v - wanted) < Math.abs(data.x[best] - wanted) ? i : best), 0));
  });
  drawing.addEventListener('pointerleave', () => move(-1));
  drawing.addEventListener('blur', () => move(-1));
  drawing.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      move((mark < 0 ? data.x.length - 1 : mark) + step);
    }
  });
  return {
    element,
    update(next) {
      data = next;
      if (mark >= data.x.length) mark = -1;
      draw();
    },
  };
}

/** The number at a place, or the nearest one before it: some are measured only now and then. */
function nearby(values, at) {
  for (let i = at; i >= 0; i--) if (values[i] !== null && values[i] !== undefined) return values[i];
  return null;
}

/** Lowest and highest number to show; the first few of a run may be far above all others. */
function range(values) {
  if (!values.length) return [0, 1];
  const sorted = [...values].sort((a, b) => a - b),
    last = sorted.length - 1;
  const low = sorted[0],
    high = sorted.length > 40 ? sorted[Math.floor(0.985 * last)] : sorted[last];
  return high > low
    ? [low - 0.04 * (high - low), high + 0.04 * (high - low)]
    : [low - Math.abs(low || 1) / 10, low + Math.abs(low || 1) / 10];
}

/** Round numbers that divide a range into about four parts. */
export function ticks(low, high, parts = 4) {
  const rough = (high - low) / parts,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough) ?? rough;
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return found;
}

function grid(low, high, most, px, py, W) {
  const rows = ticks(low, high).map((v) => [
    s('line', { class: 'rule', x1: LEFT, x2: W - RIGHT, y1: py(v), y2: py(v) }),
    s('text', { x: LEFT - 8, y: py(v) + 4, 'text-anchor': 'end' }, short(v)),
  ]);
  const columns = ticks(0, most).map((v) =>
    s('text', { x: px(v), y: H - 6, 'text-anchor': v === 0 ? 'start' : v > 0.93 * most ? 'end' : 'middle' }, large(v)),
  );
  return [...rows, ...columns];
}

function trace(line, x, px, py, i) {
  const points = line.values
    .map((v, at) => (v === null || v === undefined ? null : `${px(x[at]).toFixed(1)},${py(v).toFixed(1)}`))
    .filter(Boolean);
  return points.length === 1
    ? s('circle', { class: `k${i}`, cx: points[0].split(',')[0], cy: points[0].split(',')[1], r: 3 })
    : s('polyline', { class: `trace k${i}`, points: points.join(' ') });
}
