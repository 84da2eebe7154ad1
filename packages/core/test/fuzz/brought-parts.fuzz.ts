import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { partsToBring, readBroughtPart } from '../../src/exports/brought-parts.ts';
import { exportPrefix } from '../../src/exports/export-id.ts';
import { PARTS_FILE } from '../../src/exports/layout.ts';
import { manifests } from './samples.ts';

const [, , , sealed] = manifests();
const OWNER = { instance: sealed.instance.name, exportId: '20261121T081500Z' };
const KEY = `${exportPrefix(sealed.instance.name, sealed.exportId)}${PARTS_FILE}`;

function storeWith(text: string): MemoryStore {
  const memory = new Memory();
  memory.objects.set(KEY, { bytes: Buffer.from(text), modified: new Date(0) });
  return new MemoryStore(memory);
}

/** The keys of packs that a copy brought: what is not valid says nothing, and what is comes through copies of the copy. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    JSON.stringify({
      format: 'gantry-brought-parts',
      version: 1,
      parts: { [`${OWNER.instance}@${OWNER.exportId}`]: 'YWdlLWVuY3J5cHRpb24=' },
    }),
  ],
  words: ['gantry-brought-parts', '"parts"', '__proto__', '@20261121T081500Z'],
  async run(text) {
    const part = await readBroughtPart(storeWith(text), sealed, OWNER, {});
    const way = { source: storeWith(text), target: new MemoryStore(), manifest: sealed };
    const brought = await partsToBring(way, [OWNER], {});
    const again = brought === undefined ? undefined : await readBroughtPart(storeWith(brought), sealed, OWNER, {});
    if (part === undefined ? again !== undefined : !Buffer.from(part).equals(Buffer.from(again ?? [])))
      throw new Error('it changed in a copy');
  },
});

export default target;
