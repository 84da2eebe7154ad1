import type {
  CallOptions,
  InstanceDescription,
  InstanceManager,
  InstanceSource,
  InstanceSummary,
  ListInstancesOptions,
} from '@gantry/core/inventory';
import { errorText, isListed } from '@gantry/core/inventory';
import type { DescribeContext } from './describe.ts';
import { describeDomain, nodeName, summarize } from './describe.ts';
import { findDomain, listDomains, readDomains } from './domains.ts';
import { DomainManager } from './manager/manager.ts';

/** The domains of one libvirt. Nothing stays open between calls. */
export class LibvirtSource implements InstanceSource {
  readonly address: string;
  readonly manager: InstanceManager;
  readonly #context: DescribeContext;

  constructor(address: string, context: DescribeContext) {
    this.address = address;
    this.manager = new DomainManager(context);
    this.#context = context;
  }

  async *list(options: ListInstancesOptions = {}): AsyncGenerator<InstanceSummary> {
    const { virsh, warn } = this.#context;
    const { signal, onProblem = (error: unknown): void => warn(errorText(error)) } = options;
    const node = await nodeName(virsh, { signal });
    const uuids = (await listDomains(virsh, { signal })).map(({ uuid }) => uuid);
    for await (const domain of readDomains(virsh, uuids, onProblem, { signal })) {
      const summary = summarize(domain, node);
      if (isListed(summary, options)) yield summary;
      signal?.throwIfAborted();
    }
  }

  async describe(name: string, { signal }: CallOptions = {}): Promise<InstanceDescription> {
    return await describeDomain(await findDomain(this.#context.virsh, name, { signal }), this.#context, { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
