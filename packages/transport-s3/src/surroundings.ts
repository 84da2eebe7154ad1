import type { Bucket } from './requests/bucket.ts';
import type { BufferPool } from './requests/buffer-pool.ts';
import type { ConditionalSupport } from './write/conditional.ts';
import type { Gate } from './requests/gate.ts';
import type { PartDigests } from './write/part-digests.ts';
import type { PartPlan } from './write/part-plan.ts';

/** What the reads and writes of one store share. */
export interface Surroundings {
  readonly bucket: Bucket;
  readonly conditional: ConditionalSupport;
  readonly buffers: BufferPool;
  readonly digests: PartDigests;
  /** Through which parts go out. */
  readonly uploads: Gate;
  /** Through which ranges come in. */
  readonly downloads: Gate;
  readonly planFor: (expectedBytes: number | undefined) => PartPlan;
  readonly warn: (message: string) => void;
}
