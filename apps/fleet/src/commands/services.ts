import { resolve } from 'node:path';
import { asFirstError, ERROR_EXIT_CODES, GantryError, openStateDirectory, pause, sideBySide } from '@gantry/core';
import { Agent } from '../agent/agent.ts';
import { Ledger } from '../agent/ledger.ts';
import type { Context } from '../command-line/context.ts';
import { configurationOf, openContext } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { controlPath, databaseOf, ownNode, requireDatabase, stateDirectoryOf } from '../command-line/options.ts';
import { serveControl } from '../control/socket.ts';
import { Planner } from '../planner/planner.ts';
import { isDamage } from '../queue/failure.ts';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import { nodeName } from '../queue/names.ts';
import { openEmbedded } from '../queue/open-embedded.ts';
import { initPostgres, openPostgres } from '../queue/open-postgres.ts';
import { withoutEffect } from './without-effect.ts';

/** How often what there is to export is planned, ms. */
const PLAN_INTERVAL_MS = 60_000;
const DEFAULT_PARALLEL = 2;
/** How often agents look for work, ms: all of a fleet ask one database; the one of a machine asks itself. */
const FLEET_POLL_MS = 30_000;
const OWN_POLL_MS = 2000;

interface InitOptions extends QueueOptions {
  readonly node?: readonly string[];
}

/** Runs `gantry-fleet init`. */
export async function runInit(context: Context, options: InitOptions): Promise<void> {
  const nodes = (options.node ?? []).map(nodeName);
  await initPostgres({ url: requireDatabase(context, options), warn: context.output.warn }, nodes);
  context.output.result(
    { operation: 'init', nodes },
    nodes.length === 0 ? ['the database is ready'] : [`the database is ready: ${nodes.join(', ')}`],
  );
}

interface PlannerOptions extends QueueOptions {
  readonly config?: string;
  readonly once?: true;
}

/** Runs `gantry-fleet planner`: until a signal ends it, or once. */
export async function runPlanner(context: Context, options: PlannerOptions): Promise<void> {
  const url = requireDatabase(context, options);
  const { output } = context;
  const planning = { config: options.config, here: ownNode(context, undefined) };
  if (options.once === true) {
    await using queue = await openPostgres({ url, warn: output.warn });
    const result = await plannerOf(context, queue, planning).turn();
    const { added, dropped, findings, problems } = result;
    if (problems > 0) context.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
    output.result({ operation: 'planner', ...result }, [`${added} added, ${dropped} taken back, ${findings} new findings`]);
    return;
  }
  await using scope = new AsyncDisposableStack();
  await planForever(context, async () => scope.use(await openPostgres({ url, warn: output.warn })), planning);
}

interface PlanningOptions {
  readonly config: string | undefined;
  /** This node. */
  readonly here: string;
}

function plannerOf(context: Context, queue: FleetQueue, { config, here }: PlanningOptions): Planner {
  const said = new Set<string>();
  return new Planner({
    queue,
    configuration: async () => {
      const configuration = await configurationOf(context, config);
      for (const line of withoutEffect(configuration).filter((each) => !said.has(each))) {
        said.add(line);
        context.output.warn(line);
      }
      return configuration;
    },
    context: openContext(context),
    here,
    note: context.output.note,
  });
}

/** Plans every minute. What fails is said, and tried again. @param openQueue called until it succeeds; its caller owns the queue */
async function planForever(context: Context, openQueue: () => Promise<FleetQueue>, options: PlanningOptions): Promise<void> {
  const { signal, output } = context;
  let planner: Planner | undefined;
  while (!signal.aborted) {
    try {
      planner ??= plannerOf(context, await openQueue(), options);
      const { added, dropped, findings } = await planner.turn();
      if (added + dropped + findings > 0) output.note(`plan: ${added} added, ${dropped} taken back, ${findings} new findings`);
    } catch (error) {
      if (signal.aborted) break;
      const first = asFirstError(error);
      if (!(first instanceof GantryError)) throw error;
      output.note(`cannot plan: ${first.message} [${first.code}]`);
    }
    await pause(PLAN_INTERVAL_MS, signal).catch(() => undefined);
  }
}

interface AgentCommandOptions extends QueueOptions {
  readonly config?: string;
  readonly node?: string;
  readonly parallel?: number;
  readonly restores?: true;
  readonly gantry?: string;
}

/** Runs `gantry-fleet agent`: on one machine alone, with the planner and the queue in the same process. */
export async function runAgent(context: Context, options: AgentCommandOptions): Promise<void> {
  const { output } = context;
  const url = databaseOf(context, options);
  const node = ownNode(context, options.node);
  const stateDirectory = stateDirectoryOf(context, options);
  await using ledger = await Ledger.open(stateDirectory, output.warn);
  if (url !== undefined) {
    await using scope = new AsyncDisposableStack();
    await agentOf(context, options, {
      node,
      ledger,
      openQueue: async () => scope.use(await openPostgres({ url, warn: output.warn, connections: 1 })),
      pollMs: FLEET_POLL_MS,
    }).run();
    return;
  }
  try {
    await runAlone(context, options, { node, ledger, stateDirectory });
  } catch (error) {
    const damage = asFirstError(error);
    if (context.signal.aborted || !isDamage(damage)) throw error;
    output.note('exports that run go on without the embedded queue');
    await runAlone(context, options, { node, ledger, stateDirectory, damage });
  }
}

interface AloneOptions {
  readonly node: string;
  readonly ledger: Ledger;
  readonly stateDirectory: string | undefined;
  /** What the queue failed with before. */
  readonly damage?: Error;
}

/** Agent, planner and queue of a machine, in one process. */
async function runAlone(
  context: Context,
  options: AgentCommandOptions,
  { node, ledger, stateDirectory, damage }: AloneOptions,
): Promise<void> {
  const { output } = context;
  await using queue = await openEmbedded({ stateDirectory, warn: output.warn, damage });
  await queue.addNode(node);
  const { path } = await openStateDirectory(stateDirectory);
  await using _control = await serveControl(controlPath(path), queue);
  const shared = (): Promise<FleetQueue> => Promise.resolve(queue);
  const work = [
    (signal: AbortSignal): Promise<void> =>
      agentOf({ ...context, signal }, options, { node, ledger, openQueue: shared, pollMs: OWN_POLL_MS }).run(),
    (signal: AbortSignal): Promise<void> => planForever({ ...context, signal }, shared, { config: options.config, here: node }),
  ];
  await sideBySide(work, work.length, context.signal, (each, signal) => each(signal));
}

type OwnedByAgent = Pick<ConstructorParameters<typeof Agent>[0], 'node' | 'ledger' | 'openQueue' | 'pollMs'>;

function agentOf(context: Context, options: AgentCommandOptions, owned: OwnedByAgent): Agent {
  const { env, cwd, signal, output } = context;
  const { config, gantry = 'gantry', parallel = DEFAULT_PARALLEL, restores = false } = options;
  const stateDirectory = stateDirectoryOf(context, options);
  output.note(
    `agent of ${owned.node}: at most ${parallel === 1 ? '1 export' : `${parallel} exports`} at once${restores ? ', and restores' : ''}`,
  );
  const given = {
    ...(config === undefined ? {} : { GANTRY_CONFIG: resolve(cwd, config) }),
    ...(stateDirectory === undefined ? {} : { GANTRY_STATE_DIR: resolve(cwd, stateDirectory) }),
  };
  return new Agent({ ...owned, parallel, restores, command: [gantry], env: { ...env, ...given }, note: output.note, signal });
}
