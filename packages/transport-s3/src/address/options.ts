import { parseEndpoint } from './endpoint.ts';
import { invalidAddress } from './invalid-address.ts';
import { S3_LIMITS } from '../write/part-plan.ts';

/** Which requests honor `If-None-Match: *`: PutObject and CompleteMultipartUpload, PutObject only, neither; or find out. */
export type ConditionalWrites = 'full' | 'put' | 'none' | 'auto';

/** The options after the `?` of an address, with their defaults filled in. Sizes in bytes. */
export interface S3Options {
  /** Where the service runs; undefined for Amazon's own. */
  readonly endpoint: URL | undefined;
  readonly region: string | undefined;
  /** A profile of the AWS configuration files. */
  readonly profile: string | undefined;
  /** Whether the bucket is in the path instead of the host name. Undefined: if there is an endpoint. */
  readonly pathStyle: boolean | undefined;
  /** A PEM file with certificate authorities to trust in addition to the usual ones. */
  readonly caFile: string | undefined;
  readonly conditionalWrites: ConditionalWrites;
  /** Whether the ETag of a part is its MD5, as with nearly every service, or means nothing. */
  readonly etag: 'md5' | 'opaque';
  readonly equalPartBytes: number | undefined;
  readonly firstPartBytes: number;
  readonly maxParts: number;
  readonly maxObjectBytes: number;
  /** How many requests that carry data run in parallel, in each direction. */
  readonly concurrency: number;
  /** How many bytes may be in flight, in each direction. */
  readonly memoryBytes: number;
  /** After this time without a byte, a request is cut and tried again. */
  readonly stallMs: number;
  /** How long a failing request is tried again. */
  readonly retryForMs: number;
  readonly storageClass: string | undefined;
  readonly encryption: { readonly algorithm: 'AES256' | 'aws:kms' | 'aws:kms:dsse'; readonly kmsKeyId: string | undefined } | undefined;
  readonly objectLock: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly retainUntil: RetainUntil } | undefined;
  readonly tags: ReadonlyMap<string, string>;
  /** Who else gets access to the objects, if the bucket belongs to another account and still has access control lists. */
  readonly acl: (typeof ACLS)[number] | undefined;
}

/** A date, or a number of days after the object was written. */
export type RetainUntil = { readonly date: Date } | { readonly days: number };

const MIB = 1024 * 1024;
/** "Canned ACL" in the guide of Amazon S3, without those that make objects public. */
const ACLS = ['private', 'bucket-owner-read', 'bucket-owner-full-control'] as const;
const KNOWN: ReadonlySet<string> = new Set([
  'endpoint',
  'region',
  'profile',
  'pathStyle',
  'caFile',
  'conditionalWrites',
  'etag',
  'partSize',
  'firstPartSize',
  'maxParts',
  'maxObjectSize',
  'concurrency',
  'memory',
  'stallSeconds',
  'retrySeconds',
  'storageClass',
  'sse',
  'sseKmsKeyId',
  'objectLockMode',
  'objectLockRetainUntil',
  'acl',
]);
/** The name of a region: it becomes part of signatures and host names. */
export const REGION: RegExp = /^[A-Za-z0-9-]{1,64}$/;
const TAG_PREFIX = 'tag.';

/**
 * Reads the options of an address.
 *
 * @throws StoreError `invalid-address`, with the name of the option. Never repeats the value of an unknown option: people put
 * secrets there.
 */
export function parseOptions(parameters: URLSearchParams): S3Options {
  refuseUnknown(parameters);
  const one = (name: string): string | undefined => single(parameters, name);
  const endpoint = one('endpoint');
  const pathStyle = oneOf('pathStyle', one('pathStyle'), ['true', 'false']);
  const maxParts = parseCount('maxParts', one('maxParts'), 1, S3_LIMITS.maxParts) ?? S3_LIMITS.maxParts;
  return {
    endpoint: endpoint === undefined ? undefined : parseEndpoint(endpoint, 'the option endpoint of the address'),
    region: matching('region', one('region'), REGION, 'a region such as eu-central-1'),
    profile: matching('profile', one('profile'), /^[\w .@+-]{1,128}$/, 'the name of a profile'),
    pathStyle: pathStyle === undefined ? undefined : pathStyle === 'true',
    caFile: matching('caFile', one('caFile'), /^[^\0]+$/, 'the path of a PEM file'),
    conditionalWrites: oneOf('conditionalWrites', one('conditionalWrites'), ['auto', 'full', 'put', 'none']) ?? 'auto',
    etag: oneOf('etag', one('etag'), ['md5', 'opaque']) ?? 'md5',
    equalPartBytes: parseSize('partSize', one('partSize'), S3_LIMITS.minPartBytes, S3_LIMITS.maxPartBytes),
    firstPartBytes: parseSize('firstPartSize', one('firstPartSize'), S3_LIMITS.minPartBytes, S3_LIMITS.maxPartBytes) ?? 8 * MIB,
    maxParts,
    maxObjectBytes:
      parseSize('maxObjectSize', one('maxObjectSize'), S3_LIMITS.minPartBytes, S3_LIMITS.maxPartBytes * S3_LIMITS.maxParts) ??
      S3_LIMITS.maxObjectBytes,
    concurrency: parseCount('concurrency', one('concurrency'), 1, 256) ?? 8,
    memoryBytes: parseSize('memory', one('memory'), 8 * MIB, 1024 * 1024 * MIB) ?? 96 * MIB,
    stallMs: (parseCount('stallSeconds', one('stallSeconds'), 1, 3600) ?? 30) * 1000,
    retryForMs: (parseCount('retrySeconds', one('retrySeconds'), 0, 86_400) ?? 60) * 1000,
    storageClass: matching('storageClass', one('storageClass'), /^[A-Z][A-Z0-9_]{1,40}$/, 'a storage class such as STANDARD_IA'),
    encryption: parseEncryption(
      one('sse'),
      matching('sseKmsKeyId', one('sseKmsKeyId'), /^[\x21-\x7e]{1,2048}$/, 'the id, the ARN or the alias of a key'),
    ),
    objectLock: parseObjectLock(one('objectLockMode'), one('objectLockRetainUntil')),
    tags: parseTags(parameters),
    acl: oneOf('acl', one('acl'), ACLS),
  };
}

