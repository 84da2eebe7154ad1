import { expect, test } from 'vitest';
import type { AddressKind } from './address.ts';
import { parseUrl, showUrl } from './address.ts';

const KIND: AddressKind = { code: 'STORE_ADDRESS', what: 'store', hint: 'Give a URL.' };

test.each([
  ['ssh://root@[fe80::1%eth0]:22/srv', 'ssh://root@[fe80::1%eth0]:22/srv'],
  ['ssh://[FE80::1%25br-lan.5]/srv', 'ssh://[FE80::1%br-lan.5]/srv'],
  ['ssh://node1/srv/a%25b', 'ssh://node1/srv/a%25b'],
  ['ssh://a%25b/srv', 'ssh://a%25b/srv'],
  // Hosts of schemes that other packages may bring.
  ['h://[:%e]%', 'h://%3A%25e%'],
  ['h://%zz%25/', 'h://%zz%25/'],
])('%s is shown as %s', (text, shown) => {
  const url = parseUrl(text, KIND);
  expect(url === undefined ? undefined : showUrl(url)).toBe(shown);
});
