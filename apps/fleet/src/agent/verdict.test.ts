import { expect, test } from 'vitest';
import type { LastLine } from './verdict.ts';
import { verdictOf } from './verdict.ts';

const NOW = new Date('2026-11-28T01:00:00Z');
const JOB = { policy: 'nightly', instance: 'web1', window: { begin: '2026-11-27T22:00:00.000Z', end: '2026-11-28T06:00:00.000Z' } };

type Instance = Extract<LastLine, { readonly type: 'result' }>['policies'][number]['instances'][number];

function result(instance: Partial<Instance>, problems: Instance['problems'] = []): LastLine {
  return { type: 'result', policies: [{ instances: [{ state: 'exported', problems: [], ...instance }], problems }] };
}

test('an export, or one that is there already, completes its job', () => {
  const { output, next } = verdictOf(result({ reference: 'web1@1', plainBytes: 5, storedBytes: 3 }), JOB, NOW);
  expect([next, output]).toEqual(['complete', { outcome: 'exported', reference: 'web1@1', plainBytes: 5, storedBytes: 3 }]);
  expect(verdictOf(result({ state: 'present', reference: 'web1@1' }), JOB, NOW)).toMatchObject({
    next: 'complete',
    output: { outcome: 'present' },
  });
});

test('an export that is not in all stores of its policy is tried again', () => {
  const problems = [{ code: 'STORE_DENIED', message: 'second says no' }];
  expect(verdictOf(result({ state: 'exported', reference: 'web1@1', problems }), JOB, NOW)).toEqual({
    next: 'retry',
    costsAttempt: true,
    delaySeconds: 300,
    output: { outcome: 'failed', code: 'STORE_DENIED', message: 'second says no' },
  });
});

test('what was left is tried again while the window is open by the clock of this host, and is left when it is over', () => {
  const left = result({ state: 'left' });
  expect(verdictOf(left, JOB, NOW)).toMatchObject({ next: 'retry', costsAttempt: false });
  expect(verdictOf(left, JOB, new Date(JOB.window.end))).toMatchObject({ next: 'complete', output: { outcome: 'left' } });
});

test('a problem of the policy counts where its instance is missing', () => {
  const problems = [{ code: 'INVENTORY_UNAVAILABLE', message: 'the cluster is down' }];
  const line: LastLine = { type: 'result', policies: [{ instances: [], problems }] };
  expect(verdictOf(line, JOB, NOW)).toMatchObject({ next: 'retry', output: { code: 'INVENTORY_UNAVAILABLE' } });
  expect(verdictOf({ type: 'result', policies: [{ instances: [], problems: [] }] }, JOB, NOW)).toMatchObject({
    output: { code: 'INTERNAL' },
  });
});

test('what an export that was killed said last is kept, and no message is longer than it may be', () => {
  const { output } = verdictOf(undefined, JOB, NOW, 'one\nSegmentation fault\n');
  expect(output.message).toBe('the export was killed, or the host went down; it said last: Segmentation fault');
  const long = verdictOf({ type: 'error', code: 'INTERNAL', message: 'x'.repeat(100_000) }, JOB, NOW);
  expect(long.output.message).toHaveLength(1000);
});
