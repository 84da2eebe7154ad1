import type { Codec, Priority, RetentionPolicy, SnapshotMode, SnapshotSize, VerifyBudget, VerifyDepth } from '@gantry/core';
import type { TimeOfDayRange } from '../quantities.ts';

/** A limit of a rate, which may change with the time of day. Bytes a second; absent: no limit. */
export interface RateLimit {
  readonly bytesPerSecond?: number | undefined;
  /** The first one that contains the time of day applies instead. */
  readonly at: readonly { readonly range: TimeOfDayRange; readonly bytesPerSecond?: number | undefined }[];
}

/** How exports are made: the options of `gantry export` with the same names. What is absent is decided elsewhere, or by default. */
export interface ExportSettings {
  readonly codec?: Codec | undefined;
  readonly level?: number | undefined;
  readonly incremental?: boolean | undefined;
  readonly fullEvery?: number | undefined;
  readonly trackChanges?: boolean | undefined;
  readonly patches?: boolean | undefined;
  readonly snapshot?: SnapshotMode | undefined;
  /** Absolute. */
  readonly snapshotConfig?: string | undefined;
  readonly snapshotSize?: SnapshotSize | undefined;
  /** How many disks of an instance at once. */
  readonly parallel?: number | undefined;
  /** Absent: in sealed exports only. */
  readonly withPrivate?: boolean | undefined;
  /** Public keys of age; empty, also of the files: exports are not encrypted. */
  readonly recipients?: readonly string[] | undefined;
  /** Absolute. */
  readonly recipientsFiles?: readonly string[] | undefined;
  /** File with an SSH key; absolute. */
  readonly signKey?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Files with what opens sealed exports; absolute. */
  readonly identities?: readonly string[] | undefined;
  /** File with who may sign exports; absolute. */
  readonly allowedSigners?: string | undefined;
  /** Exports that are not signed are refused, where signatures are checked. */
  readonly requireSignature?: boolean | undefined;
}

/** A store with a name. */
export interface StoreSettings {
  readonly name: string;
  /** As on the command line; a path is absolute. */
  readonly url: string;
  readonly limitRate?: RateLimit | undefined;
  /** How many exports may be written into it at once by one run. */
  readonly parallel?: number | undefined;
  /** The node of a fleet that copies into it, verifies and prunes it. */
  readonly node?: string | undefined;
  readonly export: ExportSettings;
}

/** Instances of one source that a policy exports. */
export interface InstanceSelection {
  /** The name of an inventory, or an address such as `ganeti:`, a directory of instance files, or one instance file. */
  readonly source: string;
  /** Names with `*`; absent: all. */
  readonly names?: readonly string[] | undefined;
  /** An instance must have all of them. */
  readonly tags?: readonly string[] | undefined;
  /** Names with `*` that are left out. */
  readonly except?: readonly string[] | undefined;
}

export interface VerifySettings {
  readonly depth?: VerifyDepth | undefined;
  readonly budget?: VerifyBudget | undefined;
}

/** What happens to exports that run when the window ends. */
export type AtWindowEnd = 'finish' | 'stop';

/** Programs that are started around an export: argv, the first one an absolute path. */
export interface Hooks {
  readonly beforeSnapshot?: readonly string[] | undefined;
  readonly afterSnapshot?: readonly string[] | undefined;
  readonly onSuccess?: readonly string[] | undefined;
  readonly onFailure?: readonly string[] | undefined;
  /** Milliseconds for each of them. */
  readonly timeoutMs: number;
}

/** Copies of what a policy exports, into another store, with a retention of their own. */
export interface CopySettings {
  /** The name of a store, or an address. */
  readonly to: string;
  readonly retention?: RetentionPolicy | undefined;
}

/** What is exported, how, to where, and how long it is kept. */
export interface Policy {
  readonly name: string;
  readonly instances: readonly InstanceSelection[];
  /** Names of stores, or addresses. */
  readonly stores: readonly string[];
  readonly export: ExportSettings;
  readonly retention?: RetentionPolicy | undefined;
  readonly verify?: VerifySettings | undefined;
  readonly copies: readonly CopySettings[];
  /** After how long without a good export an instance counts as late; milliseconds. */
  readonly maxAgeMs?: number | undefined;
  /** How many instances at once. */
  readonly parallel: number;
  /** When exports may begin. */
  readonly window?: (TimeOfDayRange & { readonly atEnd: AtWindowEnd }) | undefined;
  /** How much of the processors and disks scripts and compression leave to others. */
  readonly priority: Priority;
  readonly limitRate?: RateLimit | undefined;
  readonly hooks: Hooks;
}

/** Limits that hold for all runs of policies together. */
export interface HostSettings {
  /** How many instances are exported at once; absent: no limit. */
  readonly parallel?: number | undefined;
}

/** Who learns how a run ended. */
export interface NotifySettings {
  readonly on: 'failure' | 'always';
  readonly mail?: { readonly to: readonly string[]; readonly from?: string | undefined; readonly sendmail: string } | undefined;
  /** argv, the first one an absolute path; it gets the summary as JSON on its standard input. */
  readonly command?: readonly string[] | undefined;
}

/** Where figures are written. */
export interface MetricsSettings {
  /** A file for the textfile collector of Prometheus' node_exporter; absolute. */
  readonly textfile?: string | undefined;
  /** The URL of an OTLP/HTTP endpoint. */
  readonly otlp?: string | undefined;
}

/** Where a value was written. */
export interface Origin {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** As it was written; absent for lists and groups. */
  readonly text?: string;
}

/** What gantry.yaml says, of all files together. */
export interface Configuration {
  /** The files that were read, in the order in which they count; empty: there is no configuration. */
  readonly files: readonly string[];
  readonly stores: ReadonlyMap<string, StoreSettings>;
  /** Addresses of sources of instances, by name. */
  readonly inventories: ReadonlyMap<string, string>;
  readonly policies: ReadonlyMap<string, Policy>;
  /** What all policies share on this machine. */
  readonly host: HostSettings;
  readonly defaults: ExportSettings & { readonly limitRate?: RateLimit | undefined };
  readonly notify?: NotifySettings | undefined;
  readonly metrics: MetricsSettings;
  /** Where each value was written, by its path, such as `policies.nightly.retention.daily`. */
  readonly origins: ReadonlyMap<string, Origin>;
}
