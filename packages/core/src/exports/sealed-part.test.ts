import { expect, test } from 'vitest';
import { sampleManifest } from '../../test/sample-export.ts';
import type { Manifest } from './manifest.ts';
import { SEALED_MANIFEST_VERSION } from './manifest.ts';
import { openManifest, splitManifest } from './sealed-part.ts';

const RECIPIENTS = ['age1first', 'age1second'];

/** The manifest of a sealed export, and its encrypted part in the clear. */
function sealedManifest(): { readonly manifest: Manifest; readonly part: string } {
  const { open, sealed } = splitManifest(sampleManifest('20261123T081500Z', []), { recipients: RECIPIENTS, exportKey: undefined });
  const record = { recipients: RECIPIENTS, part: { size: 1, sha256: '0'.repeat(64) } };
  return { manifest: { ...open, version: SEALED_MANIFEST_VERSION, sealed: record }, part: sealed };
}

test('the encrypted part of a manifest makes it whole', () => {
  const { manifest, part } = sealedManifest();
  expect(openManifest(manifest, part, 'it').instance).toEqual(sampleManifest('20261123T081500Z', []).instance);
});

test.each<[string, (manifest: Manifest) => Partial<Manifest>, string]>([
  ['is of another export', () => ({ exportId: '20261124T081500Z' }), 'it belongs to another export'],
  ['is of another instance', ({ instance }) => ({ instance: { ...instance, name: 'db1.example.com' } }), 'it belongs to another export'],
  [
    'is of an instance with more disks',
    ({ instance }) => ({ instance: { ...instance, disks: [...instance.disks, { access: 'rw' }] } }),
    'it belongs to another export',
  ],
  [
    'was made for others than the manifest says',
    ({ sealed }) => (sealed === undefined ? {} : { sealed: { ...sealed, recipients: ['age1first'] } }),
    'manifest.json names other recipients',
  ],
])('an encrypted part that %s is damage', (_what, change, message) => {
  const { manifest, part } = sealedManifest();
  expect(() => openManifest({ ...manifest, ...change(manifest) }, part, 'it')).toThrow(
    expect.objectContaining({ code: 'MANIFEST_DAMAGED', message: expect.stringContaining(message) }),
  );
});
