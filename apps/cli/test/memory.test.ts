import { ALL_VARIANTS, makeRandomFile, makeSparseFile } from '@gantry/testkit';
import { execa } from 'execa';
import process from 'node:process';
import { expect, test } from 'vitest';
import { MAIN, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;
/** 4 GiB take half a minute; what grew with the disk would be above the limit with 1 GiB too. */
const GIB = ALL_VARIANTS ? 4 : 1;
/** 200 to 262 were measured. On a busy machine the garbage collector runs later, which takes about 40 more. */
const LIMIT_MIB = 350;

/** Runs a command and prints the peak resident memory of it and of the processes it waited for. getrusage(2) counts in KiB. */
const MEASURE = `
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)`;

test(`exports and imports a disk of ${GIB} GiB in less than ${LIMIT_MIB} MiB of resident memory`, { timeout: 900_000 }, async () => {
  await using bench = await makeWorkbench();
  const measured = async (...args: readonly string[]): Promise<{ readonly lines: readonly string[]; readonly mib: number }> => {
    const { stdout } = await execa('python3', ['-c', MEASURE, process.execPath, MAIN, ...args], {
      env: { GANTRY_STATE_DIR: bench.file('state'), GANTRY_CREATE_STORE: '1', GANTRY_YES: '1' },
    });
    const lines = stdout.split('\n');
    return { lines, mib: Number(lines.at(-1)) };
  };
  // Dense, and half of it incompressible, so that neither holes nor small frames make it easy.
  await makeRandomFile(bench.file('random'), 64 * MIB, 'memory');
  const fill = `head -c 67108864 /dev/zero | tr "\\0" "g" >text; for i in $(seq ${8 * GIB}); do cat random text; done >disk.img; rm random text`;
  await execa('sh', ['-c', fill], { cwd: bench.path });
  const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
  const exported = await measured('export', source, bench.store);
  expect(exported.mib).toBeLessThan(LIMIT_MIB);

  await makeSparseFile(bench.file('copy.img'), GIB * 1024 * MIB);
  const target = await bench.describeInstance('b.example.com', { disks: ['copy.img'] });
  const reference = exported.lines.at(-2) ?? '';
  const imported = await measured('import', bench.store, reference, '--to', target);
  expect(imported.mib).toBeLessThan(LIMIT_MIB);
  await execa('cmp', [bench.file('disk.img'), bench.file('copy.img')]);
  process.stderr.write(`resident memory: export ${exported.mib} MiB, import ${imported.mib} MiB\n`);
});
