/* Reports the run that standard input describes, in a process of its own. */
import { text } from 'node:stream/consumers';
import process from 'node:process';
import { loadConfiguration } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import { reportRun } from '../src/monitoring/report-run.ts';

const run: unknown = JSON.parse(await text(process.stdin));
const configuration = await loadConfiguration({ env: process.env, cwd: process.cwd() });
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the test wrote it
await reportRun(run as PolicyRun, {
  configuration,
  hasBegun: true,
  env: process.env,
  signal: AbortSignal.timeout(60_000),
  warn: (message) => process.stderr.write(`${message}\n`),
});
