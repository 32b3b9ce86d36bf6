// Runs side by side: equal seeds to look at, and the table of `mezzotint compare`.

import { get, post, runs, stream, watch } from './api.js';
import { button, empty, field, h, name, put, select, slider, trouble } from './dom.js';
import { closer } from './picture.js';
import { short } from './words.js';

const LEAST = 2,
  MOST = 6,
  WAIT = 1500;
const ARROWS = { lower: 'lower is better', higher: 'higher is better', '': '' };

export async function open({ box, options, signal }) {
  const chosen = new Set((options.get('runs') ?? '').split(',').filter(Boolean));
  const list = h('div', { className: 'choices compare-list', role: 'group', 'aria-label': 'Runs to compare' }),
    told = h('p', { className: 'quiet', role: 'status' });
  const label = h('div'),
    prompt = h('textarea', { rows: 2, maxLength: 4000 }),
    words = h('div'),
    seeds = slider('pictures of each', { min: 2, max: 10, step: 1, value: 6 }),
    seed = h('input', { type: 'number', min: 0, value: 0 });
  const grid = h('section', { className: 'side-by-side', 'aria-label': 'Side by side' }),
    table = h('section', { className: 'measured', 'aria-label': 'Measured' });
  const go = button(
    'Show side by side',
    () => {
      picture();
      measured();
    },
    { className: 'primary' },
  );
  box.append(
    h('div', { className: 'head' }, h('h1', {}, 'Compare')),
    h(
      'div',
      { className: 'sides' },
      h(
        'div',
        { className: 'side' },
        h('div', { className: 'panel form' }, list, told, words, label, seeds.box, field('first seed', seed), go),
      ),
      h('div', {}, grid, table),
    ),
  );
  let drawn = '',
    classes = null,
    work = null;
  signal.addEventListener('abort', () => work?.abort());
  put(grid, empty('Two to six runs, one set of seeds', h('p', {}, 'Choose them, and look at what each makes of the same chance.')));

  const able = () => (runs() ?? []).filter((run) => run.has_model && (run.can.includes('generate') || run.can.includes('reconstruct')));
  const picked = () => [...chosen].map((id) => able().find((run) => run.id === id)).filter(Boolean);

  function tick(id, on) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    history.replaceState(null, '', `#/compare?runs=${[...chosen].join(',')}`);
    ready();
  }

  function ready() {
    const n = picked().length;
    go.disabled = n < LEAST || n > MOST;
    told.textContent = n < LEAST ? 'Choose at least two.' : n > MOST ? 'Six at the most.' : '';
    const makers = picked().filter((run) => run.can.includes('label') && run.classes.length);
    const shared = makers.length ? makers[0].classes.filter((one) => makers.every((run) => run.classes.includes(one))) : [];
    const before = classes?.value;
    classes = shared.length ? select([['', 'drawn by the seed'], ...shared.map((one) => [`=${one}`, one])], before) : null;
    if (classes && !classes.value) classes.value = '';
    put(label, classes && field('class', classes));
    put(words, picked().some((run) => run.can.includes('prompt')) && field('prompt', prompt));
  }

  watch(() => {
    const now = JSON.stringify(able().map((run) => [run.id, run.name]));
    if (now === drawn) return;
    drawn = now;
    put(
      list,
      able().length
        ? able().map((run) =>
            h(
              'label',
              { className: 'choice' },
              h('input', {
                type: 'checkbox',
                checked: chosen.has(run.id),
                on: { change: (event) => tick(run.id, event.target.checked) },
              }),
              h('span', {}, h('b', {}, name(run.name)), h('small', {}, `${run.family} · ${run.size}`)),
            ),
          )
        : h('p', { className: 'quiet' }, 'There is no finished run yet.'),
    );
    ready();
    if (picked().length >= LEAST && options.get('runs') && !grid.querySelector('table')) {
      picture();
      measured();
    }
  }, signal);

  /** The pictures of each run, seed by seed. */
  async function picture() {
    work?.abort();
    work = new AbortController();
    const mine = AbortSignal.any([signal, work.signal]),
      n = Number(seeds.input.value),
      first = Number(seed.value) || 0;
    const rows = picked().map((run) => ({
      run,
      cells: Array.from({ length: n }, () => h('td', {}, h('span', { className: 'blank' }))),
    }));
    put(
      grid,
      h(
        'div',
        { className: 'scroll' },
        h(
          'table',
          { className: 'pictures-table' },
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              h('th', {}, 'seed'),
              Array.from({ length: n }, (_, i) => h('th', {}, String(first + i))),
            ),
          ),
          h(
            'tbody',
            {},
            rows.map(({ run, cells }) =>
              h(
                'tr',
                {},
                h('th', { scope: 'row' }, h('a', { href: `#/run/${run.id}` }, name(run.name)), h('small', {}, run.family)),
                run.can.includes('generate') ? cells : h('td', { colSpan: n, className: 'quiet' }, 'makes no new pictures'),
              ),
            ),
          ),
        ),
      ),
    );
    for (const { run, cells } of rows.filter((row) => row.run.can.includes('generate'))) {
      const asked = { prompt: run.can.includes('prompt') ? prompt.value : '', model: run.name, seed: first, n, stream: true };
      if (classes?.value && run.classes.length) asked.label = classes.value.slice(1);
      try {
        for await (const [, data] of stream('/v1/images/generations', asked, mine))
          put(cells[data.image_index], closer(data.b64_json, `${run.name}, seed ${data.seed}`));
      } catch (error) {
        if (mine.aborted) return;
        cells.forEach((cell, i) => (i ? cell.remove() : ((cell.colSpan = n), put(cell, trouble(error.message)))));
      }
    }
  }

  /** The table: there already, being made, or to be made. */
  function measured() {
    const ids = picked().map((run) => run.id),
      problem = h('div');
    const data = h('select', { 'aria-label': 'Pictures to measure on' });
    get('/v1/data', signal)
      .then((found) =>
        put(
          data,
          [['', 'what they were trained on'], ...found.data.map((one) => [one.id, one.name])].map(([value, words]) =>
            h('option', { value }, words),
          ),
        ),
      )
      .catch(() => {});
    const start = button('Measure them', async () => {
      put(problem);
      start.disabled = true;
      try {
        follow((await post('/v1/compare', { runs: ids, data: data.value || null }, signal)).key);
      } catch (error) {
        if (!signal.aborted) put(problem, trouble(error.message));
        start.disabled = false;
      }
    });
    put(
      table,
      h('h2', {}, 'Measured'),
      h(
        'p',
        { className: 'quiet' },
        'Distances to real pictures, variety, copying, exactness and speed, each with its 95% interval. This takes minutes.',
      ),
      h('div', { className: 'measure' }, field('on', data), start),
      problem,
    );
  }

  async function follow(key) {
    try {
      for (;;) {
        const now = await get(`/v1/compare/${key}`, signal);
        if (now.status === 'ready') {
          put(table, h('h2', {}, 'Measured'), tableOf(now.table));
          return;
        }
        if (now.status === 'failed') {
          put(table, h('h2', {}, 'Measured'), trouble(now.said.join(' ')));
          return;
        }
        put(
          table,
          h('h2', {}, 'Measured'),
          h('p', { role: 'status' }, name(now.said.at(-1) ?? 'starting')),
          h('progress', { 'aria-label': 'measuring' }),
        );
        await new Promise((done) => setTimeout(done, WAIT));
        signal.throwIfAborted();
      }
    } catch (error) {
      if (!signal.aborted) put(table, trouble(error.message));
    }
  }
}

