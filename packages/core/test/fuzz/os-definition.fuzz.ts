import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { isVariant } from '../../src/scripts/os-name.ts';
import { readDefinition } from '../../src/scripts/read-definition.ts';
import { assertShowable } from './refusal.ts';

const FILES = ['ganeti_api_version', 'variants.list', 'parameters.list', 'hypervisors'];
const SEPARATOR = '=====\n';
/** Below what a terminal shows, characters. */
const MAX_REASONS_LENGTH = 16 * 1024;

let directory: Promise<string> | undefined;

/** With scripts, so that the lists are looked at. */
async function makeDefinition(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  await mkdir(path, { recursive: true });
  for (const script of ['create', 'import', 'export', 'rename', 'verify'])
    await writeFile(join(path, script), '#!/bin/sh\n', { mode: 0o755 });
  return path;
}

/** The lists of an OS definition. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    ['20\n15\n', '# bookworm\nbookworm\ntrixie\n', 'filesystem the file system\nsize  MiB\n', 'kvm\nxen-pvm\n'].join(SEPARATOR),
    ['10\n', '', '', ''].join(SEPARATOR),
    ['15\r\n', 'a\r\nb', '', 'kvm'].join(SEPARATOR),
  ],
  words: [SEPARATOR, '20\n', '# ', '\r', '+'],
  oneOf: 3,
  async run(text) {
    const path = await (directory ??= makeDefinition());
    const parts = text.split(SEPARATOR);
    await Promise.all(FILES.map((name, at) => writeFile(join(path, name), parts[at] ?? '')));
    const reading = await readDefinition('debootstrap', path);
    if (!reading.valid) {
      assertShowable(reading.reasons);
      if (reading.reasons.join('').length > MAX_REASONS_LENGTH) throw new Error(`reasons of ${reading.reasons.join('').length} characters`);
      return;
    }
    const { variants, parameters, apiVersions } = reading.definition;
    if (!variants.every(isVariant) || !apiVersions.every(Number.isSafeInteger)) throw new Error('a list that is not valid');
    if (parameters.some(({ name }) => /[^\w.-]/.test(name))) throw new Error('a parameter that cannot be a variable');
  },
});

export default target;
