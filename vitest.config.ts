import { availableParallelism, loadavg } from 'node:os';
import { defineConfig } from 'vitest/config';
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/** How many times longer than on a quiet machine of this kind things take now; at most 4, so that a hang still ends. */
const pace = Math.min(4, Math.max(1, (loadavg()[0] ?? 0) / availableParallelism()));

/**
 * Files that take long, the longest first: started last, one of them would run alone at the end. Those with a Ganeti cluster come when its
 * base system may be there.
 */
const LONG_FILES: readonly string[] = [
  'cli/test/lvm-snapshots',
  'snapshots/libvirt/libvirt',
  'cli/test/installed',
  'src/time-outs',
  'cli/test/power-cut',
  'snapshots/qemu-mixed-guest',
  'snapshots/rbd',
  'cli/test/odd-values',
  'operations/move',
  'cli/test/s3',
  'cli/test/run',
  'cli/test/bad-input',
  'cli/test/main-job',
  'fleet/test/commands',
  'transport-s3/src/conformance',
  'cli/test/contributing',
  'cli/test/ganeti-remote',
  'cli/test/ganeti',
  'src/real-cluster',
  'flow/target-use',
  'transport-s3/src/faults',
  'cli/test/silent-peer',
  'snapshots/qemu',
  'cli/test/kill-stores',
  'cli/test/lineages-anywhere',
  'cli/test/copy',
  'cli/test/configuration',
  'cli/test/json-output',
  'cli/test/tee',
  'transport-s3/src/stalls',
  'cli/test/move',
  'cli/test/ssh',
  'cli/test/how-to',
  'cli/test/interruptions',
  'transport-ssh/src/killed-writer',
  'transport-file/src/killed-writer',
  'cli/test/terminal',
  'src/sftp-only-account',
  'operations/live-move',
  'src/queue/fleet-queue',
  'src/agent/agent',
  'cli/test/live-moves',
  'inventory-libvirt/test/libvirt',
  'cli/test/completion',
  'frames/damage',
  'cli/test/durable',
  'cli/test/incremental',
];

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONG_FILES.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return at === -1 ? LONG_FILES.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  resolve: { conditions: ['@gantry/source'] },
  ssr: { resolve: { conditions: ['@gantry/source'] } },
  test: {
    // Real scripts, mounts and servers: slow and busy machines need time, and a hang still ends.
    testTimeout: 240_000 * pace,
    hookTimeout: 480_000 * pace,
    // For what happens at once on an idle machine; as PATIENTLY of the test kit, for other waits.
    expect: { poll: { timeout: 90_000 } },
    pool: 'forks',
    sequence: { sequencer: LongFilesFirst },
    // Most tests wait for a script, a server or a machine: one more at once than there are processors keeps these busy.
    maxWorkers: Math.max(2, availableParallelism()) + 1,
    /*
     * Frames are memory outside of the heap. By default, V8 walks through the whole heap for each 64 MiB of it, and that of a test is large:
     * it was up to half of the processor time of what exports disks.
     */
    execArgv: ['--conditions=@gantry/source', '--external-memory-accounted-in-global-limit', '--initial-old-space-size=256'],
    projects: [
      {
        extends: true,
        test: {
          name: 'apps',
          include: ['apps/*/{src,test}/**/*.test.ts'],
          globalSetup: ['packages/testkit/test/compile-once.ts', 'apps/cli/test/bundle-once.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'packages',
          globalSetup: ['packages/testkit/test/compile-once.ts'],
          include: ['packages/*/{src,test}/**/*.test.ts', 'examples/**/*.test.ts', 'bench/src/**/*.test.ts', 'tools/*/*.test.ts'],
        },
      },
    ],
  },
});
