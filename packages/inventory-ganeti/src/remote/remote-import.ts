import { setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions, DiskPiece, IncomingInstance, NewInstanceRequest, TransferOptions } from '@gantry/core/inventory';
import { InventoryError, isInventoryError } from '@gantry/core/inventory';
import { z } from 'zod';
import type { JobLogEntry } from '../jobs/job.ts';
import { RapiError } from '../rapi/rapi-error.ts';
import { DiskLog } from './disk-log.ts';
import { DiskSender } from './disk-sender.ts';
import type { DomainSecret } from './domain-secret.ts';
import type { Identity } from './identity.ts';
import { createIdentity, readSignedCertificate, signCertificate, wrongSecret } from './identity.ts';
import { JobWatch } from './job-watch.ts';
import { createParameters, unfinishedTag } from './new-instance.ts';
import type { RemoteCalls } from './remote-calls.ts';
import { diskInfoText, HANDSHAKE_TEXT, HANDSHAKE_VERSION } from './signed-texts.ts';

/** Ganeti gives up a disk to which nobody connected after 180 s, and looks at each every 5 s. */
const GIVE_UP_MS = 300_000;
const SAID_MS = 20_000;

const REMOTE_IMPORT = 'remote-import';
const remoteImport = z.object({
  disks: z.array(z.tuple([z.string(), z.int().min(1).max(65_535), z.string(), z.string(), z.string()])),
  x509_ca: z.string(),
});
type RemoteImport = z.infer<typeof remoteImport>;

/** `under-way`: the cluster was asked for it, or may have been. `ended`: no job makes it any more, as is known for certain. */
export type NewInstanceState = 'not-asked-for' | 'under-way' | 'ended';

export interface RemoteImportOptions extends TransferOptions {
  readonly calls: RemoteCalls;
  readonly secret: DomainSecret;
  readonly onState: (state: NewInstanceState) => void;
}

/** Has Ganeti make an instance, and connects to each of its disks. @throws InventoryError; the reason of the signal */
export async function startRemoteImport(request: NewInstanceRequest, options: RemoteImportOptions): Promise<IncomingInstance> {
  const { calls, secret, signal } = options;
  const { name } = request.instance;
  if ((await calls.instance(name, { signal })) !== undefined) {
    throw new InventoryError('exists', { message: `there is an instance ${name} already`, hint: 'Give the new instance another name.' });
  }
  await assertOs(request, options);
  const identity = await createIdentity();
  const { digest, salt } = secret.sign(HANDSHAKE_TEXT);
  const parameters = {
    ...createParameters(request),
    source_handshake: [HANDSHAKE_VERSION, digest, salt],
    source_x509_ca: signCertificate(identity, secret),
  };
  const incoming = await RemoteImporter.start(parameters, request, { ...options, identity });
  try {
    await incoming.connect();
    return incoming;
  } catch (error) {
    await incoming[Symbol.asyncDispose]();
    throw error;
  }
}

/** Without an OS definition, Ganeti makes an instance without ever asking for its data. @throws InventoryError `failed` */
async function assertOs({ instance: { os } }: NewInstanceRequest, { calls, signal }: RemoteImportOptions): Promise<void> {
  const known = await calls.operatingSystems({ signal });
  if (known.some((each) => each === os || each.split('+')[0] === os)) return;
  throw new InventoryError('failed', {
    message: `the cluster does not have the OS definition ${os}, whose import scripts write the disks`,
    details: [`it has: ${known.join(', ') || 'none'}`],
    hint:
      os === 'raw'
        ? 'Copy the directory os/raw of Gantry to /srv/ganeti/os/ on all nodes, or name another one with --os that copies its input to the disk.'
        : 'Install it on the nodes of the cluster, or name another one with --os that can read what this one wrote.',
  });
}

class RemoteImporter implements IncomingInstance {
  readonly #options: RemoteImportOptions & { readonly identity: Identity };
  readonly #request: NewInstanceRequest;
  readonly #log: DiskLog;
  readonly #listening = Promise.withResolvers<unknown>();
  readonly #watch: JobWatch;
  #senders: readonly DiskSender[] = [];
  #isComplete = false;

  private constructor(job: string, request: NewInstanceRequest, options: RemoteImportOptions & { readonly identity: Identity }) {
    this.#request = request;
    this.#options = options;
    this.#log = new DiskLog(request.instance.disks.length, options.warn);
    this.#watch = new JobWatch(options.calls, job, `to make ${request.instance.name}`, (entry) => this.#read(entry));
  }

