import type { CallOptions, DefineRequest, InstanceManager, RunState, StopOptions } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { Cluster } from './clusters/cluster.ts';
import { parseSummary } from './describe/answers.ts';
import { listedState } from './describe/run-state.ts';
import { findInstanceName } from './instance-names.ts';
import { waitForJob } from './jobs/wait-for-job.ts';

/**
 * Seconds that Ganeti is given to shut a guest down, after which it would power the guest off: as much as one of its calls to a node may
 * take (15 minutes), so that giving up comes long before that.
 */
const SHUTDOWN_TIMEOUT_S = 14 * 60;
/** ms after which waiting for a guest ends in any case, while Ganeti is still waiting too. */
const MAX_STOP_MS = 13 * 60 * 1000;

/** ms that starting may take, which waits for locks of other jobs: as much as one of Ganeti's calls to a node. */
const MAX_START_MS = 15 * 60 * 1000;

/** Starts and stops instances through jobs of the cluster. It neither defines nor forgets any, since Ganeti makes and removes the disks of its instances. */
export class GanetiManager implements InstanceManager {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async checkDefine({ instance }: DefineRequest, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    return await Promise.reject(
      new InventoryError('failed', {
        message: `cannot define ${instance.name} with disks that are here already: Ganeti makes the disks of its instances itself`,
        hint: 'Import into a new instance of the cluster: gantry import STORE EXPORT --to ganeti://MASTER/NAME',
      }),
    );
  }

  async define(request: DefineRequest, options: CallOptions = {}): Promise<string> {
    await this.checkDefine(request, options);
    return request.instance.name;
  }

  async start(name: string, { signal }: CallOptions = {}): Promise<void> {
    const fullName = await findInstanceName(this.#cluster, name, { signal });
    if ((await this.#state(fullName, signal)).state === 'running') return;
    const job = await this.#cluster.submitStart(fullName, { signal });
    await waitForJob(this.#cluster, job, { signal, what: `to start ${fullName}`, timeoutMs: MAX_START_MS, late: 'failed' });
    await this.#expect('running', fullName, signal);
  }

  async stop(name: string, { signal, timeoutMs }: StopOptions): Promise<void> {
    const fullName = await findInstanceName(this.#cluster, name, { signal });
    if ((await this.#state(fullName, signal)).state === 'stopped') return;
    const job = await this.#cluster.submitStop(fullName, SHUTDOWN_TIMEOUT_S, { signal });
    const patience = Math.min(timeoutMs, MAX_STOP_MS);
    const what = `to shut ${fullName} down (Ganeti powers it off if it still runs after ${SHUTDOWN_TIMEOUT_S / 60} minutes)`;
    await waitForJob(this.#cluster, job, { signal, what, timeoutMs: patience, late: 'failed' });
    await this.#expect('stopped', fullName, signal);
  }

  async undefine(name: string, { signal }: CallOptions = {}): Promise<void> {
    const fullName = await findInstanceName(this.#cluster, name, { signal });
    throw new InventoryError('failed', {
      message: `cannot make Ganeti forget ${fullName} and keep its disks: Ganeti removes the disks of an instance with it`,
      hint: `When its disks are not needed any more, on the master: gnt-instance remove ${fullName}`,
    });
  }

  async #state(fullName: string, signal: AbortSignal | undefined): Promise<RunState> {
    return listedState(parseSummary(await this.#cluster.summary(fullName, { signal }), this.#cluster.label));
  }

  /** A job can succeed although the hypervisor did not do what it was asked for. */
  async #expect(wanted: 'running' | 'stopped', fullName: string, signal: AbortSignal | undefined): Promise<void> {
    const { state } = await this.#state(fullName, signal);
    if (state === wanted) return;
    throw new InventoryError('failed', {
      message: `${fullName} is not ${wanted}, although the job of the cluster succeeded: ${state === 'unknown' ? 'its node does not say' : `it is ${state}`}`,
    });
  }
}
