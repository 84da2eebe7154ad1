import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { renderExportConfig } from '../../src/exports/config-export.ts';
import { codecOfCompression, parseExportConfig } from '../../src/exports/config-import.ts';
import { parseConfigIni } from '../../src/exports/config-ini.ts';
import { isDumpName } from '../../src/exports/layout.ts';
import { assertRefused } from './refusal.ts';
import { manifests } from './samples.ts';

/** The description that Ganeti writes of an export, and Gantry for it. */
const target: FuzzTarget = textTarget({
  seeds: () => manifests().slice(0, 3).map(renderExportConfig),
  words: [
    '[export]\n',
    '[instance]\n',
    '[DEFAULT]\n',
    '[os]\n',
    'disk0_dump',
    'nic0_mac',
    'version = 0\n',
    '%%',
    '%(name)s',
    '\n\t',
    '\f',
    ' = ',
  ],
  maxBytes: 8192,
  run(text) {
    try {
      const config = parseConfigIni(text, 'config.ini');
      if (!isDeepStrictEqual(parseConfigIni(text.replaceAll('\n', '\r\n'), 'config.ini').size, config.size))
        throw new Error('it depends on the line ends');
      const { disks, compression } = parseExportConfig(text, 'config.ini');
      for (const { dump } of disks) if (dump !== undefined && !isDumpName(dump)) throw new Error(`${dump} leads outside`);
      codecOfCompression(compression, 'config.ini');
    } catch (error) {
      assertRefused(error, 'CONFIG_DAMAGED', 'CODEC_UNKNOWN');
    }
  },
});

export default target;
