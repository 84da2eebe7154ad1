import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['@gantry/source'] },
  ssr: { resolve: { conditions: ['@gantry/source'] } },
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', 'apps/*/{src,test}/**/*.test.ts', 'examples/**/*.test.ts', 'bench/src/**/*.test.ts'],
    // Real scripts, mounts and servers: slow machines need room, and a hang still ends.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    execArgv: ['--conditions=@gantry/source'],
  },
});
