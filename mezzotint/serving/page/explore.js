// The latent explorer: where a model puts pictures, what is near what, and what lies between two.

import { get, post, runOf } from './api.js';
import { button, empty, field, h, name, put, save, say, select, trouble } from './dom.js';
import { csvOf, cellOf, unpack } from './latents_math.js';
import { runPicker } from './pick.js';
import { Plane, hue, ramp } from './plane.js';
import { address } from './png.js';
import { count, many, short } from './words.js';

const WAIT = 1000, LISTED = 120, NEAR = 12;
const SIZES = [[1000, '1,000'], [5000, '5,000'], [20000, '20,000'], [50000, '50,000']];

export function open({ box, argument, options, signal }) {
  const stage = h('div', { className: 'explorer' });
  let closing = new AbortController();
  signal.addEventListener('abort', () => closing.abort());
  const picker = runPicker('encode', argument || options.get('run'), (run) => {
    closing.abort();
    closing = new AbortController();
    if (run) visit(stage, run, closing.signal); else put(stage, empty('No model with a map yet', h('p', {}, 'Autoencoders and VAEs put every picture somewhere. Train one, and look around.'), h('a', { className: 'button primary', href: '#/train?family=vae' }, 'Train a VAE')));
  }, signal);
  box.append(h('div', { className: 'head' }, h('h1', {}, 'Explore'), h('div', { className: 'picker' }, picker)), stage);
  if (!picker.value) put(stage, empty('No model with a map yet', h('a', { className: 'button primary', href: '#/train?family=vae' }, 'Train a VAE')));
}

/** The maps of a run: as they are, while they are made, or a form to make them. */
async function visit(stage, run, signal) {
  let mark = '', shown = null;
  try {
    for (;;) {
      const now = await get(`/v1/runs/${run.id}/latents`, signal);
      if (now.status === 'ready' && now.mark !== mark) {
        mark = now.mark;
        const [map, sheet] = await Promise.all([get(`/v1/runs/${run.id}/latents/map`, signal), atlasOf(run.id, now.mark)]);
        if (shown) shown.update(map); else shown = atlasView(stage, run, map, sheet, now, signal, () => visit(stage, run, signal));
      }
      if (shown) shown.state(now);
      else if (now.status === 'working') put(stage, h('div', { className: 'empty' }, h('h2', {}, 'Laying out the pictures'), h('p', { role: 'status' }, name(now.said.at(-1) ?? 'starting'))));
      else if (now.status !== 'ready') { put(stage, await order(run, now, signal, () => visit(stage, run, signal))); return; }
      if (!now.working && now.status === 'ready') return;
      await new Promise((done) => setTimeout(done, WAIT));
      signal.throwIfAborted();
    }
  } catch (error) { if (!signal.aborted) put(stage, trouble(error.message)); }
}

function atlasOf(id, mark) {
  const image = new Image();
  image.src = `/v1/runs/${id}/latents/atlas?mark=${mark}`;
  return image.decode().then(() => image);
}

/** The form that has maps made. */
async function order(run, now, signal, again) {
  const { data } = await get('/v1/data', signal);
  const set = select([['', 'what the run was trained on'], ...data.map((one) => [one.id, one.name])], ''), points = select(SIZES, 5000), problem = h('div');
  const make = async () => {
    put(problem);
    try { await post(`/v1/runs/${run.id}/latents`, { data: set.value || null, points: Number(points.value) }, signal); again(); } catch (error) { if (!signal.aborted) put(problem, trouble(error.message)); }
  };
  return h('div', { className: 'order panel form' }, h('h2', {}, 'Make a map'), h('p', { className: 'quiet' }, 'Every picture is encoded, and pictures that the model finds alike come to lie side by side.'),
    now.status === 'failed' && trouble(now.said.join(' ')), field('pictures', set), field('how many at the most', points), problem, button('Make the map', make, { className: 'primary' }));
}

