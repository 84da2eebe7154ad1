import type { OpenOptions, Store } from '@gantry/transport';

import { untilAborted } from './requests/abort.ts';
import { parseAddress } from './address/address.ts';
import { Bucket } from './requests/bucket.ts';
import { BufferPool } from './requests/buffer-pool.ts';
import { makeClients } from './requests/clients.ts';
import { findConditionalSupport } from './write/conditional.ts';
import { TransferLimit } from './requests/transfer-limit.ts';
import type { S3Options } from './address/options.ts';
import { PartDigests } from './write/part-digests.ts';
import type { PartPlan } from './write/part-plan.ts';
import { S3_LIMITS, planParts } from './write/part-plan.ts';
import { S3Store } from './s3-store.ts';

/**
 * Opens the store at an address such as `s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-central-1`. Creates nothing.
 * One request finds out what the service supports, unless it is Amazon's, the address says it, or the store is opened for reading.
 *
 * @throws StoreError `invalid-address`, `denied` without credentials, `unavailable`
 */
export async function openS3Store(address: URL, { env, access, signal, warn }: OpenOptions): Promise<Store> {
  signal?.throwIfAborted();
  const parsed = parseAddress(address);
  const clients = await makeClients(parsed, env);
  try {
    // First: without credentials every request would fail, each after its own wait.
    await untilAborted(clients.usual.config.credentials(), signal);
    const { options } = parsed;
    const bucket = new Bucket(clients, parsed);
    const limits = { maxCount: options.concurrency, maxBytes: options.memoryBytes };
    return new S3Store({
      bucket,
      conditional: await findConditionalSupport(bucket, { access, signal }),
      buffers: new BufferPool(options.memoryBytes),
      digests: new PartDigests(),
      uploads: new TransferLimit(limits),
      downloads: new TransferLimit(limits),
      planFor: rememberPlan(options),
      // A service that requires equal parts cannot put ranges of any size together.
      copies: options.equalPartBytes === undefined ? new Map() : undefined,
      warn,
    });
  } catch (error) {
    clients[Symbol.dispose]();
    throw error;
  }
}

/** Making a plan takes some milliseconds: the usual one, without a hint, is made once. */
function rememberPlan(options: S3Options): (expectedBytes: number | undefined) => PartPlan {
  const base = { ...options, maxPartBytes: S3_LIMITS.maxPartBytes };
  let usual: PartPlan | undefined;
  return (expectedBytes) => {
    // If the first part holds it anyway, the hint changes nothing.
    if (expectedBytes === undefined || expectedBytes <= options.firstPartBytes) return (usual ??= planParts(base));
    return planParts({ ...base, expectedBytes });
  };
}