  /**
   * Ganeti 3.0 wants to resolve the name of the original, which it tells the `rename` script: where the master cannot, it gets the name of
   * the cluster.
   */
  static async start(
    parameters: Readonly<Record<string, unknown>>,
    request: NewInstanceRequest,
    options: RemoteImportOptions & { readonly identity: Identity },
  ): Promise<RemoteImporter> {
    const { calls, signal, warn, onState } = options;
    const submit = async (source_instance_name: string): Promise<RemoteImporter> => {
      onState('under-way');
      const job = await calls.submitCreate({ ...parameters, source_instance_name }, { signal }).catch((error: unknown) => {
        if (isRefusal(error)) onState('ended');
        throw error;
      });
      const importer = new RemoteImporter(job, request, options);
      await importer.#listens().catch(async (error: unknown) => {
        await importer[Symbol.asyncDispose]();
        throw error;
      });
      return importer;
    };
    try {
      return await submit(request.originalName);
    } catch (error) {
      if (!(error instanceof InventoryError) || !/resolve|resolver/i.test(error.message)) throw error;
      const cluster = await calls.clusterName({ signal });
      warn(`the master cannot resolve ${request.originalName}: a rename script gets ${cluster} as the old name`);
      return await submit(cluster);
    }
  }

  /** Connects to all disks: Ganeti waits for each only some minutes, and data may have to wait for its turn longer. */
  async connect(): Promise<void> {
    const { secret, identity, signal } = this.#options;
    const { disks, x509_ca } = await this.#listens();
    const peer = readSignedCertificate(x509_ca, secret);
    if (disks.length !== this.#request.instance.disks.length) {
      throw new InventoryError('failed', { message: `Ganeti waits for ${disks.length} disks, not ${this.#request.instance.disks.length}` });
    }
    for (const [index, [host, port, magic, digest, salt]] of disks.entries()) {
      if (!secret.verify(diskInfoText(index, host, port, magic), { digest, salt })) throw wrongSecret(`disk ${index}`);
    }
    const options = { identity, peer, signal: signal ?? new AbortController().signal };
    const connected = await Promise.allSettled(
      disks.map(async ([host, port, magic]) => await DiskSender.connect({ host, port, magic }, options)),
    );
    this.#senders = connected.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = connected.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async write(disk: number, pieces: AsyncIterable<DiskPiece>, { signal }: CallOptions = {}): Promise<void> {
    const sender = this.#senders[disk];
    if (sender === undefined) throw new RangeError(`there is no disk ${disk}`);
    const stop = (): void => sender.reset();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      signal?.throwIfAborted();
      await sender.send(pieces);
    } catch (error) {
      signal?.throwIfAborted();
      throw sender.isBroken(error) ? await this.#causeOf(disk, error) : error;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  async complete({ signal }: CallOptions = {}): Promise<string> {
    const { calls } = this.#options;
    const { instance, token } = this.#request;
    await this.#watch.results(signal);
    const unfinished = this.#log.firstUnfinished();
    if (unfinished !== undefined) throw notReceived(unfinished.disk, unfinished.why);
    await calls.removeTag(instance.name, unfinishedTag(token), { signal });
    this.#isComplete = true;
    return instance.name;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sender of this.#senders) sender.reset();
    if (this.#isComplete || (await this.#watch.end(GIVE_UP_MS))) this.#options.onState('ended');
    else this.#options.warn(`the job that makes ${this.#request.instance.name} may still run`);
  }

  #read(entry: JobLogEntry): void {
    if (entry.type === REMOTE_IMPORT) this.#listening.resolve(entry.message);
    else this.#log.add(entry);
  }

  /** What Ganeti says when all disks wait for their data. @throws InventoryError, also where the job ends before */
  async #listens(): Promise<RemoteImport> {
    const ended = this.#watch.results(this.#options.signal).then(() => {
      const { disk, why } = this.#log.firstUnfinished() ?? { disk: 0, why: 'Ganeti did not wait for its data' };
      throw notReceived(disk, why);
    });
    const { success, data } = remoteImport.safeParse(await Promise.race([this.#listening.promise, ended]));
    if (success) return data;
    throw new InventoryError('failed', { message: 'Ganeti did not say where it waits for the data' });
  }

  /** The importer's own words say more than the broken connection. */
  async #causeOf(disk: number, error: unknown): Promise<unknown> {
    const stop = new AbortController();
    const said = await Promise.race([
      this.#log.outcome(disk),
      sleep(SAID_MS, undefined, { signal: stop.signal }).catch(() => undefined),
      this.#watch.results().then(() => undefined),
    ]).catch((error: unknown) => (isInventoryError(error) ? { state: 'failed' as const, why: error.message } : undefined));
    stop.abort();
    return said?.state === 'failed' ? notReceived(disk, said.why) : error;
  }
}

/** Whether RAPI certainly did not submit the job. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof RapiError)) return false;
  const { retry, status = 0 } = error;
  return retry === 'any' || (status >= 400 && status < 500);
}

function notReceived(disk: number, why: string): InventoryError {
  return new InventoryError('failed', {
    message: `Ganeti did not receive disk ${disk}: ${why}`,
    hint: 'On its node, the newest file in /var/log/ganeti/os/ has the output of the import.',
  });
}
