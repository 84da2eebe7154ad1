import { randomBytes } from 'node:crypto';
import type { CallOptions, OutgoingInstance, TransferOptions } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { z } from 'zod';
import { waitForJob } from '../jobs/wait-for-job.ts';
import { DiskLog } from './disk-log.ts';
import { DiskReceiver } from './disk-receiver.ts';
import type { DomainSecret } from './domain-secret.ts';
import { createIdentity, readSignedCertificate, signCertificate, wrongSecret } from './identity.ts';
import { JobWatch } from './job-watch.ts';
import type { ListenAddress } from './listen-address.ts';
import type { RemoteCalls } from './remote-calls.ts';
import { MAX_SHORT_JOB_MS } from './remote-calls.ts';
import { diskInfoText, HANDSHAKE_TEXT, HANDSHAKE_VERSION } from './signed-texts.ts';

const MIB = 1024 * 1024;
/** Ganeti ends an export whose connections are gone within seconds; one that has not started yet is cancelled. */
const GIVE_UP_MS = 120_000;

const signed = z.tuple([z.string(), z.string(), z.string()]);
const prepared = z.object({
  handshake: z.tuple([z.int(), z.string(), z.string()]),
  x509_key_name: signed,
  x509_ca: z.string(),
});
/** Whether the export was finished, and each disk. */
const exported = z.tuple([z.boolean(), z.array(z.boolean())]);

export interface RemoteExportOptions extends TransferOptions {
  readonly calls: RemoteCalls;
  readonly secret: DomainSecret;
  readonly listen: ListenAddress;
}

/** Has Ganeti send the disks of an instance here. @throws InventoryError; the reason of the signal */
export async function startRemoteExport(name: string, options: RemoteExportOptions): Promise<OutgoingInstance> {
  const { calls, secret, listen, signal = new AbortController().signal, warn } = options;
  const summary = await calls.instance(name, { signal });
  if (summary === undefined) throw new InventoryError('not-found', { message: `there is no instance ${name}` });
  const { x509_key_name, x509_ca } = await prepare(name, options);
  const peer = readSignedCertificate(x509_ca, secret);
  const identity = await createIdentity(listen.host);
  const magics = summary['disk.sizes'].map(() => randomBytes(20).toString('hex'));
  await using scope = new AsyncDisposableStack();
  const receiver = scope.use(await DiskReceiver.listen({ identity, peer, magics, ...listen, warn, signal }));
  const destination = magics.map((magic, index) => {
    const { digest, salt } = secret.sign(diskInfoText(index, listen.host, receiver.port, magic));
    return [listen.host, receiver.port, magic, digest, salt];
  });
  const job = await calls.submitExport(
    name,
    // A guest is not stopped for this: it can run where Ganeti takes snapshots.
    {
      destination,
      x509_key_name,
      destination_x509_ca: signCertificate(identity, secret),
      shutdown: false,
      remove_instance: false,
      compress: 'none',
    },
    { signal },
  );
  scope.move();
  const isRaw = (summary.os ?? '') === '';
  return new RemoteExporter(job, receiver, {
    name,
    calls,
    warn,
    diskBytes: summary['disk.sizes'].map((mib) => (isRaw ? mib * MIB : undefined)),
  });
}

async function prepare(name: string, { calls, secret, signal }: RemoteExportOptions): Promise<z.infer<typeof prepared>> {
  const [result] = await waitForJob(calls, await calls.submitPrepareExport(name, { signal }), {
    signal,
    what: `to prepare the export of ${name}`,
    timeoutMs: MAX_SHORT_JOB_MS,
  });
  const { success, data } = prepared.safeParse(result);
  if (!success) throw new InventoryError('failed', { message: `Ganeti did not say how it exports ${name}` });
  const [version, handshake, salt] = data.handshake;
  if (version !== HANDSHAKE_VERSION)
    throw new InventoryError('failed', { message: `Ganeti speaks version ${version} of remote exports, not ${HANDSHAKE_VERSION}` });
  const [keyName, digest, keySalt] = data.x509_key_name;
  if (!secret.verify(HANDSHAKE_TEXT, { digest: handshake, salt })) throw wrongSecret('its greeting');
  if (!secret.verify(keyName, { digest, salt: keySalt })) throw wrongSecret('its key');
  return data;
}

interface ExporterOptions {
  readonly name: string;
  readonly calls: RemoteCalls;
  readonly warn: (message: string) => void;
  readonly diskBytes: readonly (number | undefined)[];
}

class RemoteExporter implements OutgoingInstance {
  readonly disks: number;
  readonly diskBytes: readonly (number | undefined)[];
  readonly #options: ExporterOptions;
  readonly #receiver: DiskReceiver;
  readonly #log: DiskLog;
  readonly #watch: JobWatch;
  #isComplete = false;

  constructor(job: string, receiver: DiskReceiver, options: ExporterOptions) {
    this.#options = options;
    this.#receiver = receiver;
    this.diskBytes = options.diskBytes;
    this.disks = options.diskBytes.length;
    this.#log = new DiskLog(this.disks, options.warn);
    this.#watch = new JobWatch(options.calls, job, `to export ${options.name}`, (entry) => this.#log.add(entry));
    // What waits for data that will not come then fails with the cause. Data that is under way at the end of the job still arrives.
    this.#watch.results().catch((error: unknown) => receiver.fail(this.#causeOf(error)));
  }

  read(disk: number, options?: CallOptions): AsyncIterable<Uint8Array> {
    return this.#receiver.data(disk, options);
  }

  async complete({ signal }: CallOptions = {}): Promise<void> {
    const { name } = this.#options;
    const [result] = await this.#watch.results(signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw this.#causeOf(error);
    });
    const { success, data } = exported.safeParse(result);
    if (!success || !data[0] || data[1].length !== this.disks || data[1].includes(false)) {
      throw new InventoryError('failed', { message: `Ganeti did not say that it sent all disks of ${name}` });
    }
    this.#isComplete = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#receiver[Symbol.asyncDispose]();
    if (this.#isComplete || (await this.#watch.end(GIVE_UP_MS))) return;
    this.#options.warn(`the job that exports ${this.#options.name} may still run: it fails by itself`);
  }

  /** The job says only which disks failed; its log says why. */
  #causeOf(error: unknown): unknown {
    const unfinished = this.#log.firstUnfinished();
    if (!(error instanceof InventoryError) || unfinished === undefined || !/disk\(s\)/.test(error.message)) return error;
    return new InventoryError('failed', {
      message: `Ganeti did not send disk ${unfinished.disk}: ${unfinished.why}`,
      hint: 'If a node could not connect: give an address of this host that the nodes can reach with --listen.',
      cause: error,
    });
  }
}
