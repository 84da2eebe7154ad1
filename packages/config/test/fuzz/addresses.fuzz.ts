import { GantryError } from '@gantry/core';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { showUrl } from '../../src/addresses/address.ts';
import { parseInstanceAddress, parseSourceAddress } from '../../src/addresses/instance-address.ts';
import { parseStoreAddress } from '../../src/addresses/store-address.ts';
import { comparableUrl } from '../../src/index.ts';

const INVENTORIES = new Map([
  ['cluster', 'ganeti://master.example.com'],
  ['shelf', '/srv/instances'],
]);

/** Addresses of stores, sources and instances: a URL that means the same when it is given again, without a password. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    '/srv/exports',
    'ssh://user@[fe80::1%eth0]:22/srv/exports?engine=ssh2',
    's3://backups/exports?endpoint=https://s3.example.com',
    'file:///srv/a%20b',
    'host:directory',
    's3:bucket',
    'ganeti:web1.example.com',
    'ganeti://master/web1',
    'cluster:web1',
    'web1.yaml',
    'libvirt+ssh://host/system/web1',
  ],
  words: ['://', ':', '@', '?', '#', '%25', 'ssh', 's3', 'file:/', 'ganeti:', 'cluster:', 'user:password@', '[::1]'],
  maxBytes: 600,
  run(text) {
    for (const parse of [
      () => parseStoreAddress(text, '/cwd'),
      () => parseSourceAddress(text, '/cwd', INVENTORIES),
      () => parseInstanceAddress(text, '/cwd', INVENTORIES).source,
    ]) {
      try {
        const url = parse();
        if (url.password !== '') throw new Error('a password was accepted');
        if (!URL.canParse(url.href)) throw new Error(`${url.href} is not a URL`);
        showUrl(url);
        comparableUrl(text);
      } catch (error) {
        assertRefusal(error, (each) => each instanceof GantryError && (each.code === 'STORE_ADDRESS' || each.code === 'INVENTORY_ADDRESS'));
      }
    }
  },
});

export default target;
