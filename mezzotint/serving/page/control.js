// What can be done with a run from its page.

import { get, poll, post } from './api.js';
import { button, h, name, put, say, trouble } from './dom.js';

/** Links and buttons; `update(run)` keeps them true. */
export function actions(signal) {
  const links = h('div', { className: 'actions' }),
    told = h('div'),
    element = h('div', {}, links, told);
  let drawn = '',
    asked = '';

  async function order(run, what, said) {
    asked = what;
    put(told);
    try {
      await post(`/v1/runs/${run.id}/${what}`, {}, signal);
      say(said);
      put(told, h('p', { className: 'quiet' }, said));
    } catch (error) {
      asked = '';
      if (!signal.aborted) put(told, trouble(error.message));
    }
    poll();
  }

  async function why(run) {
    const { lines } = await get(`/v1/runs/${run.id}/log`, signal);
    put(
      told,
      lines.length > 0 &&
        h(
          'div',
          {},
          h('p', { className: 'quiet' }, 'The last it said:'),
          h('pre', { className: 'command' }, name(lines.slice(-8).join('\n'))),
        ),
    );
  }

  return {
    element,
    update(run) {
      const now = JSON.stringify([run.status, run.can, run.has_model]);
      if (now === drawn) return;
      const moved = drawn !== '';
      drawn = now;
      if (moved) {
        asked = '';
        put(told);
      }
      const able = (what) => run.has_model && run.can.includes(what);
      const link = (title, href, more = '') => h('a', { className: `button ${more}`, href }, title);
      const stopped = run.status === 'interrupted' || run.status === 'failed';
      put(
        links,
        stopped &&
          button(
            run.status === 'failed' ? 'Try again' : 'Resume',
            () => !asked && order(run, 'resume', 'It goes on from where it stopped.'),
            { className: 'primary' },
          ),
        able('generate') &&
          link(run.status === 'running' ? 'Sample now' : 'Generate', `#/generate?run=${run.id}`, stopped ? '' : 'primary'),
        able('reconstruct') && link('Repair & detect', `#/look?run=${run.id}`, able('generate') || stopped ? '' : 'primary'),
        able('encode') && link('Explore', `#/explore/${run.id}`),
        run.has_model && link('Compare', `#/compare?runs=${run.id}`),
        ['running', 'starting'].includes(run.status) &&
          button('Stop', () => !asked && order(run, 'stop', 'It saves a checkpoint and stops.'), { className: 'danger' }),
      );
      if (stopped) why(run).catch(() => {});
    },
  };
}
