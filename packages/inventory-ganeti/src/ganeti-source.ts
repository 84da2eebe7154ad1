import type {
  CallOptions,
  InstanceDescription,
  InstanceManager,
  InstanceSource,
  InstanceSummary,
  InstanceTransfers,
  ListInstancesOptions,
  Parameters,
} from '@gantry/core/inventory';
import { isListed } from '@gantry/core/inventory';
import type { Cluster } from './clusters/cluster.ts';
import type { SummaryAnswer } from './describe/answers.ts';
import { parseDetails, parseHypervisorParameters, parseSummaries, parseSummary } from './describe/answers.ts';
import { describeInstance } from './describe/describe-instance.ts';
import { findGuestControl } from './describe/guest-control.ts';
import { listedState } from './describe/run-state.ts';
import { findInstanceName } from './instance-names.ts';
import { waitForJob } from './jobs/wait-for-job.ts';
import { GanetiManager } from './manager.ts';

export interface GanetiSourceOptions {
  readonly address: string;
  readonly cluster: Cluster;
  /** The private OS parameters of the instance with a UUID, where they can be read. */
  readonly privateParameters: ((uuid: string, options: CallOptions) => Promise<Parameters>) | undefined;
  /** Absent where the cluster is not named by its master: an instance of this node's cluster is used where its disks are. */
  readonly transfers?: InstanceTransfers | undefined;
  /** Host name of this machine. */
  readonly here: string;
  /** Directory of the control sockets of guests that Ganeti runs with KVM on this machine. */
  readonly controlDirectory: string;
}

/** ms that the cluster has to describe an instance: the job waits while another one holds the instance, such as a backup or a migration. */
const DESCRIBE_TIMEOUT_MS = 120_000;

/** The instances of a Ganeti cluster. */
export class GanetiSource implements InstanceSource {
  readonly address: string;
  readonly manager: InstanceManager;
  readonly transfers: InstanceTransfers | undefined;
  readonly #options: GanetiSourceOptions;

  constructor(options: GanetiSourceOptions) {
    this.address = options.address;
    this.manager = new GanetiManager(options.cluster);
    this.transfers = options.transfers;
    this.#options = options;
  }

  async *list(options: ListInstancesOptions = {}): AsyncGenerator<InstanceSummary> {
    const { cluster } = this.#options;
    const { signal } = options;
    signal?.throwIfAborted();
    for (const answer of parseSummaries(await cluster.summaries({ signal }), cluster.label)) {
      const summary = summaryOf(answer);
      if (isListed(summary, options)) yield summary;
      signal?.throwIfAborted();
    }
  }

  async describe(name: string, { signal }: CallOptions = {}): Promise<InstanceDescription> {
    const { cluster, here, privateParameters, controlDirectory: directory } = this.#options;
    const fullName = await findInstanceName(cluster, name, { signal });
    const summary = parseSummary(await cluster.summary(fullName, { signal }), cluster.label);
    const info = await cluster.info({ signal });
    const job = await cluster.submitDescribe(fullName, { signal });
    const results = await waitForJob(cluster, job, { signal, what: `to describe ${fullName}`, timeoutMs: DESCRIBE_TIMEOUT_MS });
    const { raw, details } = parseDetails(results, fullName, cluster.label);
    const description = describeInstance({
      summary,
      details,
      raw,
      here,
      clusterHypervisorParameters: parseHypervisorParameters(info, details.hypervisor, cluster.label),
      privateParameters: (await privateParameters?.(details.uuid, { signal })) ?? {},
    });
    const { hypervisor } = details;
    return { ...description, guest: await findGuestControl({ name: fullName, hypervisor, run: description.run, here, directory }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing stays open between calls.
  }
}

function summaryOf(answer: SummaryAnswer): InstanceSummary {
  const { name, os, hypervisor, tags } = answer;
  return {
    name,
    run: listedState(answer),
    os: os ?? undefined,
    hypervisor: hypervisor ?? undefined,
    disks: answer['disk.sizes']?.length,
    tags: (tags ?? []).toSorted(),
  };
}
