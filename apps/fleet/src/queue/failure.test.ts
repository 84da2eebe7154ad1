import { GantryError } from '@gantry/core';
import { expect, test } from 'vitest';
import { isDamage, queueFailure } from './failure.ts';

function failure(code: string, message = 'it failed'): Error {
  return Object.assign(new Error(message), { code });
}

test.each([
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'CERT_HAS_EXPIRED',
  '40P01',
  '40001',
  '25006',
  '22008',
  '57P01',
  'XX000',
])('an outage is tried again: %s', (code) => {
  expect(queueFailure(failure(code))).toMatchObject({ code: 'QUEUE_UNAVAILABLE', message: expect.stringContaining('it failed') });
});

test('one without a code, and several at once, are outages too', () => {
  expect(queueFailure(new Error('Connection terminated unexpectedly'))).toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
  const addresses = ['::1', '127.0.0.1'];
  const all = new AggregateError(addresses.map((address) => failure('ECONNREFUSED', `connect ECONNREFUSED ${address}:5432`)));
  expect(queueFailure(all)).toMatchObject({
    code: 'QUEUE_UNAVAILABLE',
    message: 'cannot reach the queue of the fleet: connect ECONNREFUSED ::1:5432; connect ECONNREFUSED 127.0.0.1:5432',
  });
});

test('what Node advises about a certificate is not said: what this host trusts is trusted', () => {
  const advised = failure(
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'self-signed certificate; if the root CA is installed locally, try running Node.js with --use-system-ca',
  );
  expect(queueFailure(advised)).toMatchObject({
    message: 'cannot reach the queue of the fleet: self-signed certificate',
    hint: expect.stringContaining('sslrootcert'),
  });
});

test('a role that is not let in gets a hint about passwords, and missing tables one about init', () => {
  const hint = expect.stringContaining('PGPASSFILE');
  for (const code of ['28P01', '28000']) expect(queueFailure(failure(code))).toMatchObject({ code: 'QUEUE_UNUSABLE', hint });
  const missing = new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string');
  expect(queueFailure(missing)).toMatchObject({ code: 'QUEUE_UNUSABLE', hint });
  for (const code of ['42P01', '42501', '42703', '3D000'])
    expect(queueFailure(failure(code))).toMatchObject({ code: 'QUEUE_UNUSABLE', hint: expect.stringContaining('gantry-fleet init') });
});

test('a defect, damage of the database, and what has a code already stay as they are', () => {
  const errors = [new TypeError('x is undefined'), failure('XX001'), new GantryError('USAGE', { message: 'no', hint: 'no' })];
  for (const error of errors) expect(queueFailure(error)).toBe(error);
  expect(errors.map(isDamage)).toEqual([false, true, false]);
});
