// Pictures of one's own in front of a model: repaired, rebuilt, or judged.

import { upload } from './api.js';
import { button, empty, field, h, name, put, save, slider, trouble } from './dom.js';
import { dropZone, runPicker } from './pick.js';
import { closer } from './picture.js';
import { judged } from './judging.js';
import { many, short } from './words.js';

const AT_ONCE = 8;
let dropped = [];

export function open({ box, options, signal }) {
  const tabs = h('div', { className: 'tabs', role: 'group', 'aria-label': 'What to do' }),
    body = h('div');
  box.append(h('div', { className: 'head' }, h('h1', {}, 'Repair & detect'), tabs), body);
  const kinds = { repair: ['Repair', repair], detect: ['Find anomalies', detect] };
  let closing = new AbortController();
  signal.addEventListener('abort', () => closing.abort());

  function choose(kind) {
    closing.abort();
    closing = new AbortController();
    put(
      tabs,
      Object.entries(kinds).map(([key, [title]]) => button(title, () => choose(key), { ariaPressed: String(key === kind) })),
    );
    put(body);
    kinds[kind][1](body, options.get('run'), closing.signal);
  }
  choose(options.get('do') in kinds ? options.get('do') : 'repair');
}

/** The side panel and the place for results that both tools have. */
function bench(body, what, chosen, words, signal, act, ...more) {
  const out = h('section', { className: 'results', 'aria-label': 'Results' }),
    state = h('p', { className: 'quiet', role: 'status' });
  let run = null,
    busy = null;
  const drop = dropZone('Drop pictures here, or choose them', (files) => {
    dropped = files;
    go();
  });
  const picker = runPicker(
    what,
    chosen,
    (next) => {
      run = next;
      if (dropped.length) go();
    },
    signal,
  );
  const panel = h('div', { className: 'panel form' }, field('model', picker), drop, more, state);
  body.append(h('div', { className: 'sides' }, h('div', { className: 'side' }, panel), out));
  const nothing = () => put(out, empty(words[0], h('p', {}, words[1])));
  nothing();

  async function go() {
    if (!dropped.length) return;
    if (!run) {
      put(
        out,
        empty(
          'No model can do this yet',
          h('p', {}, 'Train one first; an autoencoder does.'),
          h('a', { className: 'button primary', href: '#/train' }, 'Train one'),
        ),
      );
      return;
    }
    busy?.abort();
    busy = new AbortController();
    const mine = busy,
      files = dropped;
    state.textContent = `Looking at ${many(files.length, 'picture')}…`;
    try {
      const answers = [];
      for (let at = 0; at < files.length; at += AT_ONCE)
        answers.push(await act.ask(run, files.slice(at, at + AT_ONCE), AbortSignal.any([signal, mine.signal])));
      state.textContent = '';
      act.show(out, answers, files, run);
    } catch (error) {
      if (signal.aborted || mine.signal.aborted) return;
      state.textContent = '';
      put(out, trouble(error.message));
    }
  }
  return go;
}

function repair(body, chosen, signal) {
  let wait = 0;
  const soon = () => {
    clearTimeout(wait);
    wait = setTimeout(() => go(), 250);
  };
  const noise = slider(
    'damage first',
    {
      min: 0,
      max: 1,
      step: 0.05,
      value: 0,
      text: (v) => (v ? v.toFixed(2) : 'none'),
      hint: 'Noise put on the pictures before the model sees them.',
    },
    soon,
  );
  const strength = slider(
    'strength',
    {
      min: 0.05,
      max: 1,
      step: 0.05,
      value: 0.3,
      text: (v) => v.toFixed(2),
      hint: 'How much of a picture a diffusion model paints anew.',
    },
    soon,
  );
  const walks = (run) => run.can.includes('strength');
  const act = {
    ask(run, files, abort) {
      noise.box.hidden = walks(run);
      strength.box.hidden = !walks(run);
      const fields = walks(run) ? { strength: strength.input.value } : { noise: +noise.input.value ? noise.input.value : null };
      return upload('/v1/reconstruct', files, { model: run.name, ...fields }, abort);
    },
    show(out, answers, files) {
      const rows = answers.flatMap((answer) => answer.data);
      put(
        out,
        h(
          'ul',
          { className: 'triples' },
          rows.map((row, i) =>
            h(
              'li',
              {},
              h('h3', {}, name(files[i].name)),
              triple(row, files[i].name),
              h('p', { className: 'quiet' }, `mean squared error ${short(row.error)}`),
            ),
          ),
        ),
      );
    },
  };
  strength.box.hidden = true;
  const go = bench(
    body,
    'reconstruct',
    chosen,
    [
      'What does the model make of your pictures?',
      'Drop some: each appears as it is, as the model saw it, and as the model gives it back.',
    ],
    signal,
    act,
    noise.box,
    strength.box,
  );
}

function triple(row, title) {
  const parts = [[row.original, 'yours']];
  if (row.seen !== row.original) parts.push([row.seen, 'damaged']);
  parts.push([row.b64_json, 'rebuilt']);
  return h(
    'div',
    { className: 'triple' },
    parts.map(([b64, words]) => h('figure', {}, closer(b64, `${words}: ${title}`), h('figcaption', {}, words))),
  );
}

function detect(body, chosen, signal) {
  const act = {
    ask: (run, files, abort) => upload('/v1/anomaly', files, { model: run.name }, abort),
    show(out, answers, files, run) {
      const [first] = answers,
        data = answers.flatMap((answer) => answer.data);
      const view = judged({ ...first, data: data.map((row, i) => ({ ...row, name: files[i].name })) });
      put(
        out,
        view.element,
        h(
          'div',
          { className: 'buttons' },
          button('Save as CSV', () => save(`anomalies-${run.name.replaceAll('/', '-')}.csv`, view.csv(), 'text/csv')),
        ),
      );
    },
  };
  bench(
    body,
    'anomaly',
    chosen,
    ['Which of your pictures are not like the good ones?', 'Drop some: they are judged by the good pictures that the run held out.'],
    signal,
    act,
  );
}
