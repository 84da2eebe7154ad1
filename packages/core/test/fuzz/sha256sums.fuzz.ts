import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { parseSha256Sums, renderSha256Sums } from '../../src/exports/sha256sums.ts';
import { sha256 } from '../sample-export.ts';
import { assertRefused } from './refusal.ts';

const sums = ['disk0.zst', 'config.ini', 'frames.table', '../20261121T081500Z/disk0.zst', '../../web2/20261121T081500Z/disk0.zst'];

/** The digests beside an export. */
const target: FuzzTarget = textTarget({
  seeds: () => [renderSha256Sums(sums.map((name) => ({ name, sha256: sha256(name) }))), `${sha256('a')} *disk0.img\n`],
  words: [sha256('x'), '  ', ' *', '../'],
  run(text) {
    try {
      const found = parseSha256Sums(text, 'SHA256SUMS');
      const isOutside = found.some(({ name }) => name.startsWith('/') || /^(?:\.\.\/){3}/.test(name) || /[^.]\/\.\.\//.test(name));
      if (isOutside) throw new Error('a name leads outside');
      if (!isDeepStrictEqual(parseSha256Sums(renderSha256Sums(found), ''), found)) throw new Error('it changed on its round trip');
    } catch (error) {
      assertRefused(error, 'MANIFEST_DAMAGED');
    }
  },
});

export default target;
