import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError, isInventoryError } from '@gantry/core/inventory';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Job, JobQueue } from '../jobs/job.ts';
import { waitForJob } from '../jobs/wait-for-job.ts';
import type { RapiClient } from '../rapi/rapi-client.ts';

/** What is known of an instance without a job. */
export interface InstanceSummaryAnswer {
  readonly name: string;
  readonly os?: string | null | undefined;
  /** MiB. */
  readonly 'disk.sizes': readonly number[];
  readonly tags?: readonly string[] | null | undefined;
}

const summary: z.ZodType<InstanceSummaryAnswer> = z.object({
  name: z.string(),
  os: z.string().nullish(),
  'disk.sizes': z.array(z.number()),
  tags: z.array(z.string()).nullish(),
});

const clusterInfo = z.object({ name: z.string() });

/** How long RAPI may be away while a transfer runs (the master may restart it), and between two tries, ms. */
const MAX_ABSENCE_MS = 120_000;
const RETRY_MS = 2000;

/** How long a job may take that only waits for its turn, ms: as long as Ganeti gives one call to a node. */
export const MAX_SHORT_JOB_MS: number = 15 * 60 * 1000;

/** What remote imports and exports ask of a cluster. */
export class RemoteCalls implements JobQueue {
  readonly #client: RapiClient;

  constructor(client: RapiClient) {
    this.#client = client;
  }

  get label(): string {
    return `RAPI at ${this.#client.name}`;
  }

  /** Undefined where there is none of just this name. */
  async instance(name: string, options: CallOptions): Promise<InstanceSummaryAnswer | undefined> {
    try {
      const { success, data } = summary.safeParse(await this.#client.get(['instances', name], options));
      if (!success) throw new InventoryError('failed', { message: `${this.label}: the answer does not describe an instance` });
      return data.name === name ? data : undefined;
    } catch (error) {
      if (isInventoryError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  /** The name of the cluster, which the master can resolve. */
  async clusterName(options: CallOptions): Promise<string> {
    const { success, data } = clusterInfo.safeParse(await this.#client.get(['info'], options));
    if (success) return data.name;
    throw new InventoryError('failed', { message: `${this.label}: the answer does not describe a cluster` });
  }

  /** Names of OS definitions, with their variants. */
  async operatingSystems(options: CallOptions): Promise<readonly string[]> {
    const { success, data } = z.array(z.string()).safeParse(await this.#client.get(['os'], options));
    return success ? data : [];
  }

  async submitCreate(parameters: Readonly<Record<string, unknown>>, options: CallOptions): Promise<string> {
    return await this.#client.submit('POST', ['instances'], { ...options, body: { __version__: 1, ...parameters } });
  }

  async submitPrepareExport(name: string, options: CallOptions): Promise<string> {
    return await this.#client.submit('PUT', ['instances', name, 'prepare-export'], { ...options, query: { mode: 'remote' } });
  }

  async submitExport(name: string, parameters: Readonly<Record<string, unknown>>, options: CallOptions): Promise<string> {
    return await this.#client.submit('PUT', ['instances', name, 'export'], { ...options, body: { mode: 'remote', ...parameters } });
  }

  async remove(name: string, options: CallOptions): Promise<void> {
    const job = await this.#client.submit('DELETE', ['instances', name], options);
    await waitForJob(this, job, { ...options, what: `to remove ${name}` });
  }

  async removeTag(name: string, tag: string, options: CallOptions): Promise<void> {
    const job = await this.#client.submit('DELETE', ['instances', name, 'tags'], { ...options, query: { tag } });
    await waitForJob(this, job, { ...options, what: `to remove the tag ${tag} of ${name}`, timeoutMs: MAX_SHORT_JOB_MS });
  }

  /** A transfer takes hours, and goes on while RAPI is away. */
  async job(id: string, options: CallOptions = {}): Promise<Job> {
    const deadline = performance.now() + MAX_ABSENCE_MS;
    for (;;) {
      try {
        return await this.#client.job(id, options);
      } catch (error) {
        if (!isInventoryError(error, 'unavailable') || performance.now() > deadline) throw error;
        await sleep(RETRY_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
      }
    }
  }

  async cancelJob(id: string, options?: CallOptions): Promise<void> {
    await this.#client.cancelJob(id, options);
  }
}
