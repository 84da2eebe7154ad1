import { mkdir, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { blockOf } from './documented-blocks.ts';
import { gantryCalls } from './documented-calls.ts';
import { makeWorkbench } from './workbench.ts';

const PAGE = 'nightly-exports-of-a-node';

test('the page about nightly exports of a node works as it says, with its paths below another directory', async () => {
  await using bench = await makeWorkbench({ GANTRY_CREATE_STORE: '' });
  const moved = (text: string): string => text.replaceAll('/etc/gantry', bench.file('etc')).replaceAll('/srv/', `${bench.path}/`);
  await mkdir(bench.file('etc', 'instances'), { recursive: true });
  await writeFile(bench.file('etc', 'gantry.yaml'), moved(await blockOf(PAGE, 'yaml file=gantry.yaml')));
  for (const name of ['db1.example.com', 'web1.example.com']) {
    await makeRandomFile(bench.file(`${name}.img`), 1024 * 1024, name);
    await writeFile(
      bench.file('etc', 'instances', `${name}.yaml`),
      `name: ${name}\nos: raw\nhypervisor: kvm\ndisks: [{ path: ${bench.file(`${name}.img`)} }]\n`,
    );
  }
  const calls = gantryCalls(`\`\`\`sh\n${moved(await blockOf(PAGE, 'sh'))}\`\`\`\n`);
  expect(calls).toHaveLength(5);
  const outputs: string[] = [];
  for (const call of calls) {
    const { exitCode, stdout, stderr } = await bench.gantry(...call, '--config', bench.file('etc', 'gantry.yaml'));
    expect(exitCode, `${call.join(' ')}: ${stderr}`).toBe(0);
    outputs.push(stdout);
  }
  const [, , planned, ran, listed] = outputs;
  expect(planned).toContain('db1.example.com: would be exported');
  expect(ran).toMatch(/^nightly: done in .*: 2 exported of 2 instances$/m);
  expect(ran).toMatch(/^local: 1 export verified \(.* read\), 1 left for later runs; 0 exports removed, 0 B deleted$/m);
  expect(listed).toContain('2 exports of 2 instances');
});
