// Training a model: pictures, the doctor's report, a family, how long, and off it goes.

import { get, poll, post, server } from './api.js';
import { checkupOf, reported } from './checkup.js';
import { field, h, name, put, select, trouble } from './dom.js';
import { optionsForm } from './form.js';
import { dropZone } from './pick.js';
import { filesOf, unwrapped, zipped } from './zip.js';

const FAMILIES = {
  autoencoder: ['Autoencoder', 'Squeezes pictures and rebuilds them. Finds what is wrong, removes noise.'],
  vae: ['VAE', 'A smooth map of your pictures, and new ones from any point of it.'],
  gan: ['GAN', 'Two networks that contend. Sharp new pictures, made at once.'],
  diffusion: ['Diffusion', 'New pictures out of noise, step by step. The best likeness.'],
  'kl-vae': ['KL-VAE', 'The first half of Stable Diffusion: larger pictures made small.'],
  'latent-diffusion': ['Diffusion of latents', 'New pictures of 128 pixels and more; an autoencoder is trained first.'],
  'text-to-image': ['Text to image', 'New pictures for your words. Needs pictures with captions.'],
};
const LENGTHS = [
  ['1m', '1 minute'],
  ['5m', '5 minutes'],
  ['10m', '10 minutes'],
  ['30m', '30 minutes'],
  ['1h', '1 hour'],
  ['4h', '4 hours'],
  ['', 'another length'],
];

