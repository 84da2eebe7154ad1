import process from 'node:process';
import { InterruptedError } from './command-line/exit-code.ts';
import { run } from './command-line/run.ts';

// If the reader has gone away (`gantry-fleet status | head`), cleaning up goes on.
process.stderr.on('error', () => undefined);
process.stdout.on('error', () => undefined);
const controller = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => controller.abort(new InterruptedError(name)));
const { env, stdout, stderr } = process;
process.exitCode = await run(process.argv.slice(2), { env, cwd: process.cwd(), signal: controller.signal, stdout, stderr });
