import { expect, test } from 'vitest';
import { messageOf } from './errors.ts';

test('the message of a host whose addresses all failed is that of each address', () => {
  // As Node makes it for a name with an IPv6 and an IPv4 address.
  const refused = ['::1', '127.0.0.1'].map((address) => new Error(`connect ECONNREFUSED ${address}:10809`));
  expect(messageOf(new AggregateError(refused))).toBe('connect ECONNREFUSED ::1:10809; connect ECONNREFUSED 127.0.0.1:10809');
  expect(messageOf(new AggregateError([]))).toBe('AggregateError');
  expect(messageOf(new TypeError(''))).toBe('TypeError');
  expect(messageOf('thrown')).toBe('thrown');
});
