import { expect, test } from 'vitest';
import type { Job, JobLogEntry, JobQueue } from './job.ts';
import { parseJob, parseJobId } from './job.ts';
import { waitForJob } from './wait-for-job.ts';

/** A queue whose job goes through these states. That of a real cluster is used in the tests of the inventory; states of failure are made here. */
function queueOf(...states: readonly Partial<Job>[]): JobQueue & { readonly cancelled: string[] } {
  const cancelled: string[] = [];
  let at = 0;
  return {
    cancelled,
    job: async (id) => {
      const state = states[Math.min(at, states.length - 1)];
      at += 1;
      return await Promise.resolve({ id, status: 'running', operationStatus: [], results: [], log: [], ...state });
    },
    cancelJob: async (id) => {
      cancelled.push(id);
      await Promise.resolve();
    },
  };
}

const what = 'to start web1';

test('the results of a job, and its log, each entry once', async () => {
  const first = { serial: 1, type: 'message', message: 'waiting' };
  const second = { serial: 2, type: 'remote-import', message: {} };
  const log: JobLogEntry[] = [];
  const queue = queueOf(
    { status: 'queued' },
    { status: 'running', log: [first] },
    { status: 'success', results: [7], log: [first, second] },
  );
  expect(await waitForJob(queue, '5', { what, onLog: (entry) => log.push(entry) })).toEqual([7]);
  expect(log).toEqual([first, second]);
});

test.each([
  ['unknown_entity', 'not-found'],
  ['already_exists', 'exists'],
  ['wrong_state', 'failed'],
])('a job that failed with %s', async (kind, code) => {
  const results = [null, ['OpPrereqError', ["Instance 'web1'\nis odd", kind]]];
  const queue = queueOf({ status: 'error', operationStatus: ['success', 'error'], results });
  await expect(waitForJob(queue, '5', { what })).rejects.toMatchObject({
    code,
    message: "job 5 to start web1 failed: Instance 'web1' is odd",
  });
  expect(queue.cancelled).toEqual([]);
});

test('a job that failed and does not say why, and one that was cancelled', async () => {
  const failed = queueOf({ status: 'error', operationStatus: ['error'], results: ['?'] });
  await expect(waitForJob(failed, '5', { what })).rejects.toThrow('job 5 to start web1 failed: Ganeti does not say why');
  await expect(waitForJob(queueOf({ status: 'canceled' }), '5', { what })).rejects.toThrow('job 5 to start web1 was cancelled');
});

test('a job that is not finished in time is cancelled', async () => {
  const queue = queueOf({ status: 'waiting' });
  await expect(waitForJob(queue, '5', { what, timeoutMs: 100 })).rejects.toMatchObject({
    code: 'unavailable',
    message: 'job 5 to start web1 is not finished after 0.1 s: it waits for locks of another job',
  });
  expect(queue.cancelled).toEqual(['5']);
});

test('when the call is cancelled, so is the job', async () => {
  const queue = queueOf({ status: 'waiting' });
  const controller = new AbortController();
  const waiting = waitForJob(queue, '5', { what, signal: controller.signal });
  const reason = new Error('cancelled');
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  expect(queue.cancelled).toEqual(['5']);
});

test.each([null, [], { id: 1 }, { id: 1, status: 'fine', opstatus: [] }, { id: 1, status: 'success', opstatus: [], oplog: [['x']] }])(
  'what is not a job: %j',
  (value) => {
    expect(() => parseJob(value, 'RAPI')).toThrow('RAPI: the answer does not describe a job as Ganeti does');
  },
);

test('numbers of jobs', () => {
  expect([parseJobId(5, ''), parseJobId('17', '')]).toEqual(['5', '17']);
  for (const value of [null, '5/../6', 1.5, [5]])
    expect(() => parseJobId(value, 'RAPI')).toThrow('RAPI: the answer is not the number of a job');
});
