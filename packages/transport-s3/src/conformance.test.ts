import { afterAll, beforeAll, describe, test } from 'vitest';
import type { CephServer, SwiftServer } from '@gantry/testkit';
import { ALL_VARIANTS, oneIn, startCeph, startSwift } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { storeConformance } from '@gantry/transport/conformance';
import type { TestBucket } from '../test/open-bucket.ts';
import { makeBucket } from '../test/open-bucket.ts';

function conforms(open: () => Promise<Store>, share = 1): void {
  for (const { title, run } of oneIn(share, storeConformance(open, { patienceMs: 30_000 }))) test.concurrent(title, run);
}

describe('a store on a gateway of Ceph', () => {
  let ceph: CephServer;
  let bucket: TestBucket;
  beforeAll(async () => {
    ceph = await startCeph();
    bucket = await makeBucket(ceph);
  });
  afterAll(() => ceph[Symbol.asyncDispose]());

  describe('over HTTP', () => conforms(() => bucket.open()));
  // TLS is the client's: other tests use it.
  describe.runIf(ALL_VARIANTS)('over TLS, with an authority of its own', () =>
    conforms(() => bucket.open({ caFile: ceph.caFile }, ceph.tlsEndpoint)),
  );
});

describe('a store on OpenStack Swift', () => {
  let swift: SwiftServer;
  let bucket: TestBucket;
  beforeAll(async () => {
    swift = await startSwift();
    bucket = await makeBucket(swift);
  });
  afterAll(() => swift[Symbol.asyncDispose]());

  // It takes five times the processor time of Ceph, in which all of it runs.
  conforms(() => bucket.open(), 4);
});
