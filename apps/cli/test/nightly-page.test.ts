import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { gantryCalls } from './documented-calls.ts';
import { makeWorkbench } from './workbench.ts';

const PAGE = new URL('../../../docs/how-to/nightly-exports-of-a-node.md', import.meta.url);

/** The block of the page that is introduced like this. */
function blockOf(page: string, head: string): string {
  const [, text] = new RegExp(`^\`\`\`${head}\\n([^]*?)^\`\`\``, 'm').exec(page) ?? [];
  if (text === undefined) throw new Error(`the page has no block ${head}`);
  return text;
}

test('the page about nightly exports of a node works as it says, with its paths below another directory', async () => {
  await using bench = await makeWorkbench({ GANTRY_CREATE_STORE: '' });
  const moved = (text: string): string => text.replaceAll('/etc/gantry', bench.file('etc')).replaceAll('/srv/', `${bench.path}/`);
  const page = await readFile(PAGE, 'utf8');
  await mkdir(bench.file('etc', 'instances'), { recursive: true });
  await writeFile(bench.file('etc', 'gantry.yaml'), moved(blockOf(page, 'yaml file=gantry\\.yaml')));
  for (const name of ['db1.example.com', 'web1.example.com']) {
    await makeRandomFile(bench.file(`${name}.img`), 1024 * 1024, name);
    await writeFile(
      bench.file('etc', 'instances', `${name}.yaml`),
      `name: ${name}\nos: raw\nhypervisor: kvm\ndisks: [{ path: ${bench.file(`${name}.img`)} }]\n`,
    );
  }
  const calls = gantryCalls(`\`\`\`sh\n${moved(blockOf(page, 'sh'))}\`\`\`\n`);
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
