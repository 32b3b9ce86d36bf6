// One picture on the wall: on its way out of the noise, then done.

import { button, h } from './dom.js';
import { checked, kept } from './picture.js';
import { address, seesThrough } from './png.js';
import { openShot } from './shot.js';

/** `shot` is what was asked for, {run, asked, seed, url}, and is filled once the picture is there; `use` takes its settings. */
export function tile(shot, use) {
  const image = h('img', { alt: '', hidden: !shot.url, decoding: 'async', loading: 'lazy' }),
    label = h('span', { className: 'tile-label' });
  const open = button([image, label], () => openShot(shot, use), {
    className: `tile ${shot.url ? '' : 'waiting'}`,
    disabled: !shot.url,
  });
  const caption = () => {
    image.src = shot.tile;
    checked(image, shot.checks);
    label.textContent = shot.label ?? '';
    image.alt = `Seed ${shot.seed}${shot.label ? `, ${shot.label}` : ''}`;
    open.title = image.alt;
  };
  if (shot.url) caption();
  shot.element = h('li', {}, open);
  return {
    shot,
    element: shot.element,
    show(b64) {
      image.src = address(b64);
      checked(image, seesThrough(b64));
      image.hidden = false;
      open.className = 'tile coming';
    },
    async finish(data) {
      Object.assign(shot, await kept(data.b64_json), { seed: data.seed, label: data.label });
      image.hidden = open.disabled = false;
      open.className = 'tile';
      caption();
    },
  };
}
