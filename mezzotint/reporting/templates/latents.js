const data = JSON.parse(document.getElementById('data').textContent);
const at = (id) => document.getElementById(id);
const dark = matchMedia('(prefers-color-scheme: dark)');
const BINS = 24, REACH = 14, MARGIN = 22, LISTED = 200;
const HUES = {
  light: ['#0067a5', '#c2500a', '#00804f', '#a8327f', '#7a6800', '#5a4fcf', '#c2183b', '#007f8c', '#6d4c41', '#5f6b73'],
  dark: ['#64b5f0', '#f5a05a', '#4fd0a0', '#eb9ccd', '#d9c44a', '#b0a8ff', '#ff8a96', '#52d3de', '#c9a797', '#b4bfc6'],
};
const RAMPS = { light: [[43, 95, 168], [138, 79, 174], [209, 74, 107], [214, 112, 20]],
  dark: [[92, 156, 245], [178, 136, 255], [255, 122, 152], [255, 200, 96]] };
const count = data.names.length;
const labels = data.labels && unpack(data.labels, Int16Array);
const values = { error: data.error && unpack(data.error, Float32Array), density: unpack(data.density, Float32Array) };
const maps = data.maps.map((map) => {
  const whole = unpack(map.points, Uint16Array), points = Float32Array.from(whole, (v) => v / 65535);
  return { ...map, points, grid: gridOf(points, Math.max(1, Math.ceil(Math.sqrt(count / 3)))) };
});
const shown = new Uint8Array(count).fill(1), picked = new Set(), hidden = new Set();
const canvas = at('plot'), pen = canvas.getContext('2d');
const state = { map: maps[0], colour: labels ? 'class' : values.error ? 'error' : 'density', tool: 'pan',
  view: null, hover: -1, lasso: [], bins: null, pending: false };
const fingers = new Map();

const theme = () => (dark.matches ? 'dark' : 'light');
const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (v) => (v === 0 ? '0' : Math.abs(v) < 0.01 || Math.abs(v) >= 1e4 ? v.toExponential(1) : String(+v.toPrecision(3)));
const className = (label) => (label < 0 ? 'no class' : data.classes[label]);

function hue(label) {
  if (label < 0) return css('--soft');
  const known = HUES[theme()];
  if (data.classes.length <= known.length) return known[label];
  return `hsl(${(label * 137.5) % 360} 65% ${dark.matches ? 68 : 40}%)`;
}

function ramp(share) {
  const stops = RAMPS[theme()], place = Math.min(share * (stops.length - 1), stops.length - 1.001), i = Math.floor(place);
  return `rgb(${stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * (place - i))).join(' ')})`;
}

function recolour() {
  const groups = new Map();
  if (state.colour === 'class') {
    for (let i = 0; i < count; i++) (groups.get(labels[i]) ?? groups.set(labels[i], []).get(labels[i])).push(i);
    state.bins = [...groups].map(([label, rows]) => ({ colour: hue(label), rows }));
  } else {
    const all = values[state.colour], low = quantile(all, 0.02), high = quantile(all, 0.98);
    const bins = binned(all, low, high, BINS);
    state.bins = Array.from({ length: BINS }, (_, bin) => ({ colour: ramp(bin / (BINS - 1)), rows: [] }));
    for (let i = 0; i < count; i++) state.bins[bins[i]].rows.push(i);
    at('low').textContent = short(low);
    at('high').textContent = short(high);
    at('strip').style.background = `linear-gradient(90deg, ${[0, 1, 2, 3].map((k) => ramp(k / 3)).join(', ')})`;
  }
  at('scale').hidden = state.colour === 'class';
  for (const box of document.querySelectorAll('#classes i')) box.style.background = hue(+box.dataset.label);
}

