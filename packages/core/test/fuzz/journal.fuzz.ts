import type { FuzzTarget } from '@gantry/testkit';
import { parseJournal } from '../../src/runs/journal-file.ts';
import { recordTarget } from './records.ts';

const header = {
  runId: 'r',
  operation: 'export',
  instance: 'web1',
  pid: 1,
  startTime: 2,
  bootId: 'b',
  started: '2026-11-23T08:15:00.000Z',
};
const record = { kind: 'snapshot', provider: 'reflink', data: { path: '/x' } };

/** What a run left that was killed. */
const target: FuzzTarget = recordTarget({
  seeds: () => [
    [header, { remember: 1, record }, { remember: 2, record }, { forget: 1 }].map((line) => `${JSON.stringify(line)}\n`).join(''),
    `${JSON.stringify(header)}\n{"remember":1,"rec`,
  ],
  words: ['"forget"', '"remember"', '{"forget":1}\n'],
  parse: (text) => parseJournal(Buffer.from(text)),
  isRefusal: (error) => error instanceof Error && /^line \d+ is not a line of a journal$/.test(error.message),
  use({ bytes, records }) {
    if (!Number.isSafeInteger(bytes)) throw new Error('a length that is not one');
    JSON.stringify([...records]);
  },
});

export default target;
