import { InventoryError } from '@gantry/core/inventory';
import { expect, test } from 'vitest';
import type { Job, JobQueue } from '../jobs/job.ts';
import { JobWatch } from './job-watch.ts';

/** What a real cluster does when it is there is tested with one. */
function watch(job: () => Promise<Partial<Job>>): JobWatch {
  const queue: JobQueue = {
    job: async (id) => ({ id, status: 'running', operationStatus: [], results: [], log: [], ...(await job()) }),
    cancelJob: async () => await Promise.resolve(),
  };
  return new JobWatch(queue, '7', 'to make web1', () => {});
}

test.each(['success', 'error', 'canceled'] as const)('a job has ended with the status %s', async (status) => {
  expect(await watch(async () => await Promise.resolve({ status })).end(60_000)).toBe(true);
});

test('a job of which nobody knows any more has not', async () => {
  const away = new InventoryError('unavailable', { message: 'RAPI is away' });
  expect(await watch(async () => await Promise.reject(away)).end(60_000)).toBe(false);
});

test('a job that goes on is not looked at after the end', async () => {
  const endless = watch(async () => await Promise.resolve({ status: 'running' }));
  expect(await endless.end(100)).toBe(false);
  await expect(endless.results()).rejects.toThrow('aborted');
});