function draw() {
  state.pending = false;
  const { width, height } = size(), ratio = devicePixelRatio || 1, { scale, x, y } = state.view, points = state.map.points;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const base = Math.min(9, Math.max(2.5, 90 / Math.sqrt(count))), zoom = Math.sqrt(scale / Math.min(width, height));
  const dot = Math.min(12, base * Math.max(1, zoom)), half = dot / 2, round = count <= 4000;
  pen.globalAlpha = picked.size ? 0.35 : 0.9;
  for (const { colour, rows } of state.bins) {
    pen.fillStyle = colour;
    pen.beginPath();
    for (const i of rows) {
      const px = points[2 * i] * scale + x, py = points[2 * i + 1] * scale + y;
      if (!shown[i] || px < -9 || py < -9 || px > width + 9 || py > height + 9) continue;
      if (round) { pen.moveTo(px + half, py); pen.arc(px, py, half, 0, 7); } else pen.rect(px - half, py - half, dot, dot);
    }
    pen.fill();
  }
  pen.globalAlpha = 1;
  if (picked.size) drawPicked(half);
  if (state.hover >= 0) ring(state.hover, half + 4);
  if (state.lasso.length) drawLasso();
}

function drawPicked(half) {
  const { scale, x, y } = state.view, points = state.map.points;
  for (const { colour, rows } of state.bins) {
    pen.fillStyle = colour;
    for (const i of rows) {
      if (!picked.has(i) || !shown[i]) continue;
      pen.beginPath();
      pen.arc(points[2 * i] * scale + x, points[2 * i + 1] * scale + y, half + 1, 0, 7);
      pen.fill();
    }
  }
}

function ring(i, radius) {
  const { scale, x, y } = state.view;
  pen.strokeStyle = css('--ink');
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(state.map.points[2 * i] * scale + x, state.map.points[2 * i + 1] * scale + y, radius, 0, 7);
  pen.stroke();
}

function drawLasso() {
  const { scale, x, y } = state.view;
  pen.strokeStyle = css('--ink');
  pen.setLineDash([5, 4]);
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (let i = 0; i < state.lasso.length; i += 2) pen.lineTo(state.lasso[i] * scale + x, state.lasso[i + 1] * scale + y);
  pen.closePath();
  pen.stroke();
  pen.setLineDash([]);
}

function refresh() {
  if (!state.pending) { state.pending = true; requestAnimationFrame(draw); }
}

function thumbnail(target, i) {
  const cell = cellOf(data.atlas, i), times = Math.max(1, Math.round(72 / Math.max(data.atlas.width, data.atlas.height)));
  target.width = data.atlas.width;
  target.height = data.atlas.height;
  target.style.width = `${data.atlas.width * times}px`;
  target.classList.toggle('smooth', data.atlas.width >= 64);
  target.getContext('2d').drawImage(at('atlas'), cell.x, cell.y, data.atlas.width, data.atlas.height, 0, 0, data.atlas.width, data.atlas.height);
}

const facts = (i) => [labels && className(labels[i]), values.error && `error ${short(values.error[i])}`, `distance ${short(values.density[i])}`].filter(Boolean).join(' · ');

function point(i, say) {
  state.hover = i;
  const card = at('card');
  card.hidden = i < 0;
  if (i >= 0) {
    thumbnail(at('thumb'), i);
    at('name').textContent = data.names[i];
    at('facts').textContent = facts(i);
    const { width, height } = size(), { scale, x, y } = state.view;
    const px = state.map.points[2 * i] * scale + x, py = state.map.points[2 * i + 1] * scale + y;
    const left = px > width / 2 ? px - card.offsetWidth - 14 : px + 14, top = py > height / 2 ? py - card.offsetHeight - 14 : py + 14;
    card.style.left = `${Math.max(2, Math.min(width - card.offsetWidth - 2, left))}px`;
    card.style.top = `${Math.max(2, Math.min(height - card.offsetHeight - 2, top))}px`;
    if (say) at('said').textContent = `${data.names[i]}, ${facts(i)}${picked.has(i) ? ', selected' : ''}`;
  }
  refresh();
}

