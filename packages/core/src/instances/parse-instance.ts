import { normalize, resolve } from 'node:path';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import { nearestNames } from '../report/nearest.ts';
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

/** At most this many problems of a document are listed. */
const MAX_PROBLEMS = 20;

/** An invalid value: where it is, such as `disks[1].size`, and what is wrong with it, as the rest of a sentence. */
interface Problem {
  readonly place: string;
  readonly text: string;
}

/**
 * Checks the description of an instance (docs/reference/formats/instance-file.md) and completes it: paths become absolute, and optional
 * fields get their defaults. Whether the disks exist is checked by `inspectDisks`.
 *
 * @throws GantryError `INSTANCE_INVALID`, with every problem in `details`; never shows values of private parameters
 */
export function parseInstance(document: unknown, options: ParseInstanceOptions): Instance {
  const parsed = instanceSchema.safeParse(document);
  if (!parsed.success) {
    const { issues } = parsed.error;
    const count = issues.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0);
    throw invalid(issues.slice(0, MAX_PROBLEMS).flatMap(toProblems), count, options.source);
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

function findSharedDisks(disks: readonly Disk[]): Problem[] {
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

function findSharedParameters(instance: Instance): Problem[] {
  return Object.keys(instance.osparams_private)
    .filter((name) => Object.hasOwn(instance.osparams, name))
    .map((name) => ({ place: `osparams_private.${name}`, text: 'is given as a public parameter too' }));
}

function toProblems(issue: z.core.$ZodIssue): Problem[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.slice(0, MAX_PROBLEMS).map((key) => ({ place: placeOf([...issue.path, key]), text: unknownField(issue.path, key) }));
  if (issue.code === 'invalid_key') return [{ place: placeOf(issue.path), text: issue.issues[0]?.message ?? issue.message }];
  return [{ place: placeOf(issue.path), text: issue.message }];
}

function unknownField(path: readonly PropertyKey[], key: string): string {
  const place = path.filter((step) => typeof step === 'string').join('.');
  const [nearest] = nearestNames(key, KNOWN_FIELDS.get(place) ?? []);
  return nearest === undefined ? 'is not a field that Gantry knows' : `is not a field that Gantry knows; did you mean ${nearest}?`;
}

function placeOf(path: readonly PropertyKey[]): string {
  const secret = path[0] === 'osparams_private';
  return path.map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${nameOf(step, secret)}`)).join('');
}

/**
 * A field name from the document, short and safe for a terminal. Among private parameters, an invalid name is not shown at all: without
 * the space after the colon, `{password:x}` is a name that contains the secret.
 */
function nameOf(step: PropertyKey, secret: boolean): string {
  const name = String(step);
  if (name.length <= 64 && isParameterName(name)) return name;
  return secret ? '"…"' : JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}

/** @param count of all problems; only the first are listed */
function invalid(problems: readonly Problem[], count: number, source = 'instance'): GantryError {
  const lines = problems.slice(0, MAX_PROBLEMS).map(({ place, text }) => (place === '' ? `the document ${text}` : `${place} ${text}`));
  const [only = ''] = lines;
  return new GantryError('INSTANCE_INVALID', {
    message: count === 1 ? `${source}: ${only}` : `${source}: ${count} fields are not valid`,
    details: count === 1 ? [] : [...lines, ...(count > lines.length ? [`and ${count - lines.length} more`] : [])],
    hint: 'gantry schema prints the valid values of each field.',
  });
}
