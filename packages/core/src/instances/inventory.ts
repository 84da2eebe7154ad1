import type { CallOptions } from '@gantry/transport';
import type { Disk, Instance, Nic } from './model.ts';

/*
 * # What an inventory promises
 *
 * An inventory says which instances there are and describes them. The suite in `@gantry/core/inventory-conformance` checks:
 *
 * 1. **Read only.** No call but those of `manager` and `transfers` starts, stops, locks or writes anything where instances are described.
 * 2. **Names.** `list` gives each instance once, under a name (and perhaps a key) by which `describe` finds it. `describe` also takes what users of
 *    the source are used to (a short name, a UUID), and any other text is `not-found`, no matter which characters it has: it never becomes
 *    part of a path, a command or a query unchecked. A name that more than one instance has is `ambiguous`.
 * 3. **Filters.** `list` gives every instance that the filter allows ({@link isListed}), and no other. What it cannot read it reports.
 * 4. **Descriptions** are what an instance file says (`docs/reference/formats/instance-file.md`). Paths are absolute, and are those
 *    of the node on which the instance runs or would run.
 * 5. **Honest about running.** `unknown` where the source cannot tell: never a guess, and never what was true at an earlier call.
 * 6. **Guarded.** `guarded` names everything that must not be written to while the instance runs: at least each disk that it may
 *    write.
 * 7. **Secrets** stand in `osparams_private` and in native files that are marked as `secret` alone: in no summary, address, warning or error.
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

export interface ListInstancesOptions extends InstanceFilter, CallOptions {
  /**
   * Called for each instance that may be there but cannot be listed as it should, with the error: its file cannot be read, or two have
   * one name. Where absent, the source warns.
   */
  readonly onProblem?: ((error: unknown) => void) | undefined;
}

