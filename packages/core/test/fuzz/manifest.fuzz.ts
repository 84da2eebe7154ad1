import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { assertKey } from '@gantry/transport';
import { exportPrefix } from '../../src/exports/export-id.ts';
import { parseManifest, renderManifest } from '../../src/exports/manifest.ts';
import { assertRefused } from './refusal.ts';
import { manifests } from './samples.ts';

/** A manifest of any version: what it names is safe in a store. */
const target: FuzzTarget = textTarget({
  seeds: () => manifests().map(renderManifest),
  words: ['gantry-export', 'zstd', 'gzip', 'none', 'disk0.zst', 'manifest.json', 'labels-1.json', '2026-11-23T08:15:00.000Z'],
  maxBytes: 16_384,
  run(text) {
    let manifest;
    try {
      manifest = parseManifest(text, 'manifest.json');
    } catch (error) {
      return assertRefused(error, 'MANIFEST_DAMAGED', 'MANIFEST_VERSION', 'CODEC_UNKNOWN');
    }
    const { instance, exportId, dumps } = manifest;
    for (const { name, map } of dumps) {
      assertKey(`${exportPrefix(instance.name, exportId)}${name}`);
      for (const pack of map?.packs ?? []) assertKey(`${exportPrefix(pack.instance, pack.exportId)}${pack.name}`);
    }
    if (!isDeepStrictEqual(parseManifest(renderManifest(manifest), 'manifest.json'), manifest))
      throw new Error('it changed on its round trip');
  },
});

export default target;
