import type {
  CallOptions,
  Discarded,
  IncomingInstance,
  InstanceTransfers,
  NewInstanceRequest,
  OutgoingInstance,
  SendOptions,
  TransferOptions,
} from '@gantry/core/inventory';
import type { RapiClient } from '../rapi/rapi-client.ts';
import { DomainSecret } from './domain-secret.ts';
import { addressTowards, parseListenAddress } from './listen-address.ts';
import { unfinishedTag } from './new-instance.ts';
import { RemoteCalls } from './remote-calls.ts';
import { startRemoteExport } from './remote-export.ts';
import type { NewInstanceState } from './remote-import.ts';
import { startRemoteImport } from './remote-import.ts';

export interface TransfersOptions {
  readonly client: RapiClient;
  /** Where RAPI is. */
  readonly host: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const SECRET_OF_MASTER = '/var/lib/ganeti/cluster-domain-secret';

/** Remote imports and exports of a Ganeti cluster. */
export class GanetiTransfers implements InstanceTransfers {
  readonly #options: TransfersOptions;
  readonly #calls: RemoteCalls;
  /** How far each new instance has come, by its token. */
  readonly #states = new Map<string, NewInstanceState>();

  constructor(options: TransfersOptions) {
    this.#options = options;
    this.#calls = new RemoteCalls(options.client);
  }

  async create(request: NewInstanceRequest, options: TransferOptions): Promise<IncomingInstance> {
    const { token } = request;
    this.#states.set(token, 'not-asked-for');
    const onState = (state: NewInstanceState): void => void this.#states.set(token, state);
    return await startRemoteImport(request, { ...options, calls: this.#calls, secret: await this.#secret(), onState });
  }

  async discard(name: string, token: string, options: CallOptions = {}): Promise<Discarded> {
    const state = this.#states.get(token);
    if (state === 'not-asked-for') return 'nothing';
    const found = await this.#calls.instance(name, options);
    if (found?.tags?.includes(unfinishedTag(token)) !== true) return state === 'under-way' ? 'may-appear' : 'nothing';
    await this.#calls.remove(name, options);
    return 'removed';
  }

  async send(name: string, { listen, ...options }: SendOptions): Promise<OutgoingInstance> {
    const secret = await this.#secret();
    const { host, port } = this.#options;
    const { signal } = options;
    const address = listen === undefined ? { host: await addressTowards(host, port, { signal }), port: 0 } : parseListenAddress(listen);
    return await startRemoteExport(name, { ...options, calls: this.#calls, secret, listen: address });
  }

  async #secret(): Promise<DomainSecret> {
    const path = this.#options.env['GANTRY_GANETI_DOMAIN_SECRET'] ?? '';
    return await DomainSecret.read(path === '' ? SECRET_OF_MASTER : path);
  }
}
