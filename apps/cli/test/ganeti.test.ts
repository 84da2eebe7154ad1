import type { GanetiCluster } from '@gantry/testkit';
import { startGanetiCluster } from '@gantry/testkit';
import { afterAll, beforeAll, describe } from 'vitest';
import { backupSuite } from './ganeti/backup.suite.ts';
import { environmentSuite } from './ganeti/environment.suite.ts';
import { SHARES } from './ganeti/in-node.ts';
import { inventorySuite } from './ganeti/inventory.suite.ts';

/*
 * What needs a real cluster stands in this file alone, so that it is started once. Each suite has a file in ganeti/, and instances of its
 * own: inst1 to inst19 are of the backup suite, inst20 to inst29 of the environment suite, inst30 to inst39 of
 * the inventory suite.
 */

let running: GanetiCluster | undefined;

/** To be called in tests and hooks. */
function cluster(): GanetiCluster {
  if (running === undefined) throw new Error('the cluster has not started');
  return running;
}

// Its base system may have to be made first.
beforeAll(async () => {
  running = await startGanetiCluster({ shares: SHARES });
}, 1_800_000);

afterAll(async () => {
  await running?.[Symbol.asyncDispose]();
});

describe('exports of Ganeti and of Gantry', () => backupSuite(cluster));
describe('the environment of scripts', () => environmentSuite(cluster));
describe('instances of the cluster', () => inventorySuite(cluster));
