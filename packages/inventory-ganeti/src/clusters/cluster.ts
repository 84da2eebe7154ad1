import type { CallOptions } from '@gantry/core/inventory';
import type { JobQueue } from '../jobs/job.ts';

/** What Gantry asks a cluster, through RAPI or LUXI. Answers come as JSON has them; a job is named by its number. */
export interface Cluster extends JobQueue {
  /** For messages, such as `RAPI at master:5080`. */
  readonly label: string;
  /** Names of all instances. */
  names(options: CallOptions): Promise<unknown>;
  /** A list of groups of fields, one for each instance. */
  summaries(options: CallOptions): Promise<unknown>;
  /** The same for one instance, by its name. */
  summary(name: string, options: CallOptions): Promise<unknown>;
  /** What is true of the cluster: its version, its global parameters. */
  info(options: CallOptions): Promise<unknown>;
  /** Submits a job that describes an instance in detail. It changes nothing, but waits for a shared lock of the instance. */
  submitDescribe(name: string, options: CallOptions): Promise<string>;
  submitStart(name: string, options: CallOptions): Promise<string>;
  /** @param timeoutS seconds that the guest has */
  submitStop(name: string, timeoutS: number, options: CallOptions): Promise<string>;
}
