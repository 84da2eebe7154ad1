import { afterAll, beforeAll, describe, test } from 'vitest';
import type { CephServer, SwiftServer } from '@gantry/testkit';
import { ALL_VARIANTS, startCeph, startSwift } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { storeConformance } from '@gantry/transport/conformance';
import type { TestBucket } from '../test/open-bucket.ts';
import { makeBucket } from '../test/open-bucket.ts';

/** @param topics how the titles begin; all where absent */
function conforms(open: () => Promise<Store>, topics: readonly string[] = ['']): void {
  const all = storeConformance(open, { patienceMs: 30_000 });
  for (const topic of topics) {
    const cases = all.filter(({ title }) => title.startsWith(topic));
    if (cases.length === 0) throw new Error(`no test is about ${topic}`);
    for (const { title, run } of cases) test.concurrent(title, run);
  }
}

/**
 * Where Swift differs from other services, as it has no conditional writes. It takes five times the processor time of Ceph, on which all
 * topics are tried.
 */
const SWIFT_TOPICS = ['create-only:', 'commit:', 'resume:'];

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

  conforms(() => bucket.open(), ALL_VARIANTS ? undefined : SWIFT_TOPICS);
});
