import { expect, test } from 'vitest';
import { nodeOf } from './node-of.ts';

const NODES = ['node1', 'node1.dc1.example.com', 'node2.dc1.example.com', 'node2.dc2.example.com', 'node3.dc1.example.com'];

test.each([
  ['node1', { node: 'node1' }],
  // Not the short name, which comes first.
  ['node1.dc1.example.com', { node: 'node1.dc1.example.com' }],
  ['Node1.dc1.example.com', { node: 'node1.dc1.example.com' }],
  ['node1.dc2.example.com', { node: 'node1' }],
  ['node3', { node: 'node3.dc1.example.com' }],
  ['node2', { fits: ['node2.dc1.example.com', 'node2.dc2.example.com'] }],
  ['node3.dc2.example.com', { fits: [] }],
  ['node9', { fits: [] }],
])('%s means %j', (host, expected) => {
  expect(nodeOf(NODES, host)).toEqual(expected);
});
