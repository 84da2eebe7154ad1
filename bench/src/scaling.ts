import { join } from 'node:path';
import { execa } from 'execa';
import { runContest } from './contest.ts';
import type { Contestant } from './contestant.ts';
import { quote } from './contestant.ts';
import { GANTRY, gantryDisks } from './contestants/gantry.ts';
import { PIPES } from './contestants/pipes.ts';
import { GIB, makeDataSet } from './data-sets.ts';
import type { Contest } from './report.ts';

export interface ScalingOptions {
  readonly directory: string;
  readonly runs: number;
  readonly bytes: number;
  readonly largestGiB: number;
  readonly say: (line: string) => void;
}

/** The same number of bytes as 1, 2 and 4 disks in parallel; then one disk of growing size. */
export async function runScaling(options: ScalingOptions): Promise<readonly Contest[]> {
  return [...(await runDisks(options)), ...(await runSizes(options))];
}

async function runDisks({ directory, runs, bytes, say }: ScalingOptions): Promise<readonly Contest[]> {
  const contests: Contest[] = [];
  for (const count of [1, 2, 4]) {
    say(`\n${count} disks at once`);
    const disks: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const disk = join(directory, `part-${index}.img`);
      await makeDataSet('mixed', Math.floor(bytes / count / 4096) * 4096, disk);
      disks.push(disk);
    }
    const pipes: Contestant = {
      name: 'script | zstd -3 -T0',
      note: 'one for each disk, in parallel',
      export: () => `${disks.map((disk, index) => `cat ${quote(disk)} | zstd -q -3 -T0 -c >stream${index} &`).join(' ')} wait`,
    };
    const results = await runContest([pipes, gantryDisks(disks)], { directory, disk: '', bytes, runs, withImports: false, say });
    contests.push({ title: `mixed, ${count} ${count === 1 ? 'disk' : 'disks at once'}`, key: `disks-${count}`, bytes, results });
    await execa('rm', disks);
  }
  return contests;
}

async function runSizes({ directory, runs, largestGiB, say }: ScalingOptions): Promise<readonly Contest[]> {
  const contests: Contest[] = [];
  const contestants = [...PIPES.slice(0, 1), ...GANTRY.slice(0, 1)];
  for (const gib of [0.5, 1, 2, 4, 8, 16].filter((size) => size <= largestGiB)) {
    say(`\nmixed, ${gib} GiB`);
    const disk = join(directory, 'size.img');
    await makeDataSet('mixed', gib * GIB, disk);
    const results = await runContest(contestants, { directory, disk, bytes: gib * GIB, runs, withImports: true, say });
    contests.push({ title: `mixed, one disk of ${gib} GiB`, key: `size-${gib}`, bytes: gib * GIB, results });
    await execa('rm', [disk]);
  }
  return contests;
}
