import { normalize, resolve } from 'node:path';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import { nearestNames } from '../report/nearest.ts';
import { isParameterName } from './parameter-variables.ts';
import type { Disk, Instance } from './model.ts';
import type { InstanceDocument } from './schema.ts';
import { instanceSchema, KNOWN_FIELDS } from './schema.ts';

export interface ParseInstanceOptions {
  /** What relative paths of disks count from; absolute. */
  readonly baseDirectory: string;
  /** The primary node where the document names none. */
  readonly hostName: string;
  /** Where the document came from, for messages; `instance` when absent. */
  readonly source?: string | undefined;
}

/** At most this many problems of a document are listed. */
const MAX_PROBLEMS = 20;

/** A value that is not what it should be: where it is, such as `disks[1].size`, and what is wrong, as the rest of a sentence. */
interface Problem {
  readonly place: string;
  readonly text: string;
}

/**
 * Checks the description of an instance (docs/reference/formats/instance-file.md) and completes it: paths become absolute, what may be
 * left out gets its default. Whether the disks are there is the business of `inspectDisks`.
 *
 * @throws GantryError `INSTANCE_INVALID`, with every problem in `details`; values of private parameters are never repeated
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

/** The JSON Schema (draft 7, which editors know) of an instance file, made from what {@link parseInstance} checks with. */
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
 * A name from the document, short and without anything that could disturb a terminal. Among private parameters, what is no name
 * is not shown at all: with a space forgotten, `{password:x}` is a name with the secret in it.
 */
function nameOf(step: PropertyKey, secret: boolean): string {
  const name = String(step);
  if (name.length <= 64 && isParameterName(name)) return name;
  return secret ? '"…"' : JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}

/** @param count of all problems, of which the first are enough */
function invalid(problems: readonly Problem[], count: number, source = 'instance'): GantryError {
  const lines = problems.slice(0, MAX_PROBLEMS).map(({ place, text }) => (place === '' ? `the document ${text}` : `${place} ${text}`));
  const [only = ''] = lines;
  return new GantryError('INSTANCE_INVALID', {
    message: count === 1 ? `${source}: ${only}` : `${source}: ${count} fields are not right`,
    details: count === 1 ? [] : [...lines, ...(count > lines.length ? [`and ${count - lines.length} more`] : [])],
    hint: 'gantry schema prints what each field may be.',
  });
}
