import { normalize, resolve } from 'node:path';
import { z } from 'zod';
import type { DocumentProblem, ProblemStyle } from '../documents/problems.ts';
import { invalidDocument, problemsOf } from '../documents/problems.ts';
import type { GantryError } from '../report/errors.ts';
import { isParameterName } from './parameter-variables.ts';
import type { Disk, Instance } from './model.ts';
import type { InstanceDocument } from './schema.ts';
import { instanceSchema, KNOWN_FIELDS } from './schema.ts';

export interface ParseInstanceOptions {
  /** The absolute directory that relative paths of disks are relative to. */
  readonly baseDirectory: string;
  /** The primary node if the document does not say. */
  readonly hostName: string;
  /** Name of the document in messages; `instance` when absent. */
  readonly source?: string | undefined;
}

const STYLE: ProblemStyle = {
  knownFields: (path) => KNOWN_FIELDS.get(path.filter((step) => typeof step === 'string').join('.')) ?? [],
  nameOf,
};

/**
 * Checks the description of an instance (docs/reference/formats/instance-file.md) and completes it: paths become absolute, and optional
 * fields get their defaults. Whether the disks exist is checked by `inspectDisks`.
 *
 * @throws GantryError `INSTANCE_INVALID`, with every problem in `details`; never shows values of private parameters
 */
export function parseInstance(document: unknown, options: ParseInstanceOptions): Instance {
  const parsed = instanceSchema.safeParse(document);
  if (!parsed.success) {
    const { problems, count } = problemsOf(parsed.error.issues, STYLE);
    throw invalid(problems, count, options.source);
  }
  const instance = complete(parsed.data, options);
  const problems = [...findSharedDisks(instance.disks), ...findSharedParameters(instance)];
  if (problems.length > 0) throw invalid(problems, problems.length, options.source);
  return instance;
}

/** The JSON Schema of an instance file (draft 7, which editors support), generated from the schema of {@link parseInstance}. */
export function instanceJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(instanceSchema, { io: 'input', target: 'draft-7' });
  return { $schema, title: 'Gantry instance file', ...schema };
}

function complete(document: InstanceDocument, options: ParseInstanceOptions): Instance {
  return {
    ...document,
    primary_node: document.primary_node ?? options.hostName,
    disks: document.disks.map((disk) =>
      disk.path === undefined ? disk : { ...disk, path: normalize(resolve(options.baseDirectory, disk.path)) },
    ),
  };
}

function findSharedDisks(disks: readonly Disk[]): DocumentProblem[] {
  return disks.flatMap((disk, index) =>
    (['path', 'uri'] as const).flatMap((field) => {
      const value = disk[field];
      const other = value === undefined ? -1 : disks.findIndex((candidate) => candidate[field] === value);
      return other === -1 || other === index
        ? []
        : [{ place: `disks[${index}].${field}`, text: `is the same as that of disk ${other}: ${value}` }];
    }),
  );
}

function findSharedParameters(instance: Instance): DocumentProblem[] {
  return Object.keys(instance.osparams_private)
    .filter((name) => Object.hasOwn(instance.osparams, name))
    .map((name) => ({ place: `osparams_private.${name}`, text: 'is given as a public parameter too' }));
}

/**
 * A field name from the document, short and safe for a terminal. Among private parameters, an invalid name is not shown at all: without
 * the space after the colon, `{password:x}` is a name that contains the secret.
 */
function nameOf(name: string, path: readonly PropertyKey[]): string {
  if (name.length <= 64 && isParameterName(name)) return name;
  return path[0] === 'osparams_private' ? '"…"' : JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}

function invalid(problems: readonly DocumentProblem[], count: number, source = 'instance'): GantryError {
  return invalidDocument('INSTANCE_INVALID', { source, problems, count, hint: 'gantry schema prints the valid values of each field.' });
}
