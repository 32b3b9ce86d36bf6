// Choosing a run that can do something, and dropping pictures: what several views share.

import { runs, watch } from './api.js';
import { h, put } from './dom.js';

/** A select of the runs that can do `what`; `change` hears the chosen run, also when it changes by itself. */
export function runPicker(what, chosen, change, signal) {
  const element = h('select', { 'aria-label': 'Model', on: { change: () => tell() } });
  let names = '',
    last = '';
  const able = () =>
    (runs() ?? []).filter((run) => run.has_model && run.can.includes(what)).sort((a, b) => (b.created ?? 0) - (a.created ?? 0));

  function tell() {
    const run = able().find((one) => one.id === element.value);
    const now = JSON.stringify([run?.id, run?.classes, run?.stamp]);
    if (now !== last) {
      last = now;
      change(run);
    }
  }

  watch(() => {
    const all = able(),
      now = JSON.stringify(all.map((run) => [run.id, run.name]));
    if (now !== names) {
      const before = element.value || chosen;
      names = now;
      put(
        element,
        all.map((run) => h('option', { value: run.id, dir: 'auto' }, run.name)),
      );
      if (all.some((run) => run.id === before)) element.value = before;
    }
    tell();
  }, signal);
  return element;
}

/** A place to drop files on, or to choose them with; `take` gets an array of files. */
export function dropZone(words, take, { multiple = true, accept = 'image/*' } = {}) {
  const input = h('input', {
    type: 'file',
    multiple,
    accept,
    className: 'said',
    on: {
      change: () => {
        if (input.files.length) take([...input.files]);
        input.value = '';
      },
    },
  });
  const element = h('label', { className: 'drop' }, input, h('span', {}, words));
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    element.classList.add('over');
  });
  element.addEventListener('dragleave', () => element.classList.remove('over'));
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    element.classList.remove('over');
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
  });
  return element;
}
