import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { readYaml } from '../../src/documents/read-yaml.ts';
import { formatInstanceFile } from '../../src/instances/format-instance-file.ts';
import { INSTANCE_FILE } from '../../src/instances/load-instance-file.ts';
import type { Instance } from '../../src/instances/model.ts';
import { parseInstance } from '../../src/instances/parse-instance.ts';
import { sampleInstance } from '../sample-export.ts';
import { assertRefused } from './refusal.ts';

function read(text: string): Instance {
  const document = readYaml(text, 'web1.yaml', INSTANCE_FILE);
  document.placeOf(['disks', 0, 'path']);
  return parseInstance(document.value, { baseDirectory: '/srv', hostName: 'node1', source: 'web1.yaml' });
}

/** An instance file: YAML, of which the user wrote every scalar as text. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    formatInstanceFile({ ...sampleInstance, osparams_private: { password: 'x' } }, { includePrivate: true }),
    'name: web1\nos: raw\nhypervisor: kvm\ndisks: &d\n  - {path: a.img, size: 010}\nnics: []\ntags: [a, &x b, *x]\n',
    JSON.stringify(sampleInstance),
  ],
  words: [
    'disks:',
    'nics:',
    'osparams:',
    '&a ',
    '*a',
    '<<: ',
    '!!str ',
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '|\n ',
    '>-\n ',
    '? ',
    '- ',
    '"\\x41"',
    'rbd:a/b:key=c',
  ],
  run(text) {
    try {
      const instance = read(text);
      if (!isDeepStrictEqual(read(formatInstanceFile(instance, { includePrivate: true })), instance))
        throw new Error('it changed on its round trip');
    } catch (error) {
      assertRefused(error, 'INSTANCE_FILE_SYNTAX', 'INSTANCE_INVALID');
    }
  },
});

export default target;
