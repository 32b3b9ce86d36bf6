// One made picture, large: how it was made, made again, made into a command.

import { post } from './api.js';
import { button, facts, h, name, put, save, say, trouble } from './dom.js';
import { closer, zoomable } from './picture.js';
import { bytesOf, recordOf, samePicture } from './png.js';

/** The dialog of a picture {bytes, url, asked, run}; `use` puts its settings back into the form. */
export function openShot(shot, use) {
  const record = recordOf(shot.bytes) ?? {},
    seed = shot.seed,
    title = `Picture of seed ${seed}`;
  const image = h('img', { className: `frame ${shot.checks ? 'see-through' : ''}`, src: shot.url, alt: title });
  const verdict = h('p', { className: 'verdict', role: 'status' });
  const dialog = h(
    'dialog',
    { className: 'shot', 'aria-label': 'How this picture was made' },
    h(
      'div',
      { className: 'shot-body' },
      zoomable(image, () => title).element,
      h(
        'div',
        {},
        h('h2', {}, 'How it was made'),
        described(record, shot),
        h('p', { className: 'quiet' }, 'The same on the command line, in the folder of the runs:'),
        h('code', { className: 'command' }, command(shot, record)),
        h(
          'div',
          { className: 'buttons' },
          button('Make it again', again, { className: 'primary' }),
          button('Use these settings', () => {
            use(shot.asked, seed);
            dialog.close();
          }),
          button('Save', () => save(`${shot.run.replaceAll('/', '-')}-${seed}.png`, shot.bytes, 'image/png')),
          button('Close', () => dialog.close()),
        ),
        verdict,
      ),
    ),
  );

  async function again() {
    put(verdict, 'Making it again…');
    try {
      const { stream, partial_images: _, ...asked } = shot.asked;
      const made = await post('/v1/images/generations', { ...asked, seed, n: 1 });
      const same = samePicture(bytesOf(made.data[0].b64_json), shot.bytes);
      put(
        verdict,
        h('span', { className: 'again' }, closer(made.data[0].b64_json, 'Made again')),
        same ? 'The same picture, byte for byte.' : 'Not the same: the model has changed since.',
      );
      verdict.className = same ? 'verdict good' : 'verdict bad';
    } catch (error) {
      put(verdict, trouble(error.message));
    }
  }

  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  say('Picture opened');
}

const WORDS = {
  seed: 'seed',
  label: 'class',
  steps: 'steps',
  solver: 'solver',
  guidance: 'guidance',
  prompt: 'prompt',
  negative_prompt: 'avoided',
  version: 'mezzotint',
  model: 'family',
};

/** A record as facts. */
export function described(record, shot = null) {
  const shown = shot ? [['run', shot.run]] : [];
  for (const [key, title] of Object.entries(WORDS))
    if (record[key] !== undefined && record[key] !== null) shown.push([title, String(record[key])]);
  return facts(shown);
}

const quoted = (text) => (/^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The command that makes the same file; a model that reads text drew for an empty prompt too, which the command has to say. */
export function command({ run, asked, seed }, record) {
  const words = ['mezzotint', 'sample', quoted(run), '-n', '1', '--seed', String(seed)];
  if (typeof record.prompt === 'string') words.push('--prompt', quoted(record.prompt));
  const options = [
    ['negative_prompt', '--negative-prompt'],
    ['label', '--label'],
    ['num_inference_steps', '--steps'],
    ['guidance_scale', '--guidance'],
    ['solver', '--solver'],
  ];
  for (const [key, flag] of options) if (asked[key] !== undefined) words.push(flag, quoted(String(asked[key])));
  return name([...words, '--out', 'picture/'].join(' '));
}
