import { isName } from '@gantry/config';
import { z } from 'zod';

/** What a user wants to have restored, as `gantry import` takes it. Nothing of it is an address, which a queue could have a node use. */
export interface RestoreOrder {
  /** The name of a store in the configuration of the node. */
  readonly store: string;
  /** `INSTANCE` or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** An instance of a source that the node has, such as `cluster:web1`, or a file there; absent: the exported one. */
  readonly to?: string | undefined;
  readonly createDisks?: boolean | undefined;
  readonly checkFirst?: boolean | undefined;
  readonly resume?: boolean | undefined;
  /** Only says what would be overwritten. */
  readonly dryRun?: boolean | undefined;
  /** The user's consent to overwrite disks. */
  readonly yes?: boolean | undefined;
}

/** No option and no path. */
const EXPORT = /^[^\s/@-][^\s/@]*(?:@[^\s/@]+)?$/;
const TARGET = /^(?:[A-Za-z][\w-]*:[^\s/-][^\s/]*|\/[^\s]+)$/;

export function isExportReference(text: string): boolean {
  return EXPORT.test(text);
}

export function isRestoreTarget(text: string): boolean {
  return TARGET.test(text);
}

const flag = z.boolean().optional();

/** Looked at by the agent too: a queue is not believed that a command has checked it. */
export const restoreOrder: z.ZodType<RestoreOrder> = z.object({
  store: z.string().refine(isName),
  export: z.string().regex(EXPORT),
  to: z.string().regex(TARGET).optional(),
  createDisks: flag,
  checkFirst: flag,
  resume: flag,
  dryRun: flag,
  yes: flag,
});
