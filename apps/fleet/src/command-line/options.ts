import { hostname } from 'node:os';
import { join } from 'node:path';
import { GantryError, openStateDirectory, pause } from '@gantry/core';
import type { z } from 'zod';
import type { Request } from '../control/requests.ts';
import { answer } from '../control/requests.ts';
import { askControl } from '../control/socket.ts';
import { nodeName } from '../queue/names.ts';
import { fleetDirectory, openEmbedded } from '../queue/open-embedded.ts';
import { openPostgres } from '../queue/open-postgres.ts';
import type { Context } from './context.ts';

/** Options of commands that use a queue. */
export interface QueueOptions {
  readonly database?: string;
  readonly stateDir?: string;
}

/** The address of the database, of the option or else of `GANTRY_FLEET_DATABASE`; absent: the queue is that of this machine alone. */
export function databaseOf({ env }: Context, { database }: QueueOptions): string | undefined {
  const found = database ?? env['GANTRY_FLEET_DATABASE'];
  return found === '' ? undefined : found;
}

/** As operations get it. */
export function stateDirectoryOf({ env }: Context, { stateDir }: QueueOptions): string | undefined {
  return stateDir ?? env['GANTRY_STATE_DIR'];
}

/** @throws GantryError `USAGE` without an address */
export function requireDatabase(context: Context, options: QueueOptions): string {
  const database = databaseOf(context, options);
  if (database !== undefined) return database;
  const hint = 'Give --database, or set GANTRY_FLEET_DATABASE. On one machine gantry-fleet agent alone does everything.';
  throw new GantryError('USAGE', { message: 'the address of the database of the fleet is missing', hint });
}

/** The name of this node, of the option or else of `GANTRY_FLEET_NODE`, or of the host. @throws GantryError `USAGE` */
export function ownNode({ env }: Context, node: string | undefined): string {
  const given = env['GANTRY_FLEET_NODE'] ?? '';
  return nodeName(node ?? (given === '' ? hostname() : given));
}

/** The control socket of the process that has the embedded queue. */
export function controlPath(statePath: string): string {
  return join(fleetDirectory(statePath), 'control');
}

/** Asks the queue of the fleet, or that of this machine, whether or not an agent runs. @throws GantryError `QUEUE_*`, `USAGE` */
export async function ask<T>(context: Context, options: QueueOptions, asked: Request, form: z.ZodType<T>): Promise<T> {
  return form.parse(JSON.parse(JSON.stringify(await askAnywhere(context, options, asked))));
}

async function askAnywhere(context: Context, options: QueueOptions, asked: Request): Promise<unknown> {
  const { warn } = context.output;
  const url = databaseOf(context, options);
  if (url !== undefined) {
    await using queue = await openPostgres({ url, warn });
    return await answer(queue, asked);
  }
  const stateDirectory = stateDirectoryOf(context, options);
  const { path } = await openStateDirectory(stateDirectory);
  for (let tries = 0; ; tries += 1) {
    const answered = await askControl(controlPath(path), asked);
    if (answered !== undefined) return answered.answer;
    try {
      await using queue = await openEmbedded({ stateDirectory, warn });
      return await answer(queue, asked);
    } catch (error) {
      const isBusy = error instanceof GantryError && error.code === 'BUSY';
      if (!isBusy || tries === MAX_TRIES) throw error;
    }
    await pause(TRY_INTERVAL_MS, context.signal);
  }
}

/** An agent that starts has the queue some seconds before it answers; another command has it for a moment. */
const MAX_TRIES = 60;
const TRY_INTERVAL_MS = 500;