/** The map itself with its tools. */
function atlasView(stage, run, first, sheet, begun, signal, again) {
  let map = first, colour = 'class', at = 0, from = -1;
  const total = map.names.length, labels = map.labels && unpack(map.labels, Int16Array);
  const values = { error: map.error && unpack(map.error, Float32Array), density: unpack(map.density, Float32Array) };
  const canvas = h('canvas', { className: 'plane', tabIndex: 0, role: 'application' });
  canvas.setAttribute('aria-label', `Map of ${count(total)} pictures. Arrows go from picture to picture, Enter picks, plus and minus zoom.`);
  const card = h('div', { className: 'point-card', hidden: true }), side = h('aside', { className: 'side', 'aria-label': 'Chosen pictures' }), strip = h('div', { className: 'strip', role: 'status' }), scale = h('p', { className: 'scale' }), state = h('p', { className: 'quiet', role: 'status' }), note = h('p', { className: 'quiet' });
  const plane = new Plane(canvas, heard, signal), legend = h('div', { className: 'key-list', role: 'group', 'aria-label': 'Classes shown' });
  const maps = h('select', { on: { change: () => { at = Number(maps.value); place(); } } });
  const colours = select([labels && ['class', 'class'], values.error && ['error', 'reconstruction error'], ['density', 'distance from the centre']].filter(Boolean), null, { on: { change: () => { colour = colours.value; paint(); } } });
  const tools = h('div', { className: 'tabs', role: 'group', 'aria-label': 'Drag or click to' });
  const hints = { pan: 'Drag to move, scroll to zoom. Click a picture to see what is near it.', lasso: 'Draw around pictures to choose them.', walk: 'Click one picture, then another, to see what lies between.' };
  const tool = (kind) => { plane.tool = kind; from = -1; plane.marks = []; plane.refresh(); canvas.dataset.tool = kind; note.textContent = hints[kind]; put(tools, [['pan', 'Look'], ['lasso', 'Choose'], ['walk', 'Walk']].map(([key, title]) => button(title, () => tool(key), { ariaPressed: String(key === kind) }))); };
  put(stage, h('div', { className: 'controls' }, field('map', maps), field('colour', colours), tools, h('div', { className: 'buttons' }, button('+', () => plane.zoom(1.4), { ariaLabel: 'Zoom in' }), button('−', () => plane.zoom(1 / 1.4), { ariaLabel: 'Zoom out' }), button('Show all', () => plane.fit()))),
    h('div', { className: 'map' }, h('div', {}, h('div', { className: 'stage' }, canvas, card), scale, legend, note, state, strip), side));

  function place() {
    const { points } = map.maps[at];
    plane.show(Float32Array.from(unpack(points, Uint16Array), (v) => v / 65535));
    say(map.maps[at].note);
  }

  function paint() {
    const byClass = colour === 'class' && labels;
    if (byClass) plane.byClass(labels, map.classes.length);
    const ends = byClass ? null : plane.byValue(values[colour] ?? values.density);
    put(scale, ends && [h('span', {}, short(ends[0])), h('span', { className: 'strip-colours' }, Array.from({ length: 12 }, (_, i) => { const one = h('i'); one.style.background = ramp(i / 11); return one; })), h('span', {}, short(ends[1]))]);
    put(legend, byClass && [...new Set(labels)].sort((a, b) => a - b).slice(0, 60).map((label) => {
      const spot = h('i');
      spot.style.background = hue(label, map.classes.length);
      return h('label', { className: 'tick' }, h('input', { type: 'checkbox', checked: true, on: { change: (event) => { for (let i = 0; i < total; i++) if (labels[i] === label) plane.shown[i] = Number(event.target.checked); plane.refresh(); } } }), spot, name(label < 0 ? 'no class' : map.classes[label]));
    }));
  }

  const told = (i) => [labels && (labels[i] < 0 ? 'no class' : map.classes[labels[i]]), values.error && `error ${short(values.error[i])}`, `distance ${short(values.density[i])}`].filter(Boolean).join(' · ');

  function thumb(i) {
    const { width, height } = map.atlas, cell = cellOf(map.atlas, i), target = h('canvas', { width, height, className: 'thumb', role: 'img' });
    target.setAttribute('aria-label', map.names[i]);
    target.getContext('2d').drawImage(sheet, cell.x, cell.y, width, height, 0, 0, width, height);
    return target;
  }

  function heard(event) {
    if ('hover' in event) hover(event.hover, event.spot);
    if ('lasso' in event) choose(event.lasso);
    if ('clear' in event) { choose([]); plane.marks = []; from = -1; plane.refresh(); }
    if ('pick' in event) { if (plane.tool === 'walk') walk(event.pick); else near(event.pick); }
  }

  function hover(i, spot) {
    card.hidden = i < 0;
    if (i < 0) return;
    put(card, thumb(i), h('p', {}, name(map.names[i])), h('p', { className: 'quiet' }, name(told(i))));
    const left = spot[0] > canvas.clientWidth / 2, high = spot[1] > canvas.clientHeight / 2;
    card.style.left = left ? '' : `${spot[0] + 16}px`;
    card.style.right = left ? `${canvas.clientWidth - spot[0] + 16}px` : '';
    card.style.top = high ? '' : `${spot[1] + 8}px`;
    card.style.bottom = high ? `${canvas.clientHeight - spot[1] + 8}px` : '';
    if (document.activeElement === canvas) say(`${map.names[i]}, ${told(i)}`);
  }

  const grid = (rows) => h('ul', { className: 'thumbs' }, rows.map((i) => h('li', {}, button(thumb(i), () => near(i), { className: 'bare', title: `${map.names[i]} · ${told(i)}`, ariaLabel: map.names[i] }))));

  function choose(rows) {
    plane.picked = new Set(rows);
    plane.refresh();
    const table = () => csvOf([['file', 'class', 'error', 'distance'], ...rows.map((i) => [map.names[i], labels && labels[i] >= 0 ? map.classes[labels[i]] : '', values.error ? values.error[i] : '', values.density[i]])]);
    put(side, rows.length ? h('section', { className: 'panel' }, h('h2', {}, many(rows.length, 'picture'), ' chosen'), grid(rows.slice(0, LISTED)), rows.length > LISTED && h('p', { className: 'quiet' }, `and ${count(rows.length - LISTED)} more`), h('div', { className: 'buttons' }, button('Save as CSV', () => save('chosen.csv', table(), 'text/csv'), { className: 'small' }), button('Clear', () => choose([]), { className: 'small' }))) : hello());
  }

  async function near(i) {
    plane.marks = [[i, '']];
    try {
      const found = await get(`/v1/runs/${run.id}/latents/near?row=${i}&n=${NEAR}`, signal);
      plane.picked = new Set([i, ...found.rows]);
      plane.refresh();
      put(side, h('section', { className: 'panel' }, h('div', { className: 'chosen' }, thumb(i)), h('h2', {}, name(map.names[i])), h('p', { className: 'quiet' }, name(told(i))), h('h3', {}, 'Nearest to it'), grid(found.rows), h('div', { className: 'buttons' }, button('Clear', () => { plane.marks = []; choose([]); }, { className: 'small' }))));
    } catch (error) { if (!signal.aborted) put(side, trouble(error.message)); }
  }

  async function walk(i) {
    if (from < 0 || from === i) { from = i; plane.marks = [[i, 'A']]; plane.refresh(); put(strip, h('p', { className: 'quiet' }, 'Now click where to go.')); return; }
    const [first, second] = [from, i];
    plane.marks = [[first, 'A'], [second, 'B']];
    plane.refresh();
    from = -1;
    try {
      const { data } = await post(`/v1/runs/${run.id}/latents/walk`, { first, second, steps: 9 }, signal);
      put(strip, h('h3', {}, 'From A to B'), h('div', { className: 'walk' }, h('figure', {}, thumb(first), h('figcaption', {}, 'A')), data.map((b64, k) => h('figure', {}, h('img', { src: address(b64), alt: `step ${k + 1} of ${data.length}` }))), h('figure', {}, thumb(second), h('figcaption', {}, 'B'))));
    } catch (error) { if (!signal.aborted) put(strip, trouble(error.message)); }
  }

  function hello() {
    return h('section', { className: 'panel' }, h('h2', {}, many(total, 'picture')), h('p', { className: 'quiet' }, `${count(map.width)} numbers a picture${total < map.of ? `; ${count(map.of - total)} of ${count(map.of)} are left out, evenly` : ''}.`), button('Make a new map', async () => { put(stage, await order(runOf(run.id) ?? run, { status: 'none', said: [] }, signal, again)); }, { className: 'small' }));
  }

  function listMaps() {
    put(maps, map.maps.map((one, i) => h('option', { value: i }, one.title)));
    maps.value = at;
  }

  colour = colours.value;
  listMaps();
  tool('pan');
  paint();
  place();
  choose([]);
  stage.dataset.points = total;
  stage.plane = plane;
  return {
    update(next) { map = next; listMaps(); },
    state(now) { state.textContent = now.working ? `${now.said.at(-1) ?? 'working'}…` : now.fresh ? '' : 'The model has been trained further since this map was made.'; },
  };
}
