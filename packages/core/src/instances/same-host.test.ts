import { expect, test } from 'vitest';
import { isSameHost } from './same-host.ts';

test.each([
  ['node1', 'node1.example.com', true],
  ['Node1.example.com', 'node1.example.com', true],
  ['node1.example.com', 'node1.example.net', false],
  ['node1', 'node2', false],
  ['node1', 'node10.example.com', false],
])('%s and %s are one host: %s', (one, other, same) => {
  expect([isSameHost(one, other), isSameHost(other, one)]).toEqual([same, same]);
});
