import { describe, expect, test } from 'vitest';
import type { LastLine, Verdict } from './verdict.ts';
import { parseLastLine, verdictOf } from './verdict.ts';

const NOW = new Date('2026-11-28T01:00:00Z');
const JOB = { policy: 'nightly', instance: 'web1', window: { begin: '2026-11-27T22:00:00.000Z', end: '2026-11-28T06:00:00.000Z' } };

type Instance = Extract<LastLine, { readonly policies: unknown }>['policies'][number]['instances'][number];

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

test('an export that the store has from before the window of the planner is not one of this window', () => {
  const at = (id: string): unknown => verdictOf(result({ state: 'present', reference: `web1@${id}` }), JOB, NOW);
  expect(at('20261127T220000Z')).toMatchObject({ next: 'complete' });
  expect(at('20261127T215959Z')).toMatchObject({
    next: 'reject',
    output: {
      code: 'CONFIGURATION_INVALID',
      message: expect.stringMatching(/^web1@\S+ is from before the window.*2026-11-27T22:00:00.000Z.*time zone/),
    },
  });
  // One that was asked for has no window: the call says how old it may be.
  const asked = { policy: 'nightly', instance: 'web1', asked: '2026-11-28T00:00:00.000Z' };
  expect(verdictOf(result({ state: 'present', reference: 'web1@20261127T215959Z' }), asked, NOW)).toMatchObject({ next: 'complete' });
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

describe('work at a store', () => {
  const AT_STORE = { ...JOB, instance: 'vault', work: 'store' as const };
  const stores = [{ copied: { exports: 3 } }, { verified: { exports: 12, damaged: [], left: 2 }, pruned: { removed: ['web1@1'] } }];
  const verdict = (...codes: readonly string[]): Verdict => {
    const problems = codes.map((code) => ({ code, message: `${code} of web1` }));
    return verdictOf({ type: 'result', policies: [{ instances: [], problems, stores, warnings: ['1 left'] }] }, AT_STORE, NOW);
  };

  test('that is done says what was done', () => {
    const message = '3 copied; 12 verified, 2 left for later; 1 removed; 1 left';
    expect(verdict()).toEqual({ next: 'complete', output: { outcome: 'done', message } });
    expect(verdictOf({ type: 'result', policies: [] }, AT_STORE, NOW)).toMatchObject({ output: { message: 'nothing was to be done' } });
  });

  test('that found damage is not tried again, unless something else failed that this can mend', () => {
    for (const code of ['DUMP_DAMAGED', 'MANIFEST_DAMAGED', 'SIGNATURE_MISSING'])
      expect(verdict(code)).toMatchObject({ next: 'reject', output: { outcome: 'failed', code } });
    const message = 'STORE_UNAVAILABLE of web1; and 1 more problem';
    expect(verdict('DUMP_DAMAGED', 'STORE_UNAVAILABLE')).toMatchObject({ next: 'retry', costsAttempt: true, output: { message } });
  });
});

describe('a restore', () => {
  const RESTORE = { ...JOB, work: 'restore' as const, restore: { store: 'vault', export: 'web1' } };

  test('that is done says into what, or what it would do', () => {
    const plan = { into: 'web1', disks: [{ target: '/dev/vg/web1' }, { action: 'create', target: '/dev/vg/web2' }] };
    const line = { type: 'result', operation: 'import', reference: 'web1@1', instance: 'web1', plainBytes: 5, plan } as const;
    const verdict = (dryRun: boolean): Verdict => verdictOf(parseLastLine(JSON.stringify({ ...line, dryRun })), RESTORE, NOW);
    const output = { outcome: 'done', reference: 'web1@1', plainBytes: 5 };
    expect(verdict(false)).toEqual({ next: 'complete', output: { ...output, message: 'restored into web1' } });
    expect(verdict(true)).toMatchObject({ output: { message: 'dry run: would overwrite /dev/vg/web1, create /dev/vg/web2 of web1' } });
  });

  test('is never tried again: another attempt could overwrite what its user did meanwhile', () => {
    const verdict = (code: string): Verdict => verdictOf({ type: 'error', code, message: 'why' }, RESTORE, NOW);
    for (const code of ['BUSY', 'STORE_UNAVAILABLE', 'CONFIRM_NEEDED', 'INSTANCE_ELSEWHERE'])
      expect(verdict(code)).toMatchObject({ next: 'reject', output: { outcome: 'failed', code } });
    expect(verdictOf(undefined, RESTORE, NOW)).toMatchObject({ next: 'reject', output: { code: 'KILLED' } });
  });
});

const FINAL = `CONFIGURATION_UNREADABLE CONFIGURATION_SYNTAX CONFIGURATION_INVALID INSTANCE_FILE_UNREADABLE INSTANCE_INVALID OS_NOT_FOUND
  OS_INVALID USAGE RECIPIENT_INVALID IDENTITY_UNUSABLE SIGNING_FAILED STORE_ADDRESS STORE_NOT_FOUND STORE_VERSION STORE_UNSUPPORTED
  INSTANCE_NOT_FOUND INSTANCE_AMBIGUOUS INVENTORY_ADDRESS INVENTORY_NOT_INSTALLED INVENTORY_NOT_FOUND MOVE_UNDECIDED`;

test.each(FINAL.split(/\s+/))('%s is not tried again', (code) => {
  const output = { outcome: 'failed', code, message: 'why' };
  expect(verdictOf({ type: 'error', code, message: 'why' }, JOB, NOW)).toEqual({ next: 'reject', output });
  expect(verdictOf(result({ state: 'failed', problems: [{ code, message: 'why' }] }), JOB, NOW)).toEqual({ next: 'reject', output });
});

test('what is busy is soon tried again, as often as it takes; what is on another node is left to the planner', () => {
  expect(verdictOf({ type: 'error', code: 'BUSY', message: 'why' }, JOB, NOW)).toEqual({
    next: 'retry',
    costsAttempt: false,
    delaySeconds: 60,
    output: { outcome: 'failed', code: 'BUSY', message: 'why' },
  });
  expect(verdictOf({ type: 'error', code: 'INSTANCE_ELSEWHERE', message: 'why' }, JOB, NOW)).toEqual({
    next: 'complete',
    output: { outcome: 'elsewhere', code: 'INSTANCE_ELSEWHERE', message: 'why' },
  });
});

test('a last line that is not known is not that of an export that was killed', () => {
  const unknown = parseLastLine('{"type":"result","policies":{}}');
  expect(verdictOf(unknown, JOB, NOW)).toMatchObject({
    next: 'retry',
    costsAttempt: true,
    output: { code: 'INTERNAL', message: expect.stringMatching(/does not know: \{"type":"result","policies":\{\}\}$/) },
  });
  expect(parseLastLine('{"type":"resu')).toEqual({ type: 'unknown', text: '{"type":"resu' });
  expect(parseLastLine('{"type":"error","code":"BUSY","message":"why","exitCode":4}')).toMatchObject({ code: 'BUSY' });
});

test('what an export that was killed said last is kept, and no message is longer than it may be', () => {
  const { output } = verdictOf(undefined, JOB, NOW, 'one\nSegmentation fault\n');
  expect(output.message).toBe('the export was killed, or the host went down; it said last: Segmentation fault');
  const long = verdictOf({ type: 'error', code: 'INTERNAL', message: 'x'.repeat(100_000) }, JOB, NOW);
  expect(long.output.message).toHaveLength(1000);
});