function list() {
  const rows = [...picked].filter((i) => shown[i]).sort((a, b) => a - b), items = rows.slice(0, LISTED).map((i) => {
    const item = document.createElement('li'), picture = document.createElement('canvas'), text = document.createElement('span');
    thumbnail(picture, i);
    picture.style.width = '';
    text.textContent = data.names[i];
    text.title = facts(i);
    item.append(picture, text);
    return item;
  });
  at('files').replaceChildren(...items);
  const more = rows.length - items.length, files = `${rows.length.toLocaleString('en')} selected`;
  at('many').textContent = more > 0 ? `${files}; the first ${LISTED} are listed, the CSV has all` : files;
  for (const id of ['copy', 'save', 'clear']) at(id).disabled = rows.length === 0;
  refresh();
}

function table() {
  const rows = [...picked].filter((i) => shown[i]).sort((a, b) => a - b);
  const lines = rows.map((i) => [data.names[i], labels ? className(labels[i]) : '', values.error ? values.error[i] : '', values.density[i]]);
  return csvOf([['name', 'class', 'reconstruction_mse', 'latent_distance'], ...lines]);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(table());
    at('said').textContent = 'Copied.';
  } catch {
    at('said').textContent = 'The browser allows no copying here; download the CSV instead.';
  }
}

function save() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([table()], { type: 'text/csv' }));
  link.download = 'selection.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function filter() {
  for (let i = 0; i < count; i++) shown[i] = labels && hidden.has(labels[i]) ? 0 : 1;
  point(-1);
  list();
}

function classes() {
  if (!labels) { at('filter').hidden = true; return; }
  const tally = new Map();
  for (const label of labels) tally.set(label, (tally.get(label) ?? 0) + 1);
  const boxes = [...tally.keys()].sort((a, b) => a - b).map((label) => {
    const line = document.createElement('label'), box = document.createElement('input'), mark = document.createElement('i');
    box.type = 'checkbox';
    box.checked = true;
    mark.dataset.label = label;
    box.addEventListener('change', () => { box.checked ? hidden.delete(label) : hidden.add(label); filter(); });
    line.append(box, mark, `${className(label)} (${tally.get(label).toLocaleString('en')})`);
    return line;
  });
  at('classes').replaceChildren(...boxes);
  const all = (wanted) => { for (const line of boxes) if (line.firstChild.checked !== wanted) line.firstChild.click(); };
  at('all').addEventListener('click', () => all(true));
  at('none').addEventListener('click', () => all(false));
}

function fit() {
  const { width, height } = size();
  state.view = fitted(width, height, MARGIN);
  point(-1);
}

function zoom(factor, x, y) {
  const { width, height } = size(), whole = fitted(width, height, MARGIN).scale;
  state.view = zoomed(state.view, factor, x ?? width / 2, y ?? height / 2, whole / 2, whole * 200);
  point(-1);
}

const place = (event) => { const box = canvas.getBoundingClientRect(); return { x: event.clientX - box.left, y: event.clientY - box.top }; };
const inMap = ({ x, y }) => ({ x: (x - state.view.x) / state.view.scale, y: (y - state.view.y) / state.view.scale });

function hover(spot) {
  const { x, y } = inMap(spot), reach = REACH / state.view.scale;
  const found = nearestPoint(state.map.points, state.map.grid, shown, x, y, reach);
  if (found !== state.hover) point(found);
}

function moved(event) {
  const spot = place(event), before = fingers.get(event.pointerId);
  if (!before) { hover(spot); return; }
  if (fingers.size === 2) {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
    const was = Math.hypot(before.x - other.x, before.y - other.y), is = Math.hypot(spot.x - other.x, spot.y - other.y);
    state.lasso = [];
    if (was > 0) zoom(is / was, other.x, other.y);
  } else if (state.tool === 'lasso') {
    const { x, y } = inMap(spot);
    state.lasso.push(x, y);
    refresh();
  } else {
    state.view = { ...state.view, x: state.view.x + spot.x - before.x, y: state.view.y + spot.y - before.y };
    point(-1);
  }
  fingers.set(event.pointerId, { ...spot, far: before.far + Math.hypot(spot.x - before.x, spot.y - before.y) });
}

