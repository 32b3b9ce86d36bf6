// All runs as cards that stay in place while their numbers move.

import { poll, runs, watch } from './api.js';
import { empty, h, name, put, s } from './dom.js';
import { STATES, count, large, lasting, many, short } from './words.js';

const ORDER = ['running', 'starting', 'failed', 'interrupted', 'finished', 'model'];
const SEARCHABLE = 8;

export function open({ box, signal }) {
  const list = h('ul', { className: 'cards' }),
    told = h('p', { className: 'lead' });
  const search = h('input', {
    type: 'search',
    placeholder: 'Find a run',
    'aria-label': 'Find a run',
    hidden: true,
    on: { input: () => draw(runs() ?? []) },
  });
  box.append(h('div', { className: 'head' }, h('h1', {}, 'Runs'), search), told, list);
  const cards = new Map();

  function draw(all) {
    search.hidden = all.length < SEARCHABLE;
    const words = search.value.trim().toLowerCase();
    const shown = all.filter((run) => `${run.name} ${run.family}`.toLowerCase().includes(words)).sort(byState);
    told.textContent = all.length ? summary(all) : '';
    if (!all.length) return put(list, h('li', { className: 'wide' }, nothing()));
    const wanted = shown.map((run) => {
      if (!cards.has(run.id)) cards.set(run.id, card());
      cards.get(run.id).update(run);
      return cards.get(run.id).element;
    });
    const same = wanted.length === list.children.length && wanted.every((element, i) => list.children[i] === element);
    if (!same) put(list, wanted.length ? wanted : h('li', { className: 'wide' }, empty('No run has that name')));
    return undefined;
  }

  watch(draw, signal);
  if (!runs()) poll();
}

const byState = (a, b) =>
  ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || (b.created ?? 0) - (a.created ?? 0) || a.name.localeCompare(b.name);

function summary(all) {
  const live = all.filter((run) => run.status === 'running').length;
  return `${many(all.length, 'run')}${live ? `, ${live} training now` : ''}.`;
}

function nothing() {
  return empty(
    'Nothing is trained yet',
    h('p', {}, 'Give it a folder of pictures, and watch a model learn them.'),
    h('a', { className: 'button primary', href: '#/train' }, 'Train a first model'),
  );
}

/** A run's card; `update` changes only what has changed. */
function card() {
  const picture = h('div', { className: 'card-picture' }),
    title = h('h2'),
    kind = h('p', { className: 'card-kind' });
  const state = chip(),
    numbers = h('p', { className: 'card-numbers' }),
    spark = h('div', { className: 'spark' }),
    bar = progress();
  const link = h(
    'a',
    { className: 'card' },
    picture,
    h('div', { className: 'card-text' }, h('div', { className: 'card-head' }, title, state.element), kind, spark, numbers, bar.element),
  );
  const element = h('li', {}, link);
  let drawn = '';
  return {
    element,
    update(run) {
      const now = JSON.stringify(run);
      if (now === drawn) return;
      drawn = now;
      link.href = `#/run/${run.id}`;
      put(title, name(run.name));
      kind.textContent =
        run.error ?? [run.family, run.size, run.classes.length && `${run.classes.length} classes`].filter(Boolean).join(' · ');
      state.update(run.status);
      put(numbers, told(run));
      put(spark, sparkline(run.spark ?? []));
      bar.update(run);
      show(picture, run);
    },
  };
}

function told(run) {
  if (run.error || run.status === 'model' || run.status === 'failed') return [];
  if (!run.size) return ['reading the pictures'];
  const [first] = run.headline ?? [];
  const parts = [[large(run.images), 'images seen', `${count(run.images)} images seen`]];
  if (first) parts.push([short(first.value), first.name, `${first.name}: ${first.value}`]);
  if (run.status === 'running' && run.left !== null) parts.push([lasting(run.left), 'left', '']);
  return parts.map(([value, what, hint]) => h('span', { title: hint }, h('b', {}, value), ` ${what}`));
}

function show(box, run) {
  const address = run.preview ? pictureOf(run.id, run.preview.kind, run.preview.images, 'small') : '';
  const image = box.querySelector('img');
  box.classList.toggle('see-through', run.channels === 4);
  if (!address) {
    put(box, h('span', { className: 'no-picture', 'aria-hidden': 'true' }));
    return;
  }
  if (image) {
    if (image.getAttribute('src') !== address) image.src = address;
    return;
  }
  put(box, h('img', { src: address, alt: `Newest ${run.preview.kind}`, loading: 'lazy', decoding: 'async' }));
}

/** Address of a picture that a run drew of itself: whole, or `small` or `medium`. */
export const pictureOf = (id, kind, images, view = '') => `/v1/runs/${id}/pictures/${kind}/${images}${view && `?view=${view}`}`;

/** A state as a coloured word. */
export function chip() {
  const element = h('span', { className: 'chip' });
  return {
    element,
    update(state) {
      element.className = `chip ${state}`;
      element.textContent = STATES[state] ?? state;
    },
  };
}

/** How much of a run is done; only while there is something left. */
export function progress() {
  const element = h('progress', { max: 1, 'aria-label': 'done' });
  return {
    element,
    update(run) {
      element.hidden = !(run.progress < 1 && run.progress > 0);
      element.value = run.progress ?? 0;
    },
  };
}

function sparkline(values) {
  const there = values.filter((v) => v !== null);
  if (there.length < 3) return [];
  const sorted = [...there].sort((a, b) => a - b),
    low = sorted[0],
    high = sorted[Math.floor(0.95 * (sorted.length - 1))];
  const y = (v) => 30 - 27 * Math.min(1, Math.max(0, (v - low) / (high - low || 1)));
  const points = there.map((v, i) => `${((i / (there.length - 1)) * 200).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
  return s('svg', { viewBox: '0 0 200 32', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, s('polyline', { points }));
}
