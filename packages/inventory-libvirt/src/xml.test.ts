import { expect, test } from 'vitest';
import { childrenOf, find, parseDomain } from './xml.ts';

test('a domain is read, as deep as libvirt nests it', () => {
  const chain = `${'<backingStore>'.repeat(200)}${'</backingStore>'.repeat(200)}`;
  const domain = parseDomain(`<domain><name>web1</name>${chain}</domain>`, 'web1');
  expect(find(domain, 'name')?.textContent).toBe('web1');
  expect(childrenOf(domain)).toHaveLength(2);
});

test.each([
  ['nested without end', `<domain>${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}</domain>`, 'has more than 500 levels'],
  ['with an endless name', `<domain><${'a'.repeat(100_000)}></b></domain>`, 'cannot be read'],
  ['with two parts of which there is one', '<domain><devices/><devices><disk/></devices></domain>', 'has more than one <devices>'],
  ['with a document type', '<!DOCTYPE domain [<!ENTITY a "b">]><domain>&a;</domain>', 'has a document type'],
])('XML %s is refused, with a message that can be shown', (_, xml, message) => {
  expect(() => parseDomain(xml, 'web1')).toThrow(message);
  try {
    parseDomain(xml, 'web1');
  } catch (error) {
    expect(String(error).length).toBeLessThan(400);
  }
});
