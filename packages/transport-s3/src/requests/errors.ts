import { StoreError, isStoreError } from '@gantry/transport';

import type { FailureKind } from './failure-kinds.ts';
import { kindOfFailure } from './failure-kinds.ts';
import type { ServiceFailure } from './service-failure.ts';
import { readFailure } from './service-failure.ts';

/** The request was for a bucket, and the answer is about a missing object. */
const NOT_A_BUCKET: FailureKind = {
  code: 'not-found',
  text: 'the service does not treat this name as a bucket',
  hint: 'If endpoint= contains the bucket (in its path or host name), remove it there: endpoint= is http or https, host and port only.',
  isTransient: false,
};

/**
 * Translates a failed request into the error that callers of the store get. Its cause has the service's own message, without headers.
 *
 * @param options.ofBucket whether it was a request for the bucket instead of one of its objects
 * @param options.way how the service is reached, for the message, such as ` through a proxy`
 */
export function toStoreError(
  error: unknown,
  {
    doing,
    key,
    ofBucket = false,
    way = '',
  }: { readonly doing: string; readonly key?: string | undefined; readonly ofBucket?: boolean; readonly way?: string },
): StoreError {
  if (isStoreError(error)) return error;
  const failure = readFailure(error);
  const found = kindOfFailure(failure);
  const kind = ofBucket && found.code === 'not-found' && failure.name !== 'NoSuchBucket' ? NOT_A_BUCKET : found;
  const region = failure.region === undefined || kind.code !== 'invalid-address' ? '' : ` The service says region=${failure.region}.`;
  return new StoreError(kind.code, {
    key,
    message: `${doing}${way}: ${kind.text} (${describe(failure)})`,
    hint: `${kind.hint}${region}`,
    cause: new Error(describeForLog(failure)),
  });
}

/** Whether the same request may succeed when it is sent again. */
export function isTransient(error: unknown): boolean {
  if (isStoreError(error)) return error.code === 'unavailable';
  return kindOfFailure(readFailure(error)).isTransient;
}

/** Whether the request may have taken effect although it failed: there was no answer, or not a final one. */
export function isUncertain(error: unknown): boolean {
  const { status } = readFailure(error);
  return status === undefined || status >= 500 || status < 400;
}

/** Whether the service answered with one of these codes or HTTP statuses. */
export function failedWith(error: unknown, ...wanted: readonly (string | number)[]): boolean {
  const failure = readFailure(error);
  return wanted.includes(failure.name) || (failure.status !== undefined && wanted.includes(failure.status));
}

function describe({ name, status }: ServiceFailure): string {
  return status === undefined || String(status) === name ? name : `${name}, HTTP ${status}`;
}

function describeForLog(failure: ServiceFailure): string {
  const request = failure.requestId === undefined ? '' : ` [request ${failure.requestId}]`;
  return `${describe(failure)}${failure.message === '' ? '' : `: ${failure.message}`}${request}`;
}

/** The service received other bytes than were sent: worth another attempt, and `integrity` if that does not help. */
export function damagedInTransit(message: string): Error {
  return Object.assign(new Error(message), { name: 'BadDigest' });
}
