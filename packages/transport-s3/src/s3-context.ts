import type { Bucket } from './requests/bucket.ts';
import type { BufferPool } from './requests/buffer-pool.ts';
import type { ConditionalSupport } from './write/conditional.ts';
import type { TransferLimit } from './requests/transfer-limit.ts';
import type { PartDigests } from './write/part-digests.ts';
import type { PartPlan } from './write/part-plan.ts';

/** What the reads and writes of one store share. */
export interface S3Context {
  readonly bucket: Bucket;
  readonly conditional: ConditionalSupport;
  readonly buffers: BufferPool;
  readonly digests: PartDigests;
  /** Limits the parts on their way to the service. */
  readonly uploads: TransferLimit;
  /** Limits the ranges on their way from the service. */
  readonly downloads: TransferLimit;
  readonly planFor: (expectedBytes: number | undefined) => PartPlan;
  /** Whether the service copies parts of an object, by its key: known after the first try. Undefined if copies are of no use. */
  readonly copies: Map<string, 'works' | 'refused'> | undefined;
  readonly warn: (message: string) => void;
}
