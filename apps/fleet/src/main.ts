import process from 'node:process';
import { catchSignals } from '@gantry/programs';
import { run } from './command-line/run.ts';

// If the reader has gone away (`gantry-fleet status | head`), cleaning up goes on.
process.stderr.on('error', () => undefined);
process.stdout.on('error', () => undefined);
const { env, stdin, stdout, stderr } = process;
const signals = catchSignals((message) => stderr.write(`gantry-fleet: ${message}\n`));
process.exitCode = await run(process.argv.slice(2), { env, cwd: process.cwd(), signal: signals.signal, stdin, stdout, stderr });
signals.finish();
// A connection to a database that does not answer would keep the process for as long as a statement may take.
if (signals.signal.aborted) process.exit();
