import { expect, test } from 'vitest';
import { parseClusterAddress } from './address.ts';

const NO_OPTIONS = { ca: undefined, fingerprints: undefined, credentials: undefined };

test.each([
  ['ganeti:', { host: undefined, port: 5080, user: undefined, options: NO_OPTIONS }],
  ['ganeti://master.example.com', { host: 'master.example.com', port: 5080, user: undefined, options: NO_OPTIONS }],
  [
    'ganeti://gantry@[::1]:5081?ca=/etc/ca.pem',
    { host: '[::1]', port: 5081, user: 'gantry', options: { ...NO_OPTIONS, ca: '/etc/ca.pem' } },
  ],
])('%s', (address, parsed) => {
  expect(parseClusterAddress(new URL(address))).toEqual(parsed);
});

test.each([
  ['ganeti://user:secret@master', 'it has a password in it'],
  ['ganeti://master/a', 'something follows the host'],
  ['ganeti://ma%20ster', 'is not a host name'],
  ['ganeti://master?verify=no', 'there is no option "verify"; the options are ca, fingerprints, credentials'],
  ['ganeti://master?ca=ca.pem', 'must be the absolute path of a file'],
  ['ganeti://master?ca=/a&ca=/b', 'the option ca is given twice'],
  ['ganeti://%zz@master', 'is not followed by two hexadecimal digits'],
])('%s is refused', (address, reason) => {
  expect(() => parseClusterAddress(new URL(address))).toThrow(reason);
  expect(() => parseClusterAddress(new URL(address))).not.toThrow('secret');
});
