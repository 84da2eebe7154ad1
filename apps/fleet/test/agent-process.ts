import process from 'node:process';
import { parseArgs } from 'node:util';
import { Agent } from '../src/agent/agent.ts';
import { Ledger } from '../src/agent/ledger.ts';
import { openPostgres } from '../src/queue/open-postgres.ts';

/* An agent as a process of its own, which looks often and does not wait long: for tests that put it on another network. */

const { values } = parseArgs({
  options: { node: { type: 'string' }, url: { type: 'string' }, program: { type: 'string' }, state: { type: 'string' } },
});
const { node = '', url = '', program = '', state } = values;

const note = (message: string): void => void process.stderr.write(`${message}\n`);
const controller = new AbortController();
process.once('SIGTERM', () => controller.abort());
await using ledger = await Ledger.open(state, note);
await using scope = new AsyncDisposableStack();
await new Agent({
  node,
  parallel: 4,
  restores: false,
  ledger,
  openQueue: async () =>
    scope.use(await openPostgres({ url, warn: note, connections: 1, limits: { connectMs: 1000, statementMs: 1000, lockMs: 1000 } })),
  command: [program],
  env: process.env,
  note,
  signal: controller.signal,
  pollMs: 200,
}).run();
