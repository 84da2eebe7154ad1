import { resolve } from 'node:path';
import type { Configuration } from '@gantry/config';
import type { Figure } from '@gantry/programs';
import { prometheusText, writeTextfile } from '@gantry/programs';
import type { Context } from '../command-line/context.ts';
import { configurationOf } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask } from '../command-line/options.ts';
import { lastGoods } from '../control/requests.ts';
import { figuresOf } from '../view/figures.ts';
import { askStatus } from './ask-status.ts';

/** As the page has it. */
const STATUS_DAYS = 2;

interface MetricsOptions extends QueueOptions {
  readonly config?: string;
  readonly out?: string;
}

/** Runs `gantry-fleet metrics`: prints the figures of the fleet, or writes them into a file for node_exporter. */
export async function runMetrics(context: Context, { config, out, ...options }: MetricsOptions): Promise<void> {
  const maxAges = maxAgesOf(await configurationOf(context, config));
  const status = await askStatus(context, options, STATUS_DAYS);
  const good = await ask(context, options, { command: 'good' }, lastGoods);
  const figures: readonly Figure[] = figuresOf({ status, good, maxAges, now: new Date() });
  if (out === undefined) {
    context.output.result({ operation: 'metrics', figures }, [prometheusText(figures).trimEnd()]);
    return;
  }
  const path = resolve(context.cwd, out);
  await writeTextfile(path, () => Promise.resolve(figures));
  context.output.result({ operation: 'metrics', out: path, figures }, [path]);
}

/** `max-age` of the policies that have one, ms. */
export function maxAgesOf({ policies }: Configuration): ReadonlyMap<string, number> {
  return new Map([...policies.values()].flatMap(({ name, maxAgeMs }) => (maxAgeMs === undefined ? [] : [[name, maxAgeMs] as const])));
}
