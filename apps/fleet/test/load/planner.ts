import process from 'node:process';
import { pause } from '@gantry/core';
import { DAY_MS } from '../../src/days.ts';
import type { FleetJob } from '../../src/queue/records.ts';
import { openPostgres } from '../../src/queue/open-postgres.ts';
import { z } from 'zod';
import { planOf } from './night.ts';

/*
 * A planner of the load test, which is killed: what turns of the real one ask and write most, the jobs. Sources of instances, findings and what
 * policies select are not in it.
 */

const settings = z.object({
  agents: z.number(),
  runs: z.number(),
  now: z.coerce.date(),
  lengthMs: z.number(),
  url: z.string(),
  intervalMs: z.number(),
});
const { url, intervalMs, ...night } = settings.parse(JSON.parse(process.argv[2] ?? ''));
const warn = (message: string): void => void process.stderr.write(`${message}\n`);
const { signal } = new AbortController();

await using queue = await openPostgres({ url, warn });
process.once('disconnect', () => process.exit());
for (;;) {
  const began = performance.now();
  const jobs = await queue.jobs(new Date(Date.now() - 3 * DAY_MS));
  const { add } = planOf(night, jobs.flatMap(planned));
  await queue.supervise();
  await queue.add(add);
  await queue.forget(new Date());
  await queue.noteTurn('planner', { problems: [] });
  await pause(Math.max(0, intervalMs - (performance.now() - began)), signal);
}

function planned({ begin, end, ...job }: FleetJob): Parameters<typeof planOf>[1] {
  return begin === undefined || end === undefined ? [] : [{ ...job, begin, end }];
}
