import { GantryError, VERSION } from '@gantry/core';
import { parseRate } from '@gantry/config/quantities';
import { Command, InvalidArgumentError } from 'commander';
import type { Context } from './context.ts';

/** A command that loads what it does when it is called, so that help is fast. */
const load = {
  plan: async () => await import('../commands/plan.ts'),
  services: async () => await import('../commands/services.ts'),
  status: async () => await import('../commands/status.ts'),
  report: async () => await import('../commands/report.ts'),
  run: async () => await import('../commands/run.ts'),
  restore: async () => await import('../commands/restore.ts'),
  change: async () => await import('../commands/change.ts'),
  metrics: async () => await import('../commands/metrics.ts'),
  web: async () => await import('../commands/web.ts'),
  password: async () => await import('../commands/password.ts'),
};

/** The commands of gantry-fleet and their options. */
export function createProgram(context: Context): Command {
  const quiet = { writeErr: () => undefined };
  const program = new Command('gantry-fleet')
    .description('Runs the exports of many nodes, as the policies in gantry.yaml say.')
    .version(VERSION, '-V, --version')
    .exitOverride()
    .configureOutput(quiet);
  const command = (usage: string, summary: string): Command =>
    program.command(usage).description(summary).exitOverride().configureOutput(quiet).option('--json', 'print one JSON object');
  addServices(context, command);
  addQuestions(context, command);
  addWatching(context, command);
  return program;
}

type AddCommand = (usage: string, summary: string) => Command;

const DATABASE = ['--database <url>', 'the database of the fleet (GANTRY_FLEET_DATABASE); without one, the queue of this machine'] as const;
const STATE = ['--state-dir <directory>', 'where locks, the ledger and the queue of this machine are (GANTRY_STATE_DIR)'] as const;
const RATE = ['--rate <rate>', 'and how fast all together, such as 400M: each gets its share', rateOf] as const;
const CONFIG = ['--config <file>', 'read this configuration alone'] as const;

function addServices(context: Context, command: AddCommand): void {
  command('init', 'Make the tables of a fleet in a database, and add nodes; may be repeated.')
    .option(...DATABASE)
    .option('--node <name...>', 'nodes to add: their queues and roles')
    .action(async (options) => await (await load.services()).runInit(context, options));
  command('agent', 'Run the exports of this node; without a database, plan them too.')
    .option(...DATABASE)
    .option(...STATE)
    .option(...CONFIG)
    .option('--node <name>', 'the name of this node (GANTRY_FLEET_NODE; default: its host name)')
    .option('--parallel <n>', 'how many exports at once (default 2)', wholeNumber)
    .option('--restores', 'also make restores that are asked for, which overwrite disks of this node')
    .option('--gantry <program>', 'the program that makes exports (default gantry)')
    .action(async (options) => await (await load.services()).runAgent(context, options));
  command('planner', 'Plan the exports of all nodes, every minute.')
    .option(...DATABASE)
    .option(...CONFIG)
    .option('--once', 'plan once')
    .action(async (options) => await (await load.services()).runPlanner(context, options));
}

