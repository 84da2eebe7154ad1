import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { gantryCalls } from './documented-calls.ts';
import { makeWorkbench } from './workbench.ts';

const PAGE = new URL('../../../docs/how-to/set-up-a-node.md', import.meta.url);
const MIB = 1024 ** 2;

test('the page about setting up a node works as it says, with its paths below another directory', async () => {
  await using bench = await makeWorkbench({ GANTRY_CREATE_STORE: '' });
  const moved = (text: string): string => text.replaceAll('/etc/gantry', bench.file('etc')).replaceAll('/srv/', `${bench.path}/`);
  const page = moved(await readFile(PAGE, 'utf8'));
  const [, yaml = ''] = /^```yaml file=gantry\.yaml\n([^]*?)^```/m.exec(page) ?? [];
  await mkdir(bench.file('etc', 'instances'), { recursive: true });
  await writeFile(bench.file('etc', 'gantry.yaml'), yaml);
  for (const name of ['db1.example.com', 'web1.example.com']) {
    await makeRandomFile(bench.file(`${name}.img`), MIB, name);
    const disks = `disks: [{ path: ${bench.file(`${name}.img`)} }]`;
    await writeFile(bench.file('etc', 'instances', `${name}.yaml`), `name: ${name}\nos: raw\nhypervisor: kvm\n${disks}\n`);
  }
  const outputs = new Map<string, string>();
  for (const call of gantryCalls(page)) {
    const { exitCode, stdout, stderr } = await bench.gantry(...call, '--config', bench.file('etc', 'gantry.yaml'));
    expect(exitCode, `${call.join(' ')}: ${stderr}`).toBe(0);
    outputs.set(call.slice(0, 2).join(' '), stdout);
  }
  expect([...outputs.keys()]).toHaveLength(8);
  const shown = /^```\n((?:(?!^```)[^])*?2 checked[^]*?)^```/m.exec(page)?.[1] ?? '';
  const words = (text: string): string => text.replaceAll(/ +/g, ' ').trim();
  expect(words(outputs.get('config check') ?? '')).toBe(words(shown));
  expect(outputs.get('list local')).toContain('1 export of 1 instance');
  expect(outputs.get('prune local')).toContain('keep');
  expect(words(outputs.get('config show') ?? '')).toContain(`level 6 defaults.level (${bench.file('etc', 'gantry.yaml')}:`);

  await writeFile(bench.file('etc', 'gantry.yaml'), yaml.replace('full-every', 'full-evry'));
  const wrong = await bench.gantry('list', 'local', '--config', bench.file('etc', 'gantry.yaml'));
  expect(wrong.stderr).toContain(/^gantry: .*full-evry.*$/m.exec(page)?.[0] ?? 'the page has no such line');
});
