// A run's pictures in the order it drew them, under a slider that follows the newest.

import { button, h, put, select } from './dom.js';
import { checked, zoomable } from './picture.js';
import { pictureOf } from './runs.js';
import { count } from './words.js';

const TITLES = { samples: 'Samples', reconstructions: 'Reconstructions' };
const NOTES = { samples: 'The same seeds every time.', reconstructions: 'The same unseen images every time.' };
const PACE = 350,
  VIEW = 'medium';

/** `update({kind: [images, ...]})` takes the pictures there are. */
export function timeline(id) {
  const tabs = h('div', { className: 'tabs', role: 'group', 'aria-label': 'Kind of picture' });
  const picture = h('img', { className: 'frame', alt: '' }),
    whole = () => pictureOf(id, kind, shots()[+range.value]),
    large = zoomable(picture, () => picture.alt, whole),
    when = h('output', { className: 'when' }),
    note = h('p', { className: 'quiet' });
  const range = h('input', {
    type: 'range',
    min: 0,
    max: 0,
    value: 0,
    'aria-label': 'Moment of training',
    on: {
      input: () => {
        follow = +range.value === last();
        stop();
        draw();
      },
    },
  });
  const play = button('Play', () => (timer ? stop() : start()), { className: 'small' });
  const newest = button(
    'Newest',
    () => {
      follow = true;
      stop();
      draw();
    },
    { className: 'small' },
  );
  const controls = h('div', { className: 'timeline' }, play, range, newest);
  const none = h('p', { className: 'frame-empty' }, 'The first picture appears soon after training begins.');
  const element = h(
    'section',
    { className: 'film', 'aria-label': 'Pictures' },
    tabs,
    h('figure', {}, large.element, none, h('figcaption', {}, when)),
    controls,
    note,
  );
  let all = {},
    kind = '',
    follow = true,
    timer = 0;

  const shots = () => all[kind] ?? [];
  const last = () => Math.max(0, shots().length - 1);

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = 'Play';
  }

  function start() {
    play.textContent = 'Pause';
    follow = false;
    if (+range.value >= last()) range.value = 0;
    draw();
    timer = setInterval(() => {
      if (!element.isConnected || +range.value >= last()) {
        follow = +range.value >= last();
        stop();
        return;
      }
      range.value = +range.value + 1;
      draw();
    }, PACE);
  }

  function draw() {
    const there = shots().length > 0;
    range.max = last();
    if (follow) range.value = last();
    large.element.hidden = controls.hidden = !there;
    none.hidden = there;
    controls.hidden = shots().length < 2;
    note.textContent = there ? (NOTES[kind] ?? '') : '';
    newest.hidden = follow;
    if (!there) {
      when.textContent = '';
      return;
    }
    const images = shots()[+range.value],
      address = pictureOf(id, kind, images, VIEW);
    if (picture.getAttribute('src') !== address) picture.src = address;
    picture.alt = `${TITLES[kind] ?? kind} after ${count(images)} images`;
    large.named();
    when.textContent = `after ${count(images)} images`;
    range.setAttribute('aria-valuetext', when.textContent);
    const next = shots()[+range.value + 1];
    if (next !== undefined) new Image().src = pictureOf(id, kind, next, VIEW);
  }

  return {
    element,
    update(pictures, alpha = false) {
      all = pictures;
      checked(picture, alpha);
      const kinds = Object.keys(all);
      if (!kinds.includes(kind)) kind = kinds[0] ?? '';
      tabs.hidden = kinds.length < 2;
      put(
        tabs,
        kinds.map((one) =>
          button(
            TITLES[one] ?? one,
            () => {
              kind = one;
              follow = true;
              stop();
              this.update(all, alpha);
            },
            { ariaPressed: String(one === kind) },
          ),
        ),
      );
      draw();
    },
  };
}