export async function open({ box, options, signal }) {
  const about = await server();
  box.append(h('div', { className: 'head' }, h('h1', {}, 'Train')));
  if (about.single) {
    box.append(trouble('This server serves one run. Serve a folder of runs to train more: mezzotint serve runs/'));
    return;
  }
  const report = h('div', { className: 'report' }),
    list = h('div', { className: 'choices', role: 'radiogroup', 'aria-label': 'Pictures' }),
    problem = h('div'),
    progress = h('p', { className: 'quiet', role: 'status' });
  const state = {
    data: null,
    family: options.get('family') in FAMILIES ? options.get('family') : 'diffusion',
    preset: 'default',
    form: null,
    named: false,
  };
  let looking = new AbortController();
  signal.addEventListener('abort', () => looking.abort());

  const drop = dropZone('Drop a folder or a zip of pictures here', (files) => take(files.map((file) => [file.name, file])), {
    accept: 'image/*,.zip',
  });
  drop.addEventListener(
    'drop',
    async (event) => {
      event.stopImmediatePropagation();
      event.preventDefault();
      drop.classList.remove('over');
      take(await filesOf(event.dataTransfer));
    },
    true,
  );
  const folder = h('input', {
    type: 'file',
    multiple: true,
    className: 'said',
    on: {
      change: () => {
        if (folder.files.length) take([...folder.files].map((file) => [file.webkitRelativePath || file.name, file]));
      },
    },
  });
  folder.setAttribute('webkitdirectory', '');
  const families = h('div', { className: 'families', role: 'radiogroup', 'aria-label': 'Family' });
  const presets = h('div'),
    more = h('div'),
    title = h('input', {
      type: 'text',
      maxLength: 80,
      autocomplete: 'off',
      spellcheck: false,
      on: {
        input: () => {
          state.named = true;
        },
      },
    });
  const length = select(LENGTHS, '5m', {
      on: {
        change: () => {
          other.hidden = length.value !== '';
        },
      },
    }),
    other = h('input', { type: 'text', hidden: true, placeholder: '90s, 2h30m, or images: 500k', 'aria-label': 'Length' });
  const seed = h('input', { type: 'number', min: 0, value: 0 }),
    go = h('button', { type: 'submit', className: 'primary large' }, 'Start training');

  box.append(
    h(
      'form',
      {
        className: 'steps',
        on: {
          submit: (event) => {
            event.preventDefault();
            start();
          },
        },
      },
      h(
        'section',
        {},
        h('h2', {}, '1. Pictures'),
        h(
          'div',
          { className: 'pictures' },
          h('div', {}, drop, h('label', { className: 'button small pick' }, folder, 'Choose a folder'), progress),
          list,
        ),
        report,
      ),
      h(
        'section',
        {},
        h('h2', {}, '2. Model'),
        families,
        h('div', { className: 'pair' }, presets, field('length', h('span', {}, length, other))),
      ),
      h(
        'section',
        {},
        h('h2', {}, '3. Go'),
        h('div', { className: 'pair' }, field('name of the run', title), field('seed', seed)),
        more,
        problem,
        go,
      ),
    ),
  );
  put(
    families,
    about.families.map((key) =>
      radio('family', key, FAMILIES[key]?.[0] ?? key, FAMILIES[key]?.[1] ?? '', key === state.family, () => {
        state.family = key;
        state.preset = 'default';
        build();
      }),
    ),
  );

  async function sets(chosen) {
    const { data } = await get('/v1/data', signal);
    const wanted = data.find((one) => one.id === (chosen ?? state.data?.id)) ?? data.find((one) => one.id === 'digits') ?? data[0];
    put(
      list,
      data.map((one) => radio('data', one.id, one.name, one.note, one === wanted, () => look(one))),
    );
    if (wanted) look(wanted);
  }

  async function look(one) {
    if (state.data?.id === one.id && state.data.stamp === one.stamp) return;
    state.data = one;
    suggest();
    looking.abort();
    looking = new AbortController();
    const mine = looking;
    put(report, h('p', { className: 'quiet' }, 'The doctor is looking at the pictures…'));
    try {
      const found = await checkupOf(one.id, AbortSignal.any([signal, mine.signal]));
      put(report, h('h3', {}, 'What the doctor says of ', name(one.name)), reported(found));
    } catch (error) {
      if (!mine.signal.aborted && !signal.aborted) put(report, trouble(error.message));
    }
  }

  async function take(pairs) {
    put(problem);
    try {
      const single = pairs.length === 1 && /\.zip$/i.test(pairs[0][0]),
        { name: called, files } = unwrapped(pairs);
      const kept = files.filter(([path]) => !path.split('/').some((part) => part.startsWith('.')));
      if (!kept.length) throw new Error('There are no files in it.');
      const body = single
        ? pairs[0][1]
        : await zipped(kept, (done, all) => {
            progress.textContent = `Packing ${done} of ${all} files`;
          });
      progress.textContent = 'Handing them to the server…';
      const response = await fetch(`/v1/data?name=${encodeURIComponent(single ? pairs[0][0] : called)}`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/zip' },
        signal,
      });
      const told = await response.json();
      if (!response.ok) throw new Error(told.error.message);
      progress.textContent = '';
      await sets(told.id);
    } catch (error) {
      if (!signal.aborted) {
        progress.textContent = '';
        put(report, trouble(error.message));
      }
    }
  }

  async function build() {
    const told = await get(`/v1/families/${state.family}`, signal),
      names = Object.keys(told.presets);
    const preset = select(
      names.map((one) => [one, one]),
      state.preset,
      {
        on: {
          change: () => {
            state.preset = preset.value;
            form(told);
          },
        },
      },
    );
    put(presets, field('preset', preset, 'A set of options known to work.'));
    form(told);
    suggest();
  }

  function form(told) {
    state.form = optionsForm(told, state.preset);
    put(more, state.form.element);
  }

  function suggest() {
    if (state.named || !state.data) return;
    const stem =
      state.data.name
        .split('/')
        .pop()
        .replace(/[^A-Za-z0-9_-]+/g, '-')
        .replace(/^[^A-Za-z0-9]+|-+$/g, '') || 'pictures';
    title.value = `${state.family}-${stem}`.slice(0, 70);
  }

  async function start() {
    put(problem);
    go.disabled = true;
    const given = length.value || other.value.trim(),
      long = /^[\d.]+[kKmMgG]?$/.test(given) && !length.value ? { images: given } : { budget: given };
    const asked = {
      name: title.value.trim(),
      family: state.family,
      data: state.data?.id ?? '',
      preset: state.preset,
      options: { ...state.form.value(), ...long, seed: Number(seed.value) || 0 },
    };
    try {
      const begun = await begin(asked);
      await poll();
      location.hash = `#/run/${begun.id}`;
    } catch (error) {
      if (!signal.aborted) put(problem, trouble(error.message));
    } finally {
      go.disabled = false;
    }
  }

  /** Start; while the suggested name is taken, try the next one. */
  async function begin(asked) {
    for (let number = 1; ; number++) {
      try {
        return await post('/v1/runs', number > 1 ? { ...asked, name: `${asked.name}-${number}` } : asked);
      } catch (error) {
        if (error.status !== 409 || error.param !== 'name' || state.named || number > 50) throw error;
      }
    }
  }

  await Promise.all([sets(options.get('data')), build()]);
}

function radio(group, value, title, words, checked, choose) {
  const input = h('input', { type: 'radio', name: group, value, checked, on: { change: choose } });
  return h('label', { className: 'choice' }, input, h('span', {}, h('b', {}, name(title)), h('small', {}, name(words))));
}
