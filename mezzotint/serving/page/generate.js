// New pictures from a model, as they come out of the noise.

import { runs, server, stream } from './api.js';
import { button, empty, field, h, put, say, select, slider, trouble } from './dom.js';
import { dropZone, runPicker } from './pick.js';
import { dropped } from './picture.js';
import { recordOf } from './png.js';
import { described } from './shot.js';
import { tile } from './tile.js';
import { many } from './words.js';

const AT_ONCE = 8, // a CPU's forward pass has as many rows
  LANES = 2, // so that the next pictures wait while the last ones of a request are made
  MOST = 64,
  KEPT = 200,
  PARTIALS = { partial_images: 3, partial_side: 128 };
const shots = [];

export async function open({ box, options, signal }) {
  const about = await server();
  const fields = h('div', { className: 'fields' }),
    wall = h('ul', { className: 'wall' }),
    said = h('p', { className: 'quiet', role: 'status' }),
    problem = h('div');
  const go = h('button', { type: 'submit', className: 'primary' }, 'Generate'),
    stop = button('Stop', () => work?.abort(), { hidden: true });
  const seed = h('input', { type: 'number', min: 0, max: 2 ** 53, step: 1, value: Number(options.get('seed') ?? 0) });
  const n = slider('pictures', { min: 1, max: MOST, step: 1, value: 8 });
  let run = null,
    controls = {},
    work = null;

  const picker = runPicker(
    'generate',
    options.get('run'),
    (chosen) => {
      run = chosen;
      build();
    },
    signal,
  );
  const form = h(
    'form',
    {
      className: 'panel form',
      on: {
        submit: (event) => {
          event.preventDefault();
          make();
        },
      },
    },
    field('model', picker),
    fields,
    h(
      'div',
      { className: 'seed' },
      field('seed', seed),
      button(
        'New seed',
        () => {
          seed.value = Math.floor(Math.random() * 1e6);
        },
        { className: 'small' },
      ),
      h('small', {}, 'The next picture has the next seed.'),
    ),
    n.box,
    h('div', { className: 'buttons' }, go, stop),
  );
  const record = h(
    'div',
    { className: 'panel' },
    h('h2', {}, 'How was this made?'),
    dropZone('Drop a picture here, or choose one', ([file]) => read(file), { multiple: false, accept: 'image/png' }),
    h('div', { className: 'record' }),
  );
  box.append(
    h('div', { className: 'head' }, h('h1', {}, 'Generate')),
    h(
      'div',
      { className: 'sides' },
      h('div', { className: 'side' }, form, record),
      h('section', { 'aria-label': 'Pictures' }, problem, said, wall),
    ),
  );
  for (const shot of shots) wall.append(tile(shot, use).element);
  if (!shots.length) told();
  signal.addEventListener('abort', () => work?.abort());

  function told() {
    const able = (runs() ?? []).some((one) => one.has_model && one.can.includes('generate'));
    put(
      wall,
      h(
        'li',
        { className: 'wide' },
        able || !runs()
          ? empty('A blank plate', h('p', {}, 'Choose a model and press Generate. Pictures appear as they are made.'))
          : empty('No model can make pictures yet', h('a', { className: 'button primary', href: '#/train' }, 'Train one')),
      ),
    );
  }

  function build() {
    go.disabled = !run;
    controls = run ? controlsOf(run, about) : {};
    put(
      fields,
      Object.values(controls).map((one) => one.box),
    );
  }

  function asked() {
    const body = { prompt: '', model: run.name };
    for (const [key, one] of Object.entries(controls)) {
      const value = one.value();
      if (value !== undefined) body[key] = value;
    }
    return body;
  }

  function use(settings, from) {
    const wanted = (runs() ?? []).find((one) => one.name === settings.model);
    if (wanted) {
      picker.value = wanted.id;
      picker.dispatchEvent(new Event('change'));
    } else build(); // what the settings leave out is the model's own, not what stood there
    for (const [key, one] of Object.entries(controls)) if (settings[key] !== undefined) one.set(settings[key]);
    seed.value = from;
    say('The form has these settings now');
  }

  async function make() {
    work?.abort();
    work = new AbortController();
    const mine = work,
      settings = asked(),
      first = Number(seed.value) || 0,
      count = Number(n.input.value),
      name = run.name;
    go.disabled = true;
    stop.hidden = false;
    put(problem);
    if (!shots.length) put(wall);
    const tiles = Array.from({ length: count }, (_, i) => tile({ run: name, asked: settings, seed: first + i, url: '' }, use));
    wall.prepend(...tiles.map((one) => one.element));
    const began = performance.now();
    const starts = Array.from({ length: Math.ceil(count / AT_ONCE) }, (_, i) => i * AT_ONCE);
    let done = 0;
    const lane = async () => {
      for (let start; (start = starts.shift()) !== undefined;) {
        const body = { ...settings, ...PARTIALS, seed: first + start, n: Math.min(AT_ONCE, count - start), stream: true };
        for await (const [kind, data] of stream('/v1/images/generations', body, mine.signal)) {
          const one = tiles[start + data.image_index];
          if (kind.endsWith('completed')) {
            await one.finish(data);
            done++;
            shots.unshift(one.shot);
          } else one.show(data.b64_json);
          said.textContent = `${done} of ${many(count, 'picture')}`;
        }
      }
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
      said.textContent = `${many(count, 'picture')} in ${((performance.now() - began) / 1000).toFixed(1)} s`;
    } catch (error) {
      if (!mine.signal.aborted) put(problem, trouble(error.message));
      else said.textContent = `Stopped after ${many(done, 'picture')}.`;
      mine.abort();
      for (const one of tiles) if (!one.shot.url) one.element.remove();
      if (!shots.length) told();
    }
    for (const gone of shots.splice(KEPT)) {
      gone.element?.remove();
      dropped(gone);
    }
    if (work === mine) {
      go.disabled = !run;
      stop.hidden = true;
    }
  }

  async function read(file) {
    const place = record.querySelector('.record'),
      found = recordOf(new Uint8Array(await file.arrayBuffer()));
    if (!found) {
      put(place, trouble('This file holds no record of mezzotint.'));
      return;
    }
    const settings = {
      num_inference_steps: found.steps,
      guidance_scale: found.guidance,
      solver: found.solver,
      label: found.label ?? undefined,
      prompt: found.prompt,
      negative_prompt: found.negative_prompt,
    };
    put(place, described(found), Number.isInteger(found.seed) && button('Use these settings', () => use(settings, found.seed)));
  }
}

