/** What an OS definition can do to an instance. */
export type OsOperation = 'create' | 'export' | 'import' | 'rename';

/** Scripts bear the name of their operation; `verify` checks parameters and belongs to no operation. */
export type ScriptName = OsOperation | 'verify';

/** Versions of the OS interface that are spoken here, the best first. */
export const API_VERSIONS: readonly [20, 15, 10] = [20, 15, 10];

export type ApiVersion = (typeof API_VERSIONS)[number];

/** One line of `parameters.list`. */
export interface OsParameter {
  readonly name: string;
  /** As the definition says it; may be empty. */
  readonly description: string;
}

/** A definition that diagnosis found whole. */
export interface OsDefinition {
  readonly name: string;
  /** Absolute; absent for a built-in definition. */
  readonly directory?: string;
  readonly builtin: boolean;
  /** All that the definition says it complies with, spoken here or not, in its order. */
  readonly apiVersions: readonly number[];
  /** The highest that both sides know. */
  readonly apiVersion: ApiVersion;
  /** In the definition's order: the first is the default. Empty: it has no variants. */
  readonly variants: readonly string[];
  readonly parameters: readonly OsParameter[];
  /** The only hypervisors that it supports; absent: any. */
  readonly hypervisors?: readonly string[];
  /** Absolute paths of the scripts that are there. */
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
