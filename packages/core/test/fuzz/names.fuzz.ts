import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { assertKey } from '@gantry/transport';
import { placeOf } from '../../src/exports/directories.ts';
import {
  compareExportIds,
  exportPrefix,
  formatExportReference,
  makeExportId,
  parseExportId,
  parseExportReference,
} from '../../src/exports/export-id.ts';
import { isDumpName, keysNumber, labelsNumber } from '../../src/exports/layout.ts';
import { isPackPath } from '../../src/exports/packs.ts';
import { isImageFormat, parseImageUri } from '../../src/instances/image-uri.ts';
import { parseOsName } from '../../src/scripts/os-name.ts';
import { imageUri, parseRbdUri } from '../../src/snapshots/rbd/rbd-image.ts';
import { assertRefused } from './refusal.ts';

/** Names of exports, instances, OS definitions, packs and images, which come from users, stores and inventories. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    'web1.example.com@20261123T081500Z',
    'web1@20261123T081500Z-2',
    'web1',
    'web1/20261123T081500Z/disk0.zst',
    'web1/config.ini',
    '../../web2/20261123T081500Z/disk0.zst',
    'labels-12.json',
    'keys-3.age',
    'debootstrap+bookworm',
    'qcow2:/srv/a%20b.qcow2',
    String.raw`rbd:pool/ns/image:id=admin:conf=/etc/ceph/a\:b.conf:mon_host=1.2.3.4\:6789`,
  ],
  words: ['@', 'rbd:', 'ganeti', ':key=', '\\:', '-2', 'Z'],
  maxBytes: 600,
  run(text) {
    refusing(() => checkReference(text));
    refusing(() => void parseOsName(text));
    checkId(text);
    const place = placeOf(text);
    if (place !== undefined && isDumpName(place.name)) assertKey(`${exportPrefix(place.instance, place.id)}${place.name}`);
    if (isPackPath(text) && /(?:^|\/)\.\.\/.*[^./].*\/\.\.(?:\/|$)/.test(text)) throw new Error(`${text} leads outside`);
    if (labelsNumber(text) > 0 && keysNumber(text) > 0) throw new Error('two kinds at once');
    const image = parseImageUri(text);
    if (image !== undefined && (!isImageFormat(image.format) || !image.path.startsWith('/'))) throw new Error('an image without a path');
    checkRbd(text);
  },
});

export default target;

function refusing(work: () => void): void {
  try {
    work();
  } catch (error) {
    assertRefused(error, 'USAGE', 'OS_NAME_INVALID');
  }
}

function checkReference(text: string): void {
  const { instance, id } = parseExportReference(text);
  assertKey(`${exportPrefix(instance, id ?? 'x')}a`);
  if (id !== undefined && formatExportReference(instance, id) !== text) throw new Error('another reference means the same');
}

function checkId(text: string): void {
  const found = parseExportId(text);
  if (found !== undefined && makeExportId(found.started, found.ordinal) !== text) throw new Error('another id means the same');
  if (compareExportIds(text, '20261123T081500Z') !== -compareExportIds('20261123T081500Z', text)) throw new Error('no order');
}

function checkRbd(text: string): void {
  const image = parseRbdUri(text);
  if (image === undefined || 'reason' in image) return;
  if (image.spec.startsWith('-') || image.options.some(([name]) => name === 'key')) throw new Error('an option, or a key');
  const again = parseRbdUri(imageUri(image));
  if (JSON.stringify(again) !== JSON.stringify(image)) throw new Error(`it changed on its round trip: ${JSON.stringify(again)}`);
}
