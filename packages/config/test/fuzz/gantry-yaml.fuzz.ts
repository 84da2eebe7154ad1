import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GantryError } from '@gantry/core';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { loadConfiguration, writtenValues } from '../../src/index.ts';

const CODES: ReadonlySet<string> = new Set(['CONFIGURATION_SYNTAX', 'CONFIGURATION_INVALID', 'CONFIGURATION_UNREADABLE']);
/** More lines than a terminal shows below a message, characters. */
const MAX_DETAILS_LENGTH = 64 * 1024;

let file: Promise<string> | undefined;

async function makeFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  return join(directory, 'gantry.yaml');
}

const SAMPLE = `stores:
  nightly: {url: /srv/exports, codec: zstd, level: 3, tags: [a]}
  offsite: {url: "s3://backups/exports?region=eu-central-1", limit-rate: {default: 20MiB, "22:00-06:00": unlimited}}
inventories:
  cluster: ganeti:
policies:
  web:
    instances: [{source: cluster, names: ["web*"], tags: [prod]}]
    stores: [nightly]
    copies: [{to: offsite}]
    incremental: true
    full-every: 7
    retention: {daily: 7, weekly: 4, within: 2d}
    max-age: 26h
    window: "22:00-06:00"
host: {parallel: 2}
defaults: {snapshot: auto, parallel-disks: 4}
metrics: {textfile: /var/lib/x.prom}
`;

/** The configuration. */
const target: FuzzTarget = textTarget({
  seeds: () => [SAMPLE, 'stores: &s\n  a: {url: ./x}\n', '{}'],
  words: [
    'stores:',
    'policies:',
    'defaults:',
    'notify:',
    'retention:',
    'verify:',
    'hooks:',
    '26h',
    '20%',
    '22:00-06:00',
    'unlimited',
    '&a ',
    '*a',
    '- ',
    '!!map ',
    '__proto__: ',
  ],
  maxBytes: 6000,
  oneOf: 5,
  async run(text) {
    const path = await (file ??= makeFile());
    await writeFile(path, text, { mode: 0o600 });
    try {
      const configuration = await loadConfiguration({ env: {}, cwd: '/', file: path });
      for (const { text: shown } of writtenValues(configuration))
        if (/:\/\/[^/:@\s]*:[^*@/\s]+@/.test(shown)) throw new Error(`a password: ${shown}`);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof GantryError && CODES.has(each.code));
      if (error instanceof GantryError && error.details.join('').length > MAX_DETAILS_LENGTH)
        throw new Error(`details of ${error.details.join('').length} characters`, { cause: error });
    }
  },
});

export default target;
