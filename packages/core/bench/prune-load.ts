import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ByteSource, ObjectInfo, Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { renderManifest } from '../src/exports/manifest.ts';
import type { Manifest } from '../src/exports/manifest.ts';
import type { PackRecord } from '../src/exports/packs.ts';
import { initializeStore } from '../src/exports/store-marker.ts';
import { pruneStore } from '../src/operations/prune.ts';
import { watchedStore } from '../test/watched-store.ts';

/*
 * What a prune of a large store costs: a simulated store whose objects are computed, not kept, with daily exports of many instances, the oldest
 * of each of which goes. Says how many requests a dry run makes, and the most memory that is in use after a garbage collection.
 *   node --conditions=@gantry/source packages/core/bench/prune-load.ts [INSTANCES] [DAYS] [DAYS-BETWEEN-FULL-EXPORTS]
 */

const [INSTANCES = 200, DAYS = 730, FULL_EVERY = 30] = process.argv.slice(2).map(Number);
const START = Date.UTC(2024, 0, 1);
const DAY_MS = 24 * 60 * 60_000;
const MODIFIED = new Date(START);
const SHA256 = 'a'.repeat(64);
const MAP_BYTES = 1000;
const PACK_BYTES = 1_000_000;

/** Requests: a listing has pages of 1000 objects. */
const counts = { list: 0, read: 0 };

function idOf(day: number): string {
  return `${new Date(START + day * DAY_MS).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

function nameOf(number: number): string {
  return `web${String(number).padStart(5, '0')}.example.com`;
}

function packOf(instance: string, day: number): PackRecord {
  return { instance, exportId: idOf(day), name: 'disk0.pack.zst', codec: 'zstd', size: PACK_BYTES, sha256: SHA256 };
}

/** Each refers to all packs since the last full export. */
function manifestOf(instance: string, day: number): Manifest {
  const first = day - (day % FULL_EVERY);
  const packs = Array.from({ length: day - first + 1 }, (_, index) => packOf(instance, first + index));
  const started = new Date(START + day * DAY_MS).toISOString();
  return {
    format: 'gantry-export',
    version: 3,
    tool: { name: 'gantry', version: '0.1.0' },
    exportId: idOf(day),
    started,
    ended: started,
    os: { name: 'raw', apiVersion: 20 },
    instance: {
      name: instance,
      os: 'raw',
      hypervisor: 'kvm',
      primary_node: 'node1',
      secondary_nodes: [],
      tags: [],
      disks: [{ path: '/dev/vg/disk', access: 'rw' }],
      nics: [],
      osparams: {},
      osparams_private: {},
      beparams: {},
      hvparams: {},
    },
    dumps: [
      {
        index: 0,
        name: 'disk0.pack.zst',
        codec: 'zstd',
        frameSize: 4 * 1024 * 1024,
        frames: 10,
        plainBytes: 40 * 1024 * 1024,
        storedBytes: PACK_BYTES,
        sha256: SHA256,
        map: { size: MAP_BYTES, sha256: SHA256, cut: 'place', packs },
        messages: [],
        snapshot: 'lvm',
      },
    ],
  };
}

const collectGarbage: () => void = (() => {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  return () => {
    if (typeof gc === 'function') gc();
  };
})();

const marker = new MemoryStore();
let highestBytes = 0;

/** One of 20 instances, and the last. */
function isSampled(instance: string): boolean {
  const number = Number(/\d+/.exec(instance)?.[0]);
  return number % 20 === 19 || number === INSTANCES - 1;
}

async function* list(prefix: string): AsyncGenerator<ObjectInfo> {
  let listed = 0;
  for (let number = 0; number < INSTANCES; number += 1) {
    const instance = nameOf(number);
    if (prefix !== '' && prefix !== `${instance}/`) continue;
    for (let day = 0; day < DAYS; day += 1) {
      const sizes = { SHA256SUMS: 1000, 'config.ini': 1000, 'disk0.map': MAP_BYTES, 'disk0.pack.zst': PACK_BYTES, 'manifest.json': 1000 };
      for (const [name, size] of Object.entries(sizes)) {
        if (listed % 1000 === 0) counts.list += 1;
        listed += 1;
        yield { key: `${instance}/${idOf(day)}/${name}`, size, modified: MODIFIED };
      }
    }
  }
}

async function read(key: string): Promise<ByteSource> {
  const [instance = '', id] = key.split('/');
  if (id === undefined) return await marker.read(key);
  counts.read += 1;
  const day = (Date.UTC(Number(id.slice(0, 4)), Number(id.slice(4, 6)) - 1, Number(id.slice(6, 8))) - START) / DAY_MS;
  if (day === DAYS - 1 && isSampled(instance)) {
    // Everything of the instance is in memory now.
    collectGarbage();
    highestBytes = Math.max(highestBytes, process.memoryUsage().heapUsed);
  }
  const bytes = Buffer.from(renderManifest(manifestOf(instance, day)));
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  return { length: bytes.length, objectSize: bytes.length, [Symbol.asyncIterator]: chunks, [Symbol.asyncDispose]: async () => undefined };
}

await initializeStore(marker);
const store: Store = { ...watchedStore(marker, {}), list, read };
const started = performance.now();
const result = await pruneStore({ store, policy: { within: { years: 0, months: 0, days: DAYS - 2, hours: 0 } }, dryRun: true });
console.log(
  JSON.stringify({
    exports: INSTANCES * DAYS,
    lists: counts.list,
    reads: counts.read,
    removed: result.removed.length,
    kept: result.kept,
    unclear: result.unclear.length,
    seconds: Math.round((performance.now() - started) / 1000),
    heapMiB: Math.round(highestBytes / 1024 ** 2),
  }),
);