/** A comparison as a table. */
function tableOf({ models, groups, headline, cautions }) {
  return [
    headline.map((words) => h('p', { className: 'lead' }, name(words))),
    cautions.map((words) => h('p', { className: 'quiet' }, name(words))),
    h(
      'div',
      { className: 'scroll' },
      h(
        'table',
        { className: 'numbers-table' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            h('th', {}),
            models.map((one) => h('th', { scope: 'col' }, name(one.name))),
          ),
        ),
        groups.map((group) =>
          h(
            'tbody',
            {},
            h('tr', {}, h('th', { colSpan: models.length + 1, className: 'group', scope: 'rowgroup' }, group.title)),
            group.rows.map((row) =>
              h(
                'tr',
                {},
                h('th', { scope: 'row', title: row.meaning }, row.title, h('small', {}, ARROWS[row.better])),
                row.cells.map(cell),
              ),
            ),
          ),
        ),
      ),
    ),
    models
      .filter((one) => one.good_for.length)
      .map((one) =>
        h(
          'section',
          {},
          h('h3', {}, name(one.name)),
          h(
            'ul',
            {},
            one.good_for.map((words) => h('li', {}, name(words))),
          ),
        ),
      ),
  ];
}

function cell(one) {
  if (!one) return h('td', { className: 'quiet' }, '–');
  const interval = one.low !== null && one.high !== null ? h('small', {}, `${short(one.low)} to ${short(one.high)}`) : null;
  return h(
    'td',
    { className: one.place === 'best' ? 'best' : '' },
    h('b', {}, short(one.value)),
    one.unit && h('span', { className: 'quiet' }, ` ${one.unit}`),
    interval,
    one.place && h('small', { className: 'place' }, one.place),
  );
}
