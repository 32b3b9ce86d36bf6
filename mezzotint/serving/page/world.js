// The pictures of a map: their names, numbers and thumbnails.

import { h } from './dom.js';
import { zoomable } from './picture.js';
import { cellOf, unpack } from './latents_math.js';
import { short } from './words.js';

const SMOOTH = 64; // pixels of a thumbnail that is rather shown smaller than larger

/** What is known of every picture; `sheet` is the image that holds all thumbnails. */
export function worldOf(map, sheet, id, mark) {
  const labels = map.labels && unpack(map.labels, Int16Array);
  const errors = map.error && unpack(map.error, Float32Array),
    density = unpack(map.density, Float32Array);
  const className = (i) => (labels[i] < 0 ? 'no class' : map.classes[labels[i]]);
  return {
    map,
    labels,
    values: { error: errors, density },
    total: map.names.length,
    name: (i) => map.names[i],
    className,
    told: (i) =>
      [labels && className(i), errors && `error ${short(errors[i])}`, `distance ${short(density[i])}`].filter(Boolean).join(' · '),
    row: (i) => [map.names[i], labels && labels[i] >= 0 ? className(i) : '', errors ? errors[i] : '', density[i]],
    /** The picture as large as the server has it. */
    large(i) {
      if (!map.larger) return this.thumb(i);
      const src = `/v1/runs/${id}/latents/picture?row=${i}&mark=${mark}`,
        image = h('img', { src, alt: map.names[i], className: `whole ${map.channels === 4 ? 'see-through' : ''}` });
      return zoomable(image, () => map.names[i]).element;
    },
    thumb(i) {
      const { width, height } = map.atlas,
        cell = cellOf(map.atlas, i);
      const target = h('canvas', { width, height, className: `thumb ${width < SMOOTH ? '' : 'reduced'} ${map.channels === 4 ? 'see-through' : ''}`, role: 'img', ariaLabel: map.names[i] });
      target.getContext('2d').drawImage(sheet, cell.x, cell.y, width, height, 0, 0, width, height);
      return target;
    },
  };
}
