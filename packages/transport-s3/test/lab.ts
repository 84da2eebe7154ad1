import type { CephServer, FaultProxy, ProxiedRequest } from '@gantry/testkit';
import { startCeph, startFaultProxy } from '@gantry/testkit';
import { afterAll } from 'vitest';
import type { TestBucket } from './open-bucket.ts';
import { makeBucket } from './open-bucket.ts';

/** What most tests need: a gateway, a bucket in it, and a proxy in front of it. */
export interface Lab {
  readonly ceph: CephServer;
  readonly bucket: TestBucket;
  readonly proxy: FaultProxy;
}

/** Starts all three, until the tests of the file are over. */
export async function startLab(): Promise<Lab> {
  const stack = new AsyncDisposableStack();
  afterAll(() => stack.disposeAsync());
  const ceph = stack.use(await startCeph());
  return { ceph, bucket: await makeBucket(ceph), proxy: stack.use(await startFaultProxy(ceph.endpoint)) };
}

/** Returns the requests since its last call, without those for opening a store. */
export function requestsThrough(proxy: FaultProxy): () => readonly ProxiedRequest[] {
  let reported = 0;
  return () => {
    const all = proxy.seen.slice(reported).map(({ request }) => request);
    reported = proxy.seen.length;
    return all.filter(({ path }) => !path.endsWith('.gantry-probe'));
  };
}
