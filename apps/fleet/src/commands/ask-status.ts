import type { Context } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask } from '../command-line/options.ts';
import type { FleetStatus } from '../control/requests.ts';
import { fleetStatus } from '../control/requests.ts';
import { DAY_MS } from '../days.ts';

/** What a queue has of the last days. @throws GantryError `QUEUE_*`, `USAGE` */
export async function askStatus(context: Context, options: QueueOptions, days: number): Promise<FleetStatus> {
  const since = new Date(Date.now() - days * DAY_MS).toISOString();
  return await ask(context, options, { command: 'status', since }, fleetStatus);
}
