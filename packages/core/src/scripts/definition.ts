/** An operation that an OS definition can have a script for. */
export type OsOperation = 'create' | 'export' | 'import' | 'rename';

/** Scripts have the name of their operation; `verify` checks parameters and does not belong to an operation. */
export type ScriptName = OsOperation | 'verify';

/** The supported versions of the OS interface, the latest first. */
export const API_VERSIONS: readonly [20, 15, 10] = [20, 15, 10];

export type ApiVersion = (typeof API_VERSIONS)[number];

/** One line of `parameters.list`. */
export interface OsParameter {
  readonly name: string;
  /** From the definition; may be empty. */
  readonly description: string;
}

/** A valid definition. */
export interface OsDefinition {
  readonly name: string;
  /** Absolute; absent for a built-in definition. */
  readonly directory?: string;
  readonly builtin: boolean;
  /** All versions that the definition says it complies with, supported or not, in its order. */
  readonly apiVersions: readonly number[];
  /** The highest version that both sides support. */
  readonly apiVersion: ApiVersion;
  /** In the definition's order: the first is the default. Empty if the definition has no variants. */
  readonly variants: readonly string[];
  readonly parameters: readonly OsParameter[];
  /** The supported hypervisors; absent if it supports any. */
  readonly hypervisors?: readonly string[];
  /** Absolute paths of the existing scripts. */
  readonly scripts: Readonly<Partial<Record<ScriptName, string>>>;
  readonly operations: ReadonlySet<OsOperation>;
}

/** The definition that needs no scripts: a dump is the plain image of the disk. */
export const RAW_DEFINITION: OsDefinition = {
  name: 'raw',
  builtin: true,
  apiVersions: [...API_VERSIONS],
  apiVersion: 20,
  variants: [],
  parameters: [],
  scripts: {},
  operations: new Set<OsOperation>(['export', 'import']),
};

/** Every built-in definition by its name. */
export const BUILTIN_DEFINITIONS: ReadonlyMap<string, OsDefinition> = new Map([[RAW_DEFINITION.name, RAW_DEFINITION]]);

/** Whether an instance's `os` names a built-in definition, with which Gantry reads and writes its disks itself. */
export function isBuiltinOs(os: string): boolean {
  return BUILTIN_DEFINITIONS.has(os);
}
