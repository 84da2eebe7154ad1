import { availableParallelism, loadavg } from 'node:os';
import { defineConfig } from 'vitest/config';
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/** How many times longer than on a quiet machine of this kind things take now; at most 6, so that a hang still ends. */
const pace = Math.min(6, Math.max(1, (loadavg()[0] ?? 0) / availableParallelism()));

/** Files that take minutes: started last, one of them would run alone at the end. */
const LONG_FILES =
  /\/(lvm-snapshots|transport-s3\/src\/conformance|sftp-only-account|rbd|kill-stores|test\/s3|power-cut|libvirt\/libvirt|qemu-mixed-guest|stalls)\.test\.ts$/;

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification): boolean => LONG_FILES.test(moduleId);
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  resolve: { conditions: ['@gantry/source'] },
  ssr: { resolve: { conditions: ['@gantry/source'] } },
  test: {
    // Real scripts, mounts and servers: slow and busy machines need time, and a hang still ends.
    testTimeout: 120_000 * pace,
    hookTimeout: 240_000 * pace,
    pool: 'forks',
    sequence: { sequencer: LongFilesFirst },
    // Most tests wait for a script, a server or a machine: one more at once than there are processors keeps these busy.
    maxWorkers: Math.max(2, availableParallelism()) + 1,
    execArgv: ['--conditions=@gantry/source'],
    projects: [
      {
        extends: true,
        test: { name: 'apps', include: ['apps/*/{src,test}/**/*.test.ts'], globalSetup: ['apps/cli/test/bundle-once.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'packages',
          include: ['packages/*/{src,test}/**/*.test.ts', 'examples/**/*.test.ts', 'bench/src/**/*.test.ts', 'tools/tidy/*.test.ts'],
        },
      },
    ],
  },
});
