// One run: its pictures on a timeline, its curves, how it was made.

import { get, runOf, watch } from './api.js';
import { chart } from './chart.js';
import { button, facts, h, name, put, trouble } from './dom.js';
import { actions } from './control.js';
import { chip, progress } from './runs.js';
import { timeline } from './timeline.js';
import { count, lasting, many, short, title as plain } from './words.js';

const FIRST = 3;

export async function open({ box, argument: id, signal }) {
  const heading = h('h1'),
    state = chip(),
    numbers = h('p', { className: 'lead' }),
    bar = progress(),
    act = actions(signal);
  const film = timeline(id),
    curves = h('div', { className: 'charts' }),
    about = h('section', { className: 'about' });
  const back = h('a', { className: 'back', href: '#/runs' }, 'All runs');
  box.append(
    back,
    h('div', { className: 'head' }, heading, state.element),
    numbers,
    bar.element,
    act.element,
    h('div', { className: 'halves' }, film.element, h('section', { 'aria-label': 'Curves' }, curves)),
    about,
  );
  const drawer = curvesIn(curves);
  let seen = null,
    told = '';

  async function load() {
    const run = await get(`/v1/runs/${id}`, signal);
    put(heading, name(run.name));
    film.update(run.pictures, run.channels === 4);
    drawer(run);
    if (JSON.stringify(run.header) + run.events.length !== told) {
      told = JSON.stringify(run.header) + run.events.length;
      put(about, describe(run));
    }
  }

  await load();
  watch(() => {
    const run = runOf(id);
    if (!run) {
      if (!box.querySelector('.trouble')) heading.after(trouble('This run is no longer there.'));
      return;
    }
    state.update(run.status);
    numbers.textContent = line(run);
    bar.update(run);
    act.update(run);
    const mark = JSON.stringify([run.images, run.preview, run.status, run.stamp]);
    if (seen !== null && seen !== mark) load().catch(() => {});
    seen = mark;
  }, signal);
}

function line(run) {
  if (run.error) return run.error;
  if (run.status === 'failed') return `${run.family} · it ended before it began to train`;
  if (!run.size) return `${run.family} · reading the pictures`;
  const parts = [`${run.family}, ${run.size}`];
  if (run.status !== 'model') parts.push(many(run.images, 'image') + ' seen');
  for (const one of run.headline ?? []) parts.push(`${one.name} ${short(one.value)}`);
  if (run.seconds) parts.push(`${lasting(run.seconds)} of training`);
  if (run.status === 'running' && run.left !== null) parts.push(`about ${lasting(run.left)} left`);
  return parts.join(' · ');
}

/** Draws a chart for each number, training and held-out ones together, the family's own first. */
function curvesIn(place) {
  const made = new Map(),
    first = h('div', { className: 'charts' }),
    rest = h('div', { className: 'charts' });
  const more = h('details', { hidden: true }, h('summary', {}, 'More curves'), rest),
    none = h('p', { className: 'quiet' }, 'Curves appear with the first steps.');
  put(place, first, more, none);
  return (run) => {
    const { images = [], ...columns } = run.curves,
      wanted = (run.headline ?? []).map((one) => one.key.replace(/^validation_/, ''));
    const keys = [...new Set(Object.keys(columns).map((key) => key.replace(/^validation_/, '')))].filter((key) => key !== 'rate');
    keys.sort((a, b) => (wanted.indexOf(a) + 1 || 99) - (wanted.indexOf(b) + 1 || 99));
    if (columns.rate) keys.push('rate');
    none.hidden = keys.length > 0;
    for (const [at, key] of keys.entries()) {
      if (!made.has(key)) {
        made.set(key, chart(key === 'rate' ? 'learning rate' : plain(key)));
        (at < FIRST ? first : rest).append(made.get(key).element);
      }
      const lines = [
        [columns[key], 'training'],
        [columns[`validation_${key}`], 'held out'],
      ].filter(([values]) => values);
      made.get(key).update({ x: images, lines: lines.map(([values, title]) => ({ name: title, values })) });
    }
    more.hidden = !rest.children.length;
  };
}

function describe(run) {
  const { data = {}, recipe = {}, model = {}, versions = {} } = run.header;
  const shown = (value) => (Array.isArray(value) ? value.join(', ') : value === null ? '' : String(value));
  const table = (options) =>
    facts(
      Object.entries(options)
        .filter(([key]) => key !== 'classes')
        .map(([key, value]) => [key, shown(value)]),
    );
  return [
    h('h2', {}, 'How it was made'),
    data.spec && facts([['data', data.spec], ...(data.facts ?? []).slice(0, 6).map((fact, i) => [i ? '' : 'facts', fact])]),
    run.events.length > 0 &&
      h(
        'details',
        {},
        h('summary', {}, `${many(run.events.length, 'roll-back')} on the way`),
        h(
          'ul',
          {},
          run.events.map((event) => h('li', {}, name(event.what ?? ''), ` – back to ${count(event.back_to ?? 0)} images`)),
        ),
      ),
    h('details', {}, h('summary', {}, 'Options of training'), table(recipe)),
    h('details', {}, h('summary', {}, 'Options of the model'), table(model)),
    h('details', {}, h('summary', {}, 'Versions'), table(versions)),
  ];
}
