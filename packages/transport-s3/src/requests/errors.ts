import { StoreError, isStoreError } from '@gantry/transport';

import type { FailureKind } from './failure-kinds.ts';
import { kindOfFailure } from './failure-kinds.ts';
import type { ServiceFailure } from './service-failure.ts';
import { readFailure } from './service-failure.ts';

/** A bucket is listed, and the service speaks of an object that it does not have. */
const NOT_A_BUCKET: FailureKind = {
  code: 'not-found',
  text: 'what answers there does not take the name for the one of a bucket',
  hint: 'Is the bucket in endpoint= (its path or its host name) already? endpoint= is the service alone: http or https, host and port.',
  mayPass: false,
};

/**
 * A failed request, translated: what callers of the store get. Its cause has the service's own words, without headers.
 *
 * @param options.ofBucket whether it was a request for the bucket, and not for one of its objects
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
  const region = failure.region === undefined || kind.code !== 'invalid-address' ? '' : ` It says: region=${failure.region}.`;
  return new StoreError(kind.code, {
    key,
    message: `${doing}${way}: ${kind.text} (${describe(failure)})`,
    hint: `${kind.hint}${region}`,
    cause: new Error(describeForLogs(failure)),
  });
}

/** Whether the same request may succeed when it is sent again. */
export function mayPass(error: unknown): boolean {
  if (isStoreError(error)) return error.code === 'unavailable';
  return kindOfFailure(readFailure(error)).mayPass;
}

/** Whether the request may have done its work although it failed: no answer came, or not the service's last word. */
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

function describeForLogs(failure: ServiceFailure): string {
  const request = failure.requestId === undefined ? '' : ` [request ${failure.requestId}]`;
  return `${describe(failure)}${failure.message === '' ? '' : `: ${failure.message}`}${request}`;
}

/** Bytes that arrived, or were kept, otherwise than they were sent: worth another attempt, and `integrity` when that does not help. */
export function damagedOnTheWay(message: string): Error {
  return Object.assign(new Error(message), { name: 'BadDigest' });
}
