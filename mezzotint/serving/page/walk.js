// A walk from one picture of the map to another, decoded on the way.

import { post } from './api.js';
import { h, put, trouble } from './dom.js';
import { closer } from './picture.js';

const STEPS = 9;

/** The strip; `click(row)` takes the first picture, then the second. */
export function walker(run, world, plane, signal) {
  const element = h('div', { className: 'strip', role: 'status' });
  let from = -1;

  const end = (i, letter) => h('figure', {}, world.thumb(i), h('figcaption', {}, letter));

  function mark(...marks) {
    plane.marks = marks;
    plane.refresh();
  }

  async function click(i) {
    if (from < 0 || from === i) {
      from = i;
      mark([i, 'A']);
      put(element, h('p', { className: 'quiet' }, 'Now click where to go.'));
      return;
    }
    const first = from;
    from = -1;
    mark([first, 'A'], [i, 'B']);
    try {
      const { data } = await post(`/v1/runs/${run.id}/latents/walk`, { first, second: i, steps: STEPS }, signal);
      const steps = data.map((b64, k) => h('figure', {}, closer(b64, `step ${k + 1} of ${data.length}`)));
      put(element, h('h3', {}, 'From A to B'), h('div', { className: 'walk' }, end(first, 'A'), steps, end(i, 'B')));
    } catch (error) {
      if (!signal.aborted) put(element, trouble(error.message));
    }
  }

  return {
    element,
    click,
    reset() {
      from = -1;
      mark();
    },
  };
}
