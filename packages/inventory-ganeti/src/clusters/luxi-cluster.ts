import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { Job } from '../jobs/job.ts';
import { parseJob, parseJobId } from '../jobs/job.ts';
import type { LuxiClient } from '../luxi/luxi-client.ts';
import type { Cluster } from './cluster.ts';

const SUMMARY_FIELDS = ['name', 'uuid', 'os', 'hypervisor', 'pnode', 'status', 'disk.sizes', 'tags'];
const JOB_FIELDS = ['id', 'status', 'opstatus', 'opresult', 'oplog'];

/** The cluster whose master this is. */
export class LuxiCluster implements Cluster {
  readonly label: string = 'LUXI';
  readonly #client: LuxiClient;

  constructor(client: LuxiClient) {
    this.#client = client;
  }

  async names(options: CallOptions): Promise<unknown> {
    const rows = await this.#client.call('QueryInstances', [[], ['name'], false], options);
    return Array.isArray(rows) ? rows.map((row: unknown) => (Array.isArray(row) ? (row[0] as unknown) : row)) : rows;
  }

  async summaries(options: CallOptions): Promise<unknown> {
    return await this.#rows('QueryInstances', [[], SUMMARY_FIELDS, false], SUMMARY_FIELDS, options);
  }

  async summary(name: string, options: CallOptions): Promise<unknown> {
    const [row] = await this.#rows('QueryInstances', [[name], SUMMARY_FIELDS, false], SUMMARY_FIELDS, options);
    return row;
  }

  async info(options: CallOptions): Promise<unknown> {
    return await this.#client.call('QueryClusterInfo', [], options);
  }

  async submitDescribe(name: string, options: CallOptions): Promise<string> {
    return await this.#submit({ OP_ID: 'OP_INSTANCE_QUERY_DATA', use_locking: true, instances: [name], static: false }, options);
  }

  async submitStart(name: string, options: CallOptions): Promise<string> {
    return await this.#submit({ OP_ID: 'OP_INSTANCE_STARTUP', instance_name: name }, options);
  }

  async submitStop(name: string, timeoutS: number, options: CallOptions): Promise<string> {
    return await this.#submit({ OP_ID: 'OP_INSTANCE_SHUTDOWN', instance_name: name, timeout: timeoutS }, options);
  }

  async job(id: string, options: CallOptions = {}): Promise<Job> {
    const [fields] = await this.#rows('QueryJobs', [[Number(id)], JOB_FIELDS], JOB_FIELDS, options);
    if (fields === undefined) throw new InventoryError('not-found', { message: `${this.label}: there is no job ${id}` });
    return parseJob(fields, this.label);
  }

  async cancelJob(id: string, options: CallOptions = {}): Promise<void> {
    await this.#client.call('CancelJob', [Number(id), false], options);
  }

  async #submit(operation: Readonly<Record<string, unknown>>, options: CallOptions): Promise<string> {
    // Who wants it, as `gnt-job info` shows it: source, reason, and time in ns.
    const reason = [['gantry', '', Date.now() * 1_000_000]];
    return parseJobId(await this.#client.call('SubmitJob', [[{ ...operation, reason }]], options), this.label);
  }

  /** A query's rows as groups of fields. */
  async #rows(method: string, args: readonly unknown[], fields: readonly string[], options: CallOptions): Promise<readonly object[]> {
    const rows = await this.#client.call(method, args, options);
    if (!Array.isArray(rows)) throw new InventoryError('failed', { message: `${this.label}: the answer to ${method} is not a list` });
    return rows.flatMap((row: unknown) =>
      Array.isArray(row) ? [Object.fromEntries(fields.map((field, index) => [field, row[index] as unknown]))] : [],
    );
  }
}
