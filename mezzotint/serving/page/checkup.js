// What the dataset doctor says of a set, as cards; and asking for it until it is there.

import { get } from './api.js';
import { facts, h, name, trouble } from './dom.js';
import { count, many } from './words.js';

const WAIT = 700,
  EXAMPLES = 5;
const TITLES = { error: 'Stops training', warning: 'Spoils the result', note: 'Worth knowing' };

/** The report on a set; asks again while the doctor is at it. */
export async function checkupOf(id, signal) {
  for (;;) {
    const found = await get(`/v1/data/${id}/checkup`, signal);
    if (found.status === 'done') return found;
    await new Promise((done) => setTimeout(done, WAIT));
    signal.throwIfAborted();
  }
}

/** The report as elements. */
export function reported({ report, problem }) {
  if (!report) return trouble(problem);
  const classes = Object.entries(report.classes),
    [height, width] = report.suggested_size ?? [];
  const sizes = Object.keys(report.sizes.common);
  return h(
    'div',
    { className: 'checkup' },
    h('p', { className: report.exit_code ? 'verdict bad' : 'verdict good' }, verdict(report)),
    facts([
      ['pictures', `${count(report.usable)} of ${count(report.total)} can be used`],
      ['size', width ? `${sizes.length > 1 ? `${report.sizes.distinct} sizes; ` : ''}training takes ${width}x${height}` : ''],
      ['colour', report.suggested_channels === 1 ? 'grey' : 'colour'],
      [
        'classes',
        classes.length
          ? h(
              'span',
              { className: 'classes' },
              classes.slice(0, 30).map(([title, n]) => h('span', { className: 'tag' }, name(title), ` ${count(n)}`)),
              classes.length > 30 && ` and ${classes.length - 30} more`,
            )
          : 'none',
      ],
      ['captions', report.captions.count ? count(report.captions.count) : ''],
    ]),
    report.problems.length > 0 && h('ul', { className: 'problems' }, report.problems.map(item)),
  );
}

function verdict(report) {
  const errors = report.problems.filter((one) => one.severity === 'error').length;
  if (errors) return `${many(errors, 'problem')} to solve before training.`;
  const warnings = report.problems.filter((one) => one.severity === 'warning').length;
  return warnings ? `Ready to train; ${many(warnings, 'thing')} to look at.` : 'Ready to train.';
}

function item(problem) {
  const examples = problem.examples.slice(0, EXAMPLES);
  return h(
    'li',
    { className: problem.severity },
    h('p', {}, h('b', {}, TITLES[problem.severity]), ` – ${count(problem.count)} `, name(problem.what), '. ', name(problem.fix)),
    examples.length > 0 &&
      h(
        'details',
        {},
        h('summary', {}, 'Which?'),
        h(
          'ul',
          {},
          examples.map((one) => h('li', {}, name(one))),
        ),
      ),
  );
}
