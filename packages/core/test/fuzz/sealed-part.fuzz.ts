import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { exportKeyIn, openManifest, splitManifest } from '../../src/exports/sealed-part.ts';
import { assertRefused } from './refusal.ts';
import { manifests } from './samples.ts';

const [, , lineage, sealed] = manifests();
const recipients = sealed.sealed?.recipients ?? [];
const owner = { instance: sealed.instance.name, exportId: sealed.exportId };

/** The encrypted part of a manifest, when it was decrypted. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    splitManifest(lineage, { recipients, exportKey: undefined }).sealed,
    splitManifest(lineage, { recipients, exportKey: 'AGE-SECRET-KEY-1QQQ' }).sealed,
  ],
  words: ['gantry-sealed', 'AGE-SECRET-KEY-1', 'AGE-SECRET-KEY-PQ-1'],
  run(text) {
    try {
      const opened = openManifest(sealed, text, 'web1@1');
      const key = exportKeyIn(owner, text, 'web1@1');
      const again = splitManifest(opened, { recipients, exportKey: key }).sealed;
      if (!isDeepStrictEqual(openManifest(sealed, again, 'web1@1'), opened)) throw new Error('it changed on its round trip');
    } catch (error) {
      assertRefused(error, 'MANIFEST_DAMAGED');
    }
  },
});

export default target;
