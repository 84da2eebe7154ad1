import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError, isInventoryError } from '@gantry/core/inventory';
import type { Job } from '../jobs/job.ts';
import type { RapiCallOptions, RapiClient } from '../rapi/rapi-client.ts';
import type { Cluster } from './cluster.ts';

/** A cluster behind RAPI. */
export class RapiCluster implements Cluster {
  readonly label: string;
  readonly #client: RapiClient;

  constructor(client: RapiClient) {
    this.#client = client;
    this.label = `RAPI at ${client.name}`;
  }

  async names(options: CallOptions): Promise<unknown> {
    const resources = await this.#get(['instances'], options);
    if (!Array.isArray(resources)) return resources;
    return resources.map((each: unknown) => (typeof each === 'object' && each !== null && 'id' in each ? each.id : each));
  }

  async summaries(options: CallOptions): Promise<unknown> {
    return await this.#get(['instances'], { ...options, query: { bulk: 1 } });
  }

  async summary(name: string, options: CallOptions): Promise<unknown> {
    return await this.#client.get(['instances', name], options);
  }

  async info(options: CallOptions): Promise<unknown> {
    return await this.#get(['info'], options);
  }

  async submitDescribe(name: string, options: CallOptions): Promise<string> {
    return await this.#client.submit('GET', ['instances', name, 'info'], options);
  }

  async submitStart(name: string, options: CallOptions): Promise<string> {
    return await this.#client.submit('PUT', ['instances', name, 'startup'], options);
  }

  async submitStop(name: string, timeoutS: number, options: CallOptions): Promise<string> {
    return await this.#client.submit('PUT', ['instances', name, 'shutdown'], { ...options, body: { timeout: timeoutS } });
  }

  async job(id: string, options?: CallOptions): Promise<Job> {
    return await this.#client.job(id, options);
  }

  async cancelJob(id: string, options?: CallOptions): Promise<void> {
    await this.#client.cancelJob(id, options);
  }

  /** What every cluster has: where it is missing, something else than RAPI answered. */
  async #get(path: readonly string[], options: RapiCallOptions): Promise<unknown> {
    try {
      return await this.#client.get(path, options);
    } catch (error) {
      if (!isInventoryError(error, 'not-found')) throw error;
      throw new InventoryError('source-not-found', { message: error.message, hint: 'Is RAPI what listens there?', cause: error });
    }
  }
}