function pressed(event) {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { ...place(event), far: 0 });
  if (state.tool === 'lasso') { const { x, y } = inMap(place(event)); state.lasso = [x, y]; }
}

function released(event) {
  const last = fingers.get(event.pointerId);
  fingers.delete(event.pointerId);
  if (!last) return;
  if (last.far < 4) {
    hover(last);
    if (state.hover >= 0) toggle(state.hover);
  } else if (state.tool === 'lasso' && state.lasso.length > 4) {
    if (!event.shiftKey) picked.clear();
    for (const i of lassoed(state.map.points, shown, state.lasso)) picked.add(i);
    list();
  }
  state.lasso = [];
  refresh();
}

function toggle(i) {
  picked.has(i) ? picked.delete(i) : picked.add(i);
  list();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
function step(dx, dy) {
  const first = shown.indexOf(1);
  if (first < 0) return;
  const i = state.hover < 0 ? first : neighbourTowards(state.map.points, shown, state.hover, dx, dy);
  const { width, height } = size(), { scale, x, y } = state.view;
  const px = state.map.points[2 * i] * scale + x, py = state.map.points[2 * i + 1] * scale + y;
  if (px < 0 || py < 0 || px > width || py > height) state.view = { scale, x: x + width / 2 - px, y: y + height / 2 - py };
  point(i, true);
}

const KEYS = { '+': () => zoom(1.4), '=': () => zoom(1.4), '-': () => zoom(1 / 1.4), 0: fit,
  Escape: () => { picked.clear(); state.lasso = []; list(); point(-1); },
  Enter: () => state.hover >= 0 && (toggle(state.hover), point(state.hover, true)) };
KEYS[' '] = KEYS.Enter;

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key], act = KEYS[event.key];
  if (!arrow && !act) return;
  event.preventDefault();
  if (!arrow) act();
  else if (event.shiftKey) { state.view = { ...state.view, x: state.view.x - 40 * arrow[0], y: state.view.y - 40 * arrow[1] }; refresh(); }
  else step(...arrow);
}

function start() {
  at('map').addEventListener('change', (event) => {
    state.map = maps[+event.target.value];
    at('note').textContent = `${state.map.title}: ${state.map.note}.`;
    fit();
  });
  at('colour').value = state.colour;
  at('colour').addEventListener('change', (event) => { state.colour = event.target.value; recolour(); refresh(); });
  for (const radio of document.querySelectorAll('[name=tool]')) radio.addEventListener('change', () => { state.tool = radio.value; canvas.classList.toggle('lasso', radio.value === 'lasso'); });
  const clicks = { copy, save, fit, in: () => zoom(1.4), out: () => zoom(1 / 1.4), clear: KEYS.Escape };
  for (const [id, act] of Object.entries(clicks)) at(id).addEventListener('click', act);
  canvas.addEventListener('pointermove', moved);
  canvas.addEventListener('pointerdown', pressed);
  canvas.addEventListener('pointerup', released);
  canvas.addEventListener('pointercancel', (event) => { fingers.delete(event.pointerId); state.lasso = []; refresh(); });
  canvas.addEventListener('pointerleave', () => { if (!fingers.size) point(-1); });
  canvas.addEventListener('wheel', (event) => { event.preventDefault(); const { x, y } = place(event); zoom(Math.exp(-event.deltaY / 400), x, y); }, { passive: false });
  canvas.addEventListener('keydown', key);
  dark.addEventListener('change', () => { recolour(); refresh(); });
  let wide = size().width;
  new ResizeObserver(() => { if (size().width !== wide) { wide = size().width; fit(); } else refresh(); }).observe(canvas);
  classes();
  recolour();
  fit();
  list();
}
start();
