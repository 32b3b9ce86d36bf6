// One picture, pixel for pixel or larger: with buttons, keys, wheel and finger.

import { button, h, name, put, say } from './dom.js';

const SCALES = [1, 2, 4, 8];
const GROUNDS = { checks: 'Checks', white: 'White', black: 'Black' };

/** A dialog with the picture at `src`; `checks` says that something shows through it. */
export function openZoom({ src, title, checks = false }) {
  const image = h('img', { src, alt: title, decoding: 'async', draggable: false }),
    scales = h('div', { className: 'tabs', role: 'group', 'aria-label': 'Size' }),
    grounds = h('div', { className: 'tabs', role: 'group', 'aria-label': 'Behind it' }),
    told = h('p', { className: 'quiet', role: 'status' });
  const field = h('div', { className: 'zoom-field', tabIndex: 0, role: 'region', 'aria-label': `${title}; arrows move, plus and minus zoom` }, image);
  const dialog = h(
    'dialog',
    { className: 'zoom', 'aria-label': title },
    h('div', { className: 'zoom-head' }, h('h2', {}, name(title)), checks && grounds, scales, button('Close', () => dialog.close(), { className: 'small' })),
    field,
    told,
  );
  let scale = 0;

  /** Sizes on the screen: a picture's pixel is one of the screen's at 1. */
  const natural = (side) => image[side] / (devicePixelRatio || 1);
  const fitting = () => Math.min(field.clientWidth / natural('naturalWidth'), field.clientHeight / natural('naturalHeight'));

  function show(wanted) {
    const across = (field.scrollLeft + field.clientWidth / 2) / field.scrollWidth,
      down = (field.scrollTop + field.clientHeight / 2) / field.scrollHeight;
    scale = wanted;
    const times = scale || fitting();
    image.width = Math.max(1, Math.round(natural('naturalWidth') * times));
    image.height = Math.max(1, Math.round(natural('naturalHeight') * times));
    image.classList.toggle('reduced', times < 1);
    field.scrollLeft = across * field.scrollWidth - field.clientWidth / 2;
    field.scrollTop = down * field.scrollHeight - field.clientHeight / 2;
    const choices = [[0, 'Fit'], ...SCALES.map((one) => [one, `${one}:1`])];
    for (const [at, [one, words]] of choices.entries()) {
      const knob = scales.children[at] ?? scales.appendChild(button(words, () => show(one)));
      knob.ariaPressed = String(one === scale);
    }
    told.textContent = `${image.naturalWidth} x ${image.naturalHeight} pixels, ${scale ? `shown ${scale}:1` : `shown whole, at ${Math.round(100 * times)}%`}`;
  }

  function ground(kind) {
    for (const key of Object.keys(GROUNDS)) image.classList.toggle(key === 'checks' ? 'see-through' : `on-${key}`, key === kind);
    put(
      grounds,
      Object.entries(GROUNDS).map(([key, words]) => button(words, () => ground(key), { ariaPressed: String(key === kind) })),
    );
    grounds.querySelector('[aria-pressed=true]').focus();
  }

  /** The next size up or down. */
  function step(up) {
    const now = scale || fitting(),
      further = SCALES.filter((one) => (up ? one > now : one < now));
    show(further.length ? (up ? further[0] : further.at(-1)) : up ? SCALES.at(-1) : 0);
  }

  const keys = { '+': () => step(true), '=': () => step(true), '-': () => step(false), 0: () => show(0), 1: () => show(1) };
  dialog.addEventListener('keydown', (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  field.addEventListener('dblclick', () => show(scale === 1 ? 0 : 1));
  field.addEventListener('pointermove', (event) => {
    if (event.pointerType === 'mouse' && event.buttons & 1) field.scrollBy(-event.movementX, -event.movementY);
  });
  image.addEventListener('load', () => show(SCALES.findLast((one) => one <= fitting()) ?? 1));
  image.addEventListener('error', () => {
    told.textContent = 'This picture is no longer there.';
  });
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  if (checks) ground('checks');
  field.focus();
  say('Picture opened');
}
