// Scores of dropped pictures beside those of good ones, and a threshold that moves.

import { h, name, put, s, slider } from './dom.js';
import { checked, zoomable } from './picture.js';
import { address, seesThrough } from './png.js';
import { many, short } from './words.js';

const BINS = 40,
  W = 640,
  H = 120,
  STEPS = 1000;

/** The view of an answer {score, threshold, held_out, data}; `csv()` is its table by now. */
export function judged(answer) {
  const good = answer.held_out,
    rows = [...answer.data].sort((a, b) => b.score - a.score);
  const all = [...good, ...rows.map((row) => row.score)],
    low = Math.min(...all),
    high = Math.max(...all),
    width = high - low || 1;
  let limit = answer.threshold ?? good[good.length - 1] ?? high,
    overlay = true;
  const told = h('p', { className: 'lead', role: 'status' }),
    picture = h('div', { className: 'histogram' }),
    list = h('ul', { className: 'found' });
  const knob = slider(
    'threshold',
    { min: 0, max: STEPS, step: 1, value: ((limit - low) / width) * STEPS, text: (v) => short(low + (v / STEPS) * width) },
    (v) => {
      limit = low + (v / STEPS) * width;
      draw();
    },
  );
  const heat = h(
    'label',
    { className: 'tick' },
    h('input', {
      type: 'checkbox',
      checked: true,
      on: {
        change: (event) => {
          overlay = event.target.checked;
          draw();
        },
      },
    }),
    'Show where',
  );
  const cards = rows.map((row) => {
    const image = h('img', { alt: '', decoding: 'async' }),
      verdict = h('b'),
      large = zoomable(image, () => row.name);
    const element = h(
      'li',
      {},
      large.element,
      h('p', {}, name(row.name)),
      h('p', { className: 'quiet' }, verdict, ` · ${short(row.score)} · p ${short(row.p_value)}`),
    );
    return { row, image, verdict, element };
  });
  put(
    list,
    cards.map((card) => card.element),
  );

  function draw() {
    const bad = rows.filter((row) => row.score > limit).length,
      wrong = good.filter((score) => score > limit).length;
    told.textContent = `${bad} of ${many(rows.length, 'picture')} flagged. At this threshold ${wrong} of ${many(good.length, 'good picture')} would be too${good.length ? ` (${((100 * wrong) / good.length).toFixed(1)}%)` : ''}.`;
    for (const { row, image, verdict, element } of cards) {
      const flagged = row.score > limit;
      const shown = address(overlay ? row.b64_json : row.original);
      if (image.src !== shown) image.src = shown;
      checked(image, seesThrough(overlay ? row.b64_json : row.original));
      image.alt = `${row.name}: ${flagged ? 'anomaly' : 'fine'}`;
      verdict.textContent = flagged ? 'anomaly' : 'fine';
      element.className = flagged ? 'bad' : 'good';
    }
    put(picture, histogram(good, rows, limit, low, width));
  }

  draw();
  const element = h('div', {}, told, picture, h('div', { className: 'row' }, knob.box, heat), list);
  return {
    element,
    csv: () =>
      [['file', 'score', 'p_value', 'flagged'], ...rows.map((row) => [row.name, row.score, row.p_value, row.score > limit])]
        .map((line) => line.map(quoted).join(',') + '\r\n')
        .join(''),
  };
}

const quoted = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

function histogram(good, rows, limit, low, width) {
  const bins = new Array(BINS).fill(0),
    x = (v) => 10 + ((v - low) / width) * (W - 20);
  for (const v of good) bins[Math.min(BINS - 1, Math.floor(((v - low) / width) * BINS))]++;
  const most = Math.max(...bins, 1),
    step = (W - 20) / BINS;
  return s(
    'svg',
    { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': 'Scores of good pictures as bars, yours as marks' },
    bins.map(
      (n, i) =>
        n &&
        s('rect', {
          class: 'good',
          x: 10 + i * step + 1,
          y: H - 24 - (n / most) * (H - 40),
          width: step - 2,
          height: (n / most) * (H - 40),
        }),
    ),
    s('line', { class: 'limit', x1: x(limit), x2: x(limit), y1: 4, y2: H - 20 }),
    rows.map((row) => s('circle', { class: row.score > limit ? 'bad' : 'fine', cx: x(row.score), cy: H - 14, r: 5 })),
    s('text', { x: 10, y: 12 }, 'good pictures as bars, yours as dots'),
  );
}