function addQuestions(context: Context, command: AddCommand): void {
  command('plan', 'Show the exports of the windows that are open, each with its node and its time; changes nothing.')
    .option(...CONFIG)
    .option('--at <time>', 'of the windows that are open at this time, such as 2026-11-28T01:00:00Z', timeOf)
    .action(async (options) => await (await load.plan()).runPlan(context, options));
  const question = (usage: string, summary: string): Command =>
    command(usage, summary)
      .option(...DATABASE)
      .option(...STATE);
  question('status', 'Show the newest export of each instance.').action(
    async (options) => await (await load.status()).runStatus(context, options),
  );
  question(
    'report',
    'Show how exports ended, each cause of failures once. The exit status is 16 if one failed or was missed, or if not all is planned.',
  )
    .option('--days <n>', 'of how many days (default 1)', wholeNumber)
    .action(async (options) => await (await load.report()).runReport(context, options));
  question('run <instance>', 'Export an instance as soon as its node can, outside of windows.')
    .option(...CONFIG)
    .option('--policy <name>', 'as this policy says')
    .action(async (name, options) => await (await load.run()).runRun(context, name, options));
  question('restore <export>', 'Import INSTANCE or INSTANCE@EXPORT-ID on a node, before all exports that wait there.')
    .option(...CONFIG)
    .requiredOption('--node <name>', 'the node whose disks are written')
    .option('--policy <name>', 'the policy that made the export; the only one where absent')
    .option('--store <name>', 'the store of the policy that has it; its first one where absent')
    .option('--to <instance>', 'the instance that is written, as the node knows it, such as cluster:web1; the exported one where absent')
    .option('--create-disks', 'create disks that are missing')
    .option('--check-first', 'read and check every dump before the first byte is written')
    .option('--resume', 'go on with one that was cut off')
    .option('--dry-run', 'only have the node say what would be overwritten')
    .option('-y, --yes', 'overwrite')
    .action(async (name, options) => await (await load.restore()).runRestore(context, name, options));
  question('cancel <instance>', 'Take back the exports and restores of an instance that wait, and end those that run.').action(
    async (name, options) => await (await load.change()).runCancel(context, name, options),
  );
  question('redrive [instance]', 'Try failed exports again, of one instance or of all.').action(
    async (name, options) => await (await load.change()).runRedrive(context, name, options),
  );
  question('limit <store> <exports>', 'Limit how many exports of all nodes at once are written into a store; none: no longer.')
    .option(...CONFIG)
    .option(...RATE)
    .action(
      async (store, exports, options) =>
        await (await load.change()).runLimit(context, store, exports === 'none' ? undefined : wholeNumber(exports), options),
    );
  question('segment <name> <exports>', 'Limit how many exports at once go out of a network segment, which has some nodes; none: no longer.')
    .option('--node <name...>', 'the nodes in it')
    .option(...RATE)
    .action(
      async (segment, exports, options) =>
        await (await load.change()).runSegment(context, segment, exports === 'none' ? undefined : wholeNumber(exports), options),
    );
  for (const operation of ['pause', 'resume'] as const) {
    const summary =
      operation === 'pause' ? 'Begin no exports on a node, or on any.' : 'Begin exports again on a node, or where all were paused.';
    question(`${operation} [node]`, summary).action(
      async (node, options) => await (await load.change()).runPause(context, operation, node, options),
    );
  }
}

function addWatching(context: Context, command: AddCommand): void {
  command('metrics', 'Print figures of the fleet as Prometheus reads them.')
    .option(...DATABASE)
    .option(...STATE)
    .option(...CONFIG)
    .option('--out <file>', 'write them into this file, for the textfile collector of node_exporter')
    .action(async (options) => await (await load.metrics()).runMetrics(context, options));
  command('web', 'Serve pages that show the state of the fleet, read-only and with a password.')
    .option(...DATABASE)
    .option(...STATE)
    .option(...CONFIG)
    .option('--listen <address>', 'HOST:PORT, or a port of this host alone', '127.0.0.1:8480')
    .requiredOption('--password-file <file>', 'made by gantry-fleet password')
    .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM)')
    .option('--tls-key <file>', 'and its key (PEM)')
    .option('--behind-proxy', 'listen without TLS where others can reach it: a proxy with TLS on another host is before it')
    .action(async (options) => await (await load.web()).runWeb(context, options));
  command('password <file>', 'Ask for the password of the pages, and write a file from which it cannot be read.')
    .option('--stdin', 'read it from standard input')
    .action(async (file, options) => await (await load.password()).runPassword(context, file, options));
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number of 1 or more.');
}

function rateOf(text: string): number {
  const rate = parseRate(text);
  if (rate !== undefined) return rate;
  throw new InvalidArgumentError('It must be a rate in bytes a second, such as 500K or 20M.');
}

function timeOf(text: string): Date {
  const time = new Date(text);
  if (!Number.isNaN(time.getTime())) return time;
  throw new GantryError('USAGE', { message: `${text} is not a time`, hint: 'Write it as 2026-11-28T01:00:00Z.' });
}