function refuseUnknown(parameters: URLSearchParams): void {
  for (const name of parameters.keys()) {
    if (KNOWN.has(name) || (name.startsWith(TAG_PREFIX) && name.length > TAG_PREFIX.length)) continue;
    throw invalidAddress(
      `unknown option of an s3:// address: ${JSON.stringify(name.slice(0, 40))}`,
      /key|secret|token|password/i.test(name)
        ? 'Do not write credentials in an address: they come from the environment, a profile or the role of the machine.'
        : `The options are ${[...KNOWN].join(', ')} and tag.NAME.`,
    );
  }
}

function single(parameters: URLSearchParams, name: string): string | undefined {
  const values = parameters.getAll(name);
  if (values.length > 1) throw invalidAddress(`the option ${name} is in the address ${values.length} times`, 'Give it once.');
  return values[0];
}

function wrongValue(name: string, value: string, wanted: string): Error {
  return invalidAddress(`the option ${name} of the address is ${JSON.stringify(value.slice(0, 80))}`, `It must be ${wanted}.`);
}

function matching(name: string, value: string | undefined, pattern: RegExp, wanted: string): string | undefined {
  if (value !== undefined && !pattern.test(value)) throw wrongValue(name, value, wanted);
  return value;
}

function oneOf<const T extends string>(name: string, value: string | undefined, allowed: readonly T[]): T | undefined {
  if (value === undefined) return undefined;
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw wrongValue(name, value, `one of ${allowed.join(', ')}`);
  return found;
}

function parseCount(name: string, value: string | undefined, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  const count = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (!(count >= min && count <= max)) throw wrongValue(name, value, `a whole number from ${min} to ${max}`);
  return count;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: MIB, GiB: 1024 * MIB, TiB: 1024 * 1024 * MIB };

function parseSize(name: string, value: string | undefined, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  const [, digits = '', unit = ''] = /^(\d{1,15})([KMGT]iB)?$/.exec(value) ?? [];
  const bytes = digits === '' ? Number.NaN : Number(digits) * (UNITS[unit] ?? Number.NaN);
  if (!(bytes >= min && bytes <= max)) {
    throw wrongValue(name, value, `a size from ${min / MIB}MiB to ${max / MIB}MiB, in bytes or with KiB, MiB, GiB or TiB`);
  }
  return bytes;
}

function parseEncryption(algorithm: string | undefined, kmsKeyId: string | undefined): S3Options['encryption'] {
  const known = oneOf('sse', algorithm, ['AES256', 'aws:kms', 'aws:kms:dsse']);
  if (kmsKeyId !== undefined && (known === undefined || known === 'AES256')) {
    throw invalidAddress('the option sseKmsKeyId of the address needs sse=aws:kms', 'Add sse=aws:kms, or leave sseKmsKeyId out.');
  }
  return known === undefined ? undefined : { algorithm: known, kmsKeyId };
}

function parseObjectLock(mode: string | undefined, until: string | undefined): S3Options['objectLock'] {
  const known = oneOf('objectLockMode', mode, ['GOVERNANCE', 'COMPLIANCE']);
  if (known === undefined && until === undefined) return undefined;
  if (known === undefined || until === undefined) {
    throw invalidAddress('the address has only one of objectLockMode and objectLockRetainUntil', 'Give both, or neither.');
  }
  return { mode: known, retainUntil: parseRetainUntil(until) };
}

function parseRetainUntil(value: string): RetainUntil {
  const days = /^(\d{1,5})d$/.exec(value)?.[1];
  if (days !== undefined && Number(days) > 0) return { days: Number(days) };
  const date = new Date(/^\d{4}-\d\d-\d\d(T[\d:.]+Z)?$/.test(value) ? value : Number.NaN);
  if (Number.isNaN(date.getTime()))
    throw wrongValue('objectLockRetainUntil', value, 'a date such as 2030-01-31T00:00:00Z, or a number of days such as 30d');
  return { date };
}

function parseTags(parameters: URLSearchParams): ReadonlyMap<string, string> {
  const tags = new Map<string, string>();
  for (const [name, value] of parameters) {
    if (!name.startsWith(TAG_PREFIX)) continue;
    const tag = name.slice(TAG_PREFIX.length);
    if (tags.has(tag)) throw invalidAddress(`the tag ${JSON.stringify(tag.slice(0, 40))} is in the address twice`, 'Give it once.');
    // "Categorizing your storage using tags" of Amazon S3: up to 10 tags, 128 and 256 characters.
    if (tag.length > 128 || value.length > 256)
      throw invalidAddress('a tag in the address is too long', 'A name can have 128 characters, a value 256.');
    tags.set(tag, value);
  }
  if (tags.size > 10) throw invalidAddress(`the address has ${tags.size} tags`, 'An object can have at most 10.');
  return tags;
}
