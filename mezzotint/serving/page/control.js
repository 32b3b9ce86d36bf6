// What can be done with a run from its page.

import { h, put } from './dom.js';

/** Links and buttons; `update(run)` keeps them true. */
export function actions() {
  const element = h('div', { className: 'actions' });
  let drawn = '';
  return {
    element,
    update(run) {
      const now = JSON.stringify([run.status, run.can, run.has_model]);
      if (now === drawn) return;
      drawn = now;
      const able = (what) => run.has_model && run.can.includes(what);
      put(element,
        able('generate') && h('a', { className: 'button primary', href: `#/generate?run=${run.id}` }, 'Generate'),
        able('reconstruct') && h('a', { className: 'button', href: `#/look?run=${run.id}` }, 'Repair & detect'),
        able('encode') && h('a', { className: 'button', href: `#/explore/${run.id}` }, 'Explore'),
        run.has_model && h('a', { className: 'button', href: `#/compare?runs=${run.id}` }, 'Compare'));
    },
  };
}
