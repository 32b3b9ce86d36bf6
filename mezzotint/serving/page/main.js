// Which view is open: the address after # says so, and a view ends when its signal aborts.

import { poll } from './api.js';
import { h, put, trouble } from './dom.js';
import { fitAll } from './picture.js';
import * as compare from './compare.js';
import * as explore from './explore.js';
import * as generate from './generate.js';
import * as look from './look.js';
import * as run from './run.js';
import * as runs from './runs.js';
import * as train from './train.js';

const VIEWS = { runs, run, train, generate, look, explore, compare };
const TABS = [
  ['runs', 'Runs'],
  ['train', 'Train'],
  ['generate', 'Generate'],
  ['look', 'Repair', ' & detect'],
  ['explore', 'Explore'],
  ['compare', 'Compare'],
];
const PARENT = { run: 'runs' };
let closing = new AbortController(),
  first = true;

/** The view's name, its argument and its options from an address such as #/run/ab12?kind=samples. */
function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [view = '', argument = ''] = path.split('/').map(decodeURIComponent);
  return { view: VIEWS[view] ? view : 'runs', argument, options: new URLSearchParams(query) };
}

async function show() {
  if (location.hash === '#view') return;
  const { view, argument, options } = place();
  delete document.documentElement.dataset.ready;
  closing.abort();
  closing = new AbortController();
  const { signal } = closing,
    box = h('div', { className: `view view-${view}` });
  for (const link of document.querySelectorAll('#nav a')) {
    const here = link.dataset.view === (PARENT[view] ?? view);
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  put(document.getElementById('view'), box);
  document.title = `${(TABS.find(([key]) => key === view) ?? ['', 'Run'])[1]} – mezzotint`;
  try {
    await VIEWS[view].open({ box, argument, options, signal });
  } catch (error) {
    if (!signal.aborted) box.append(trouble(error.message));
  }
  if (!first && !signal.aborted) document.getElementById('view').focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
  first = false;
  document.documentElement.dataset.ready = view;
}

put(
  document.getElementById('nav'),
  TABS.map(([view, title, more]) => {
    const link = h('a', { href: `#/${view}` }, title, more && h('span', { className: 'more' }, more));
    link.dataset.view = view;
    return link;
  }),
);
fitAll();
addEventListener('hashchange', show);
poll();
show();