/** One line of a list: what the source knows without a look at each instance. */
export interface InstanceSummary {
  readonly name: string;
  /** What `describe` finds it by, and nothing else: such as its file. Where absent, its name. */
  readonly key?: string | undefined;
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

/** A part of the description in the form of the source, such as libvirt's XML or the variables of a firmware. */
export interface NativeFile {
  /** A file name, such as `domain.xml`: see {@link isNativeName}. */
  readonly name: string;
  /** Whether it holds what must stay private, such as a password or the state of a TPM: then it goes into an export only when asked for. */
  readonly secret: boolean;
  readonly bytes: Uint8Array;
}

/** Where a running guest is controlled, so that its disks can be held still while they are read. Nothing in it is a secret. */
export type GuestControl =
  | {
      readonly kind: 'libvirt';
      /** Connection URI, as `virsh --connect` takes it. */
      readonly uri: string;
      readonly uuid: string;
      /** The target of each disk of the instance, such as `vda`, in the order of its disks. */
      readonly targets: readonly string[];
    }
  /** `socket`: absolute path of the QMP socket. */
  | { readonly kind: 'qmp'; readonly socket: string };

/** One instance, as its source describes it at the time of the call. */
export interface InstanceDescription {
  readonly instance: InstanceFields;
  readonly run: RunState;
  /**
   * Absolute paths and URIs that must not be written to while the instance runs: its disks, and what stands behind them (backing files,
   * the devices under a DRBD device). Gantry refuses to write to one of them unless `run` says `stopped`.
   */
  readonly guarded: readonly string[];
  readonly native?: readonly NativeFile[] | undefined;
  /** Where its guest is controlled, if it runs on this host and can be. */
  readonly guest?: GuestControl | undefined;
  /**
   * Host name of the node on which the paths of its disks lead to them; absent where they do on every host, or the source cannot tell. On
   * any other host Gantry touches none of them: what has the same path there may be the disk of another instance.
   */
  readonly disksOn?: string | undefined;
}

/** An instance that is to become known where instances are described. Its disks have their contents. */
export interface DefineRequest {
  /** Complete: its disks, in order, are those that were written here. */
  readonly instance: Instance;
  /** What the source of the original said of it, where it is known. What was made by another kind of source is ignored. */
  readonly native: readonly NativeFile[];
  /** Whether it gets a new UUID and new MAC addresses, because the original may go on. */
  readonly newIdentity: boolean;
}

export interface StopOptions extends CallOptions {
  /** ms that the guest has to shut down. */
  readonly timeoutMs: number;
}

export interface UndefineOptions extends CallOptions {
  /**
   * Takes back a {@link InstanceManager.define} of this manager, after which nothing was started: what that put beside the disks (such as
   * firmware variables) goes too, so that it can be done again.
   */
  readonly takesBack?: boolean | undefined;
}

/** What changes instances where they are described. It is called only for what a user asked for by name. */
export interface InstanceManager {
  /** Says why {@link define} would fail, as far as that can be known before disks are written. Changes nothing. */
  checkDefine(request: DefineRequest, options?: CallOptions): Promise<void>;
  /**
   * Makes an instance known, stopped. If it rejects, nothing of the instance is left known.
   * @returns the name by which `describe` finds it
   * @throws InventoryError `exists` if another instance has the name (or an identity that must be unique), `denied`, `unavailable`, `failed`
   */
  define(request: DefineRequest, options?: CallOptions): Promise<string>;
  /** Does nothing if it runs already. */
  start(name: string, options?: CallOptions): Promise<void>;
  /**
   * Shuts the guest down and waits until it is stopped; never kills it. Does nothing if it is stopped.
   * @throws InventoryError `failed` if it still runs after `timeoutMs`
   */
  stop(name: string, options: StopOptions): Promise<void>;
  /**
   * Makes the source forget a stopped instance. Its disks stay.
   * @throws InventoryError `failed` if it runs, or if the source cannot do this without removing its disks
   */
  undefine(name: string, options?: UndefineOptions): Promise<void>;
}

/** Bytes of a disk, which are valid until the next piece is requested, or the length of a run of zeros. */
export type DiskPiece = Uint8Array | { readonly zeros: number };

/** What a transfer may use of its surroundings. */
export interface TransferOptions extends CallOptions {
  /** Called with what the user should know although nothing failed. */
  readonly warn: (message: string) => void;
}

/** An instance that its source is to make, with new disks. */
export interface NewInstanceRequest {
  /** As it was exported, under its new name. All disks have sizes; their paths, and its nodes, are those of the original. */
  readonly instance: Instance;
  readonly originalName: string;
  /** Primary node, then secondary; the source chooses where it is empty. */
  readonly nodes: readonly string[];
  /** Marks the instance where it is made until it is complete; letters, digits and `-` alone. */
  readonly token: string;
}

/** A new instance on its way into its source. Disposing it before it is complete gives it up, and waits until the source has done so. */
export interface IncomingInstance extends AsyncDisposable {
  /**
   * Takes all data of one disk; several at once. What `pieces` throw makes the disk fail in the source, and is thrown here.
   * @throws InventoryError `failed`, `unavailable`
   */
  write(disk: number, pieces: AsyncIterable<DiskPiece>, options?: CallOptions): Promise<void>;
  /**
   * Resolves when the source says that every disk and the instance are complete; it is stopped then.
   * @returns the name by which `describe` finds it
   * @throws InventoryError `failed`
   */
  complete(options?: CallOptions): Promise<string>;
}

/** The disks of an instance on their way out of its source. Disposing gives up what is not complete. */
export interface OutgoingInstance extends AsyncDisposable {
  readonly disks: number;
  /** Bytes of each disk, where they are known in advance: of sources that send disks as they are. */
  readonly diskBytes: readonly (number | undefined)[];
  /** All data of one disk, in order, to be read once; several at once. Its end shows nothing before `complete`. */
  read(disk: number, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** Resolves when the source says that it sent every disk completely. @throws InventoryError `failed` */
  complete(options?: CallOptions): Promise<void>;
}

export interface SendOptions extends TransferOptions {
  /** Where the source's nodes connect to: `host`, `host:port`, `[address]:port`; where absent, the address that leads to the source. */
  readonly listen?: string | undefined;
}

/** What there was to discard. `may-appear`: nothing yet, but the source may have been asked for it and may still make it. */
export type Discarded = 'removed' | 'nothing' | 'may-appear';

/**
 * What moves disks through the place where instances are described, with its own locks and snapshots. Instances need not be on this
 * host.
 */
export interface InstanceTransfers {
  /**
   * Has a new instance made, whose disks wait for their data.
   * @throws InventoryError `exists` if there is an instance of that name, `denied`, `unavailable`, `failed`
   */
  create(request: NewInstanceRequest, options: TransferOptions): Promise<IncomingInstance>;
  /** Removes what `create` made under that name and token. */
  discard(name: string, token: string, options?: CallOptions): Promise<Discarded>;
  /** Has all disks of an instance sent here. @throws InventoryError `not-found`, `denied`, `unavailable`, `failed` */
  send(name: string, options: SendOptions): Promise<OutgoingInstance>;
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
  /** Absent where the source only describes. */
  readonly manager?: InstanceManager | undefined;
  /** Absent where disks can only be read and written on the host that has them. */
  readonly transfers?: InstanceTransfers | undefined;
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
