import type { CallOptions } from '@gantry/transport';
import type { Disk, Instance, Nic } from './model.ts';

/*
 * # What an inventory promises
 *
 * An inventory says which instances there are and describes them. The suite in `@gantry/core/inventory-conformance` checks:
 *
 * 1. **Read only.** No call starts, stops, locks or writes anything where instances are described.
 * 2. **Names.** `list` gives each instance once, under the name by which `describe` finds it. `describe` also takes what users of
 *    the source are used to (a short name, a UUID), and any other text is `not-found`, no matter which characters it has: it never becomes
 *    part of a path, a command or a query unchecked. A name that more than one instance has is `ambiguous`.
 * 3. **Filters.** `list` gives every instance that the filter allows ({@link isListed}), and no other.
 * 4. **Descriptions** are what an instance file says (`docs/reference/formats/instance-file.md`). Paths are absolute, and are those
 *    of the node on which the instance runs or would run.
 * 5. **Honest about running.** `unknown` where the source cannot tell: never a guess, and never what was true at an earlier call.
 * 6. **Guarded.** `guarded` names everything that must not be written to while the instance runs: at least each disk that it may
 *    write.
 * 7. **Secrets** stand in `osparams_private` and in the native description alone: in no summary, address, warning or error.
 * 8. **Cancelled at once.** Every call takes a signal and rejects with its reason.
 * 9. **Typed errors.** Every rejection is an `InventoryError` or the reason of the signal.
 */

/** Whether an instance runs (a paused one does: it has its disks open), and the host name of the node on which it does. */
export type RunState = { readonly state: 'running'; readonly node: string } | { readonly state: 'stopped' } | { readonly state: 'unknown' };

/** Which instances `list` gives: those that any pattern matches and that have all tags; all of them where the filter is empty. */
export interface InstanceFilter {
  /** Names, in which `*` stands for any number of characters. */
  readonly patterns?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
}

export interface ListInstancesOptions extends InstanceFilter, CallOptions {}

/** One line of a list: what the source knows without a look at each instance. */
export interface InstanceSummary {
  /** What `describe` finds it by. */
  readonly name: string;
  readonly run: RunState;
  readonly os?: string | undefined;
  readonly hypervisor?: string | undefined;
  /** How many disks it has. */
  readonly disks?: number | undefined;
  readonly tags: readonly string[];
}

type WithDefaults<T, Required extends keyof T> = Pick<T, Required> & { readonly [K in keyof T]?: T[K] | undefined };

/** What an instance file says. Fields that are absent or undefined get the defaults of an instance file. */
export type InstanceFields = Omit<WithDefaults<Instance, 'name' | 'os' | 'hypervisor'>, 'disks' | 'nics'> & {
  readonly disks?: readonly { readonly [K in keyof Disk]?: Disk[K] | undefined }[] | undefined;
  readonly nics?: readonly WithDefaults<Nic, 'mac'>[] | undefined;
};

/** The description in the form of the source, such as libvirt's XML. It may hold secrets. */
export interface NativeDescription {
  /** A file name, such as `domain.xml`. */
  readonly name: string;
  /** At most {@link MAX_NATIVE_BYTES}. */
  readonly bytes: Uint8Array;
}

/** Bytes. */
export const MAX_NATIVE_BYTES: number = 4 * 1024 * 1024;

/** One instance, as its source describes it at the time of the call. */
export interface InstanceDescription {
  readonly instance: InstanceFields;
  readonly run: RunState;
  /**
   * Absolute paths and URIs that must not be written to while the instance runs: its disks, and what stands behind them (backing files,
   * the devices under a DRBD device). Gantry refuses to write to one of them unless `run` says `stopped`.
   */
  readonly guarded: readonly string[];
  readonly native?: NativeDescription | undefined;
}

/** Instances that are described in one place: a cluster, a hypervisor, a directory of files. */
export interface InstanceSource extends AsyncDisposable {
  /** How the user names it; never with a secret. */
  readonly address: string;
  /**
   * The instances that the filter allows, in any order.
   * @throws InventoryError `source-not-found`, `denied`, `unavailable`, `failed`
   */
  list(options?: ListInstancesOptions): AsyncIterable<InstanceSummary>;
  /** @throws InventoryError `not-found`, `ambiguous`, and what `list` throws */
  describe(name: string, options?: CallOptions): Promise<InstanceDescription>;
}

/** What an inventory may use of its surroundings: handed in, so that it reads no globals. */
export interface OpenInventoryOptions extends CallOptions {
  /** Environment variables, for credentials and settings that the inventory documents. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called with what the user should know although nothing failed. */
  readonly warn: (message: string) => void;
}

/**
 * A package that knows where instances are described. It is called `gantry-inventory-SCHEME` (or is one of Gantry's own) and has one
 * of these as its default export.
 */
export interface Inventory {
  /** The schemes that it serves, without the colon, such as `libvirt`. */
  readonly schemes: readonly string[];
  /**
   * Opens the source that `address` names. The user writes `scheme:NAME` or `scheme://host/NAME` for an instance and `scheme:` or
   * `scheme://host` for the source; here comes the address of the source alone, as a URL: `scheme:`, `scheme://host`,
   * `scheme://host/path?option=value`. It never has a password.
   * @throws InventoryError `invalid-address`, `source-not-found`, `denied`, `unavailable`
   */
  open(address: URL, options: OpenInventoryOptions): Promise<InstanceSource>;
}