/** The controls a model has, by the API's names: each gives its value, or nothing to leave it out. */
function controlsOf(run, about) {
  const made = {},
    { defaults } = run;
  if (run.can.includes('prompt')) {
    const input = h('textarea', { rows: 2, maxLength: 4000 });
    made.prompt = {
      box: field('prompt', input),
      value: () => input.value,
      set: (v) => {
        input.value = v;
      },
    };
  }
  if (run.can.includes('negative_prompt')) {
    const input = h('textarea', { rows: 1, maxLength: 4000 });
    made.negative_prompt = {
      box: field('what to avoid', input),
      value: () => input.value || undefined,
      set: (v) => {
        input.value = v;
      },
    };
  }
  if (run.can.includes('label') && run.classes.length) {
    const input = select([['', 'drawn by the seed'], ...run.classes.map((one) => [`=${one}`, one]), ['none', 'no class']], '', {
      dir: 'auto',
    });
    const value = () => (input.value === '' ? undefined : input.value.replace(/^=/, ''));
    made.label = {
      box: field('class', input),
      value,
      set: (v) => {
        input.value = run.classes.includes(String(v)) ? `=${v}` : v === 'none' ? 'none' : '';
      },
    };
  }
  const number = (key, title, settings) => {
    const one = slider(title, settings);
    made[key] = { box: one.box, value: () => Number(one.input.value), set: one.set };
  };
  if (run.can.includes('steps'))
    number('num_inference_steps', 'steps', {
      min: 1,
      max: Math.min(100, about.limits.steps),
      step: 1,
      value: Math.min(100, defaults.steps ?? 10),
    });
  if (run.can.includes('guidance') && run.classes.length + run.can.includes('prompt') > 0)
    number('guidance_scale', 'guidance', {
      min: 0,
      max: 10,
      step: 0.1,
      value: defaults.guidance ?? 1,
      text: (v) => v.toFixed(1),
      hint: '1 is off; more keeps closer to what is asked.',
    });
  if (run.can.includes('solver')) {
    const known = about.solvers.includes(defaults.solver),
      named = about.solvers.map((one) => [one, one]),
      input = select(known ? named : [['', 'its own'], ...named], known ? defaults.solver : '');
    made.solver = {
      box: field('solver', input),
      value: () => input.value || undefined,
      set: (v) => {
        input.value = v;
      },
    };
  }
  return made;
}
