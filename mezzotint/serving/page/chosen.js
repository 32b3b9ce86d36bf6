// Beside the map: the pictures that were chosen, or one and those that are nearest to it.

import { get } from './api.js';
import { button, h, name, put, save, trouble } from './dom.js';
import { csvOf } from './latents_math.js';
import { count, many } from './words.js';

const LISTED = 120,
  NEAR = 12;

/** The panel; `choose(rows)` and `near(row)` fill it, and mark the same pictures on the plane. */
export function chosenPanel(run, world, plane, signal, anew) {
  const element = h('aside', { className: 'side', 'aria-label': 'Chosen pictures' });
  const panel = (...inner) => put(element, h('section', { className: 'panel' }, inner));

  const tile = (i) =>
    h(
      'li',
      {},
      button(world.thumb(i), () => near(i), {
        className: 'bare',
        title: `${world.name(i)} · ${world.told(i)}`,
        ariaLabel: world.name(i),
      }),
    );
  const grid = (rows) => h('ul', { className: 'thumbs' }, rows.map(tile));
  const clear = () => button('Clear', () => choose([]), { className: 'small' });

  function choose(rows) {
    plane.picked = new Set(rows);
    plane.marks = [];
    plane.refresh();
    if (!rows.length) return hello();
    const table = () => csvOf([['file', 'class', 'error', 'distance'], ...rows.map(world.row)]);
    const more = rows.length > LISTED && h('p', { className: 'quiet' }, `and ${count(rows.length - LISTED)} more`);
    const keep = button('Save as CSV', () => save('chosen.csv', table(), 'text/csv'), { className: 'small' });
    return panel(
      h('h2', {}, many(rows.length, 'picture'), ' chosen'),
      grid(rows.slice(0, LISTED)),
      more,
      h('div', { className: 'buttons' }, keep, clear()),
    );
  }

  async function near(i) {
    plane.marks = [[i, '']];
    plane.refresh();
    try {
      const found = await get(`/v1/runs/${run.id}/latents/near?row=${i}&n=${NEAR}`, signal);
      plane.picked = new Set([i, ...found.rows]);
      plane.refresh();
      panel(
        h('div', { className: 'chosen' }, world.large(i)),
        h('h2', {}, name(world.name(i))),
        h('p', { className: 'quiet' }, name(world.told(i))),
        h('h3', {}, 'Nearest to it'),
        grid(found.rows),
        h('div', { className: 'buttons' }, clear()),
      );
    } catch (error) {
      if (!signal.aborted) put(element, trouble(error.message));
    }
  }

  function hello() {
    const { total, map } = world;
    const left = total < map.of ? `; ${count(map.of - total)} of ${count(map.of)} are left out, evenly` : '';
    return panel(
      h('h2', {}, many(total, 'picture')),
      h('p', { className: 'quiet' }, `${count(map.width)} numbers a picture${left}.`),
      button('Make a new map', anew, { className: 'small' }),
    );
  }

  return { element, choose, near };
}
