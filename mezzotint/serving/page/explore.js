// The latent explorer: where a model puts pictures, what is near what, and what lies between two.

import { get, post, runOf } from './api.js';
import { atlasView } from './atlas.js';
import { button, empty, field, h, name, put, select, trouble } from './dom.js';
import { runPicker } from './pick.js';

const WAIT = 1000;
const SIZES = [
  [1000, '1,000'],
  [5000, '5,000'],
  [20000, '20,000'],
  [50000, '50,000'],
];

export function open({ box, argument, options, signal }) {
  const stage = h('div', { className: 'explorer' });
  let closing = new AbortController();
  signal.addEventListener('abort', () => closing.abort());
  const picker = runPicker(
    'encode',
    argument || options.get('run'),
    (run) => {
      closing.abort();
      closing = new AbortController();
      if (run) visit(stage, run, closing.signal);
      else
        put(
          stage,
          empty(
            'No model with a map yet',
            h('p', {}, 'Autoencoders and VAEs put every picture somewhere. Train one, and look around.'),
            h('a', { className: 'button primary', href: '#/train?family=vae' }, 'Train a VAE'),
          ),
        );
    },
    signal,
  );
  box.append(h('div', { className: 'head' }, h('h1', {}, 'Explore'), h('div', { className: 'picker' }, picker)), stage);
  if (!picker.value)
    put(stage, empty('No model with a map yet', h('a', { className: 'button primary', href: '#/train?family=vae' }, 'Train a VAE')));
}

/** The maps of a run: as they are, while they are made, or a form to make them. */
async function visit(stage, run, signal) {
  let mark = '',
    shown = null;
  const again = () => visit(stage, run, signal);
  const anew = async () => put(stage, await order(runOf(run.id) ?? run, { status: 'none', said: [] }, signal, again));
  try {
    for (;;) {
      const now = await get(`/v1/runs/${run.id}/latents`, signal);
      if (now.status === 'ready' && now.mark !== mark) {
        mark = now.mark;
        const [map, sheet] = await Promise.all([get(`/v1/runs/${run.id}/latents/map`, signal), atlasOf(run.id, now.mark)]);
        if (shown) shown.update(map);
        else shown = atlasView(stage, run, map, sheet, now.mark, signal, anew);
      }
      if (shown) shown.state(now);
      else if (now.status === 'working')
        put(
          stage,
          h(
            'div',
            { className: 'empty' },
            h('h2', {}, 'Laying out the pictures'),
            h('p', { role: 'status' }, name(now.said.at(-1) ?? 'starting')),
          ),
        );
      else if (now.status !== 'ready') {
        put(stage, await order(run, now, signal, again));
        return;
      }
      if (!now.working && now.status === 'ready') return;
      await new Promise((done) => setTimeout(done, WAIT));
      signal.throwIfAborted();
    }
  } catch (error) {
    if (!signal.aborted) put(stage, trouble(error.message));
  }
}

function atlasOf(id, mark) {
  const image = new Image();
  image.src = `/v1/runs/${id}/latents/atlas?mark=${mark}`;
  return image.decode().then(() => image);
}

/** The form that has maps made. */
async function order(run, now, signal, again) {
  const { data } = await get('/v1/data', signal);
  const set = select([['', 'what the run was trained on'], ...data.map((one) => [one.id, one.name])], ''),
    points = select(SIZES, 5000),
    problem = h('div');
  const make = async () => {
    put(problem);
    try {
      await post(`/v1/runs/${run.id}/latents`, { data: set.value || null, points: Number(points.value) }, signal);
      again();
    } catch (error) {
      if (!signal.aborted) put(problem, trouble(error.message));
    }
  };
  return h(
    'div',
    { className: 'order panel form' },
    h('h2', {}, 'Make a map'),
    h('p', { className: 'quiet' }, 'Every picture is encoded, and pictures that the model finds alike come to lie side by side.'),
    now.status === 'failed' && trouble(now.said.join(' ')),
    field('pictures', set),
    field('how many at the most', points),
    problem,
    button('Make the map', make, { className: 'primary' }),
  );
}
