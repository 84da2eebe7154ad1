import { readFile } from 'node:fs/promises';
import type { CallOptions, Parameters } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { z } from 'zod';
import { readJson } from '../read-json.ts';
import { pythonTexts } from './python-text.ts';

const parameters = z.record(z.string(), z.unknown()).nullish();

const config = z.object({
  cluster: z.object({ osparams_private_cluster: z.record(z.string(), parameters).nullish() }),
  instances: z.record(z.string(), z.object({ name: z.string(), os: z.string().nullish(), osparams_private: parameters })),
});

/**
 * Reads the private OS parameters of an instance, with the cluster's defaults, from Ganeti's configuration: the only place that says them.
 *
 * @param path of `config.data`, which only root can read
 * @throws InventoryError `denied`, `failed`, never with a part of the file
 */
export async function readPrivateParameters(path: string, uuid: string, { signal }: CallOptions): Promise<Parameters> {
  const { cluster, instances } = await readConfig(path, signal);
  const instance = Object.hasOwn(instances, uuid) ? instances[uuid] : undefined;
  if (instance === undefined)
    throw new InventoryError('failed', { message: `${path} does not have the instance ${uuid}`, hint: 'Try again.' });
  const defaults = new Map(Object.entries(cluster.osparams_private_cluster ?? {}));
  const os = instance.os ?? '';
  return pythonTexts({ ...defaults.get(os.split('+', 1)[0] ?? ''), ...defaults.get(os), ...instance.osparams_private });
}

async function readConfig(path: string, signal: AbortSignal | undefined): Promise<z.infer<typeof config>> {
  let value: unknown;
  try {
    value = readJson(await readFile(path, signal === undefined ? 'utf8' : { encoding: 'utf8', signal }));
  } catch (cause) {
    signal?.throwIfAborted();
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
    if (errno === undefined) throw new InventoryError('failed', { message: `${path} is not JSON` });
    throw new InventoryError(errno === 'EACCES' ? 'denied' : 'failed', {
      message: `cannot read the private OS parameters in ${path} (${errno})`,
      hint: 'Run Gantry as root.',
      cause,
    });
  }
  const { success, data } = config.safeParse(value);
  if (success) return data;
  throw new InventoryError('failed', { message: `${path} is not as Ganeti 3.0 writes it` });
}
