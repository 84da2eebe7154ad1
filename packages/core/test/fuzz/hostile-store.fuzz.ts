import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { assertKey, isStoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { z } from 'zod';
import { findUnfinished } from '../../src/exports/unfinished.ts';
import { listWithManifests } from '../../src/exports/list-exports.ts';
import { openExport } from '../../src/exports/open-export.ts';
import { readLaterLabels } from '../../src/exports/export-labels.ts';
import { VerificationRecords } from '../../src/exports/verification-records.ts';
import { ERROR_EXIT_CODES } from '../../src/report/errors.ts';
import type { GantryErrorCode } from '../../src/report/errors.ts';
import { get, keysOf, put, writeExport } from '../sample-export.ts';
import { assertRefused, assertShowable } from './refusal.ts';

const objects = z.array(z.tuple([z.string(), z.string()]));
const { signal } = new AbortController();
const CODES = Object.keys(ERROR_EXIT_CODES).filter((code): code is GantryErrorCode => code in ERROR_EXIT_CODES);

/** All objects of a store with two exports, labels, a claim, and what is left of a removed export. */
async function sample(): Promise<string> {
  const store = new MemoryStore();
  const reference = await writeExport(store);
  const prefix = `${reference.replace('@', '/')}/`;
  const labels = {
    format: 'gantry-labels',
    version: 1,
    tool: { name: 'gantry', version: '0.1.0' },
    changed: '2026-11-23T08:15:00.000Z',
    tags: ['a'],
  };
  await put(store, `${prefix}labels-1.json`, JSON.stringify({ ...labels, note: 'n' }));
  await put(store, 'web2.example.com/20261123T081500Z/export.claim', '{"format":"gantry-claim","version":1}');
  await put(store, 'web2.example.com/20261122T081500Z/removed.json', '{}');
  await put(store, 'web2.example.com/20261122T081500Z/disk0.zst', 'pack');
  await put(store, 'web2.example.com/20261122T081500Z/cut-off.json', '{"format":"gantry-cut-off","version":1,"maps":[]}');
  await put(
    store,
    'gantry-verified/instances/web1.example.com/0123456789abcdef.json',
    '{"format":"gantry-verified","version":1,"exports":{}}',
  );
  const all = [...(await keysOf(store)), 'gantry-store.json'];
  return JSON.stringify(await Promise.all(all.map(async (key) => [key, await get(store, key)])));
}

/** A store in which others have put what they like: listing it, and opening what is there. */
const target: FuzzTarget = textTarget({
  seeds: async () => [await sample()],
  words: [
    'manifest.json',
    'config.ini',
    'SHA256SUMS',
    'export.claim',
    'removed.json',
    'keys-1.age',
    'labels-2.json',
    'disk0.zst.unused',
    'ganeti',
  ],
  maxBytes: 16_384,
  async run(text) {
    const memory = new Memory();
    for (const [key, content] of parse(text))
      if (isValid(key)) memory.objects.set(key, { bytes: Buffer.from(content), modified: new Date(0) });
    const store = new MemoryStore(memory);
    try {
      for await (const listed of listWithManifests(store))
        for (const each of listed) {
          if (each.kind !== 'export') continue;
          assertShowable([each.summary.reason ?? '', each.summary.warning ?? '', each.summary.note ?? '']);
          await readLaterLabels(store, each.directory, { signal });
          await new VerificationRecords(store, '/nonexistent').of(each.summary.instance, { signal });
          if (each.summary.state === 'complete') await openExport(store, each.summary.reference);
        }
      for (const { name, text: owner } of await findUnfinished(store, { signal })) assertShowable([name, owner]);
    } catch (error) {
      assertRefused(error, ...CODES);
    }
  },
});

export default target;

function parse(text: string): z.output<typeof objects> {
  try {
    return objects.safeParse(JSON.parse(text)).data ?? [];
  } catch {
    return [];
  }
}

/** What listings of stores leave out. */
function isValid(key: string): boolean {
  try {
    assertKey(key);
    return true;
  } catch (error) {
    if (isStoreError(error, 'invalid-key')) return false;
    throw error;
  }
}
