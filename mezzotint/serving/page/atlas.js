// The map itself with its tools: look around, choose, walk.

import { chosenPanel } from './chosen.js';
import { button, field, h, name, put, say, select } from './dom.js';
import { hue, ramp } from './hues.js';
import { unpack } from './latents_math.js';
import { Plane } from './plane.js';
import { walker } from './walk.js';
import { count, short } from './words.js';
import { worldOf } from './world.js';

const SHADES = 12,
  KEYS = 60,
  ROOM = 16;
const TOOLS = {
  pan: ['Look', 'Drag to move, scroll to zoom. Click a picture to see what is near it.'],
  lasso: ['Choose', 'Draw around pictures to choose them.'],
  walk: ['Walk', 'Click one picture, then another, to see what lies between.'],
};

/** The view of a map; `update(map)` takes more maps of the same pictures, `state(now)` says how far they are. */
export function atlasView(stage, run, first, sheet, mark, signal, anew) {
  const world = worldOf(first, sheet, run.id, mark),
    { labels, values, total } = world;
  const canvas = h('canvas', {
    className: 'plane',
    tabIndex: 0,
    role: 'application',
    ariaLabel: `Map of ${count(total)} pictures. Arrows go from picture to picture, Enter picks, plus and minus zoom.`,
  });
  const card = h('div', { className: 'point-card', hidden: true }),
    plane = new Plane(canvas, heard, signal);
  const side = chosenPanel(run, world, plane, signal, anew),
    walk = walker(run, world, plane, signal);
  const scale = h('p', { className: 'scale' }),
    legend = h('div', { className: 'key-list', role: 'group', 'aria-label': 'Classes shown' });
  const state = h('p', { className: 'quiet', role: 'status' }),
    note = h('p', { className: 'quiet' });
  const tools = h('div', { className: 'tabs', role: 'group', 'aria-label': 'Drag or click to' });
  const maps = h('select', { on: { change: place } });
  const known = [
    labels && ['class', 'class'],
    values.error && ['error', 'reconstruction error'],
    ['density', 'distance from the centre'],
  ];
  const colours = select(known.filter(Boolean), null, { on: { change: paint } });
  const zooms = [
    button('+', () => plane.zoom(1.4), { ariaLabel: 'Zoom in' }),
    button('−', () => plane.zoom(1 / 1.4), { ariaLabel: 'Zoom out' }),
    button('Show all', () => plane.fit()),
  ];
  let map = first;

  put(
    stage,
    h('div', { className: 'controls' }, field('map', maps), field('colour', colours), tools, h('div', { className: 'buttons' }, zooms)),
    h(
      'div',
      { className: 'map' },
      h('div', {}, h('div', { className: 'stage' }, canvas, card), scale, legend, note, state, walk.element),
      side.element,
    ),
  );

  function use(kind) {
    plane.tool = canvas.dataset.tool = kind;
    walk.reset();
    note.textContent = TOOLS[kind][1];
    put(
      tools,
      Object.entries(TOOLS).map(([key, [title]]) => button(title, () => use(key), { ariaPressed: String(key === kind) })),
    );
  }

  function place() {
    const { points, note: words } = map.maps[Number(maps.value)];
    plane.show(Float32Array.from(unpack(points, Uint16Array), (v) => v / 65535));
    say(words);
  }

  function paint() {
    const byClass = colours.value === 'class';
    if (byClass) plane.byClass(labels, map.classes.length);
    const ends = byClass ? null : plane.byValue(values[colours.value]);
    put(scale, ends && [h('span', {}, short(ends[0])), shades(), h('span', {}, short(ends[1]))]);
    put(
      legend,
      byClass &&
        [...new Set(labels)]
          .sort((a, b) => a - b)
          .slice(0, KEYS)
          .map(key),
    );
  }

  function key(label) {
    const spot = coloured(hue(label, map.classes.length));
    const change = (event) => {
      for (let i = 0; i < total; i++) if (labels[i] === label) plane.shown[i] = Number(event.target.checked);
      plane.refresh();
    };
    return h(
      'label',
      { className: 'tick' },
      h('input', { type: 'checkbox', checked: true, on: { change } }),
      spot,
      name(label < 0 ? 'no class' : map.classes[label]),
    );
  }

  function heard(event) {
    if ('hover' in event) hover(event.hover, event.spot);
    if ('lasso' in event) side.choose(event.lasso);
    if ('clear' in event) {
      walk.reset();
      side.choose([]);
    }
    if ('pick' in event) (plane.tool === 'walk' ? walk.click : side.near)(event.pick);
  }

  function hover(i, spot) {
    card.hidden = i < 0;
    if (i < 0) return;
    put(card, world.thumb(i), h('p', {}, name(world.name(i))), h('p', { className: 'quiet' }, name(world.told(i))));
    const { clientWidth: width, clientHeight: height } = canvas,
      [x, y] = spot,
      left = x > width / 2,
      high = y > height / 2;
    card.style.left = left ? '' : `${x + ROOM}px`;
    card.style.right = left ? `${width - x + ROOM}px` : '';
    card.style.top = high ? '' : `${y + ROOM / 2}px`;
    card.style.bottom = high ? `${height - y + ROOM / 2}px` : '';
    if (document.activeElement === canvas) say(`${world.name(i)}, ${world.told(i)}`);
  }

  function listMaps() {
    const before = maps.value || '0';
    put(
      maps,
      map.maps.map((one, i) => h('option', { value: i }, one.title)),
    );
    maps.value = before;
  }

  listMaps();
  use('pan');
  paint();
  place();
  side.choose([]);
  stage.dataset.points = total;
  stage.plane = plane;
  return {
    update(next) {
      map = next;
      listMaps();
    },
    state(now) {
      state.textContent = now.working
        ? `${now.said.at(-1) ?? 'working'}…`
        : now.fresh
          ? ''
          : 'The model has been trained further since this map was made.';
    },
  };
}

function coloured(colour) {
  const spot = h('i');
  spot.style.background = colour;
  return spot;
}

const shades = () =>
  h(
    'span',
    { className: 'strip-colours' },
    Array.from({ length: SHADES }, (_, i) => coloured(ramp(i / (SHADES - 1)))),
  );
