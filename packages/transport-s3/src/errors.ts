import { StoreError, isStoreError } from '@gantry/transport';

import { kindOfFailure } from './failure-kinds.ts';
import type { ServiceFailure } from './service-failure.ts';
import { readFailure } from './service-failure.ts';

/** A failed request, translated: what callers of the store get. Its cause has the service's own words, without headers. */
export function toStoreError(error: unknown, doing: string, key?: string): StoreError {
  if (isStoreError(error)) return error;
  const failure = readFailure(error);
  const kind = kindOfFailure(failure);
  const region = failure.region === undefined || kind.code !== 'invalid-address' ? '' : ` It says: region=${failure.region}.`;
  return new StoreError(kind.code, {
    key,
    message: `${doing}: ${kind.text} (${describe(failure)})`,
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
