import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createBucket, listUnfinishedUploads, mountNewTmpfs, s3Request, startCeph, startCutProxy, startFaultProxy } from '@gantry/testkit';
import type { Dice } from './dice.ts';

const MIB = 1024 * 1024;

/** Ends what was done to a store. */
export type End = () => Promise<void>;

/** A store to which things happen while a command runs. */
export interface SoakPlace extends AsyncDisposable {
  readonly address: string;
  /** More of the environment of commands. */
  readonly env: Readonly<Record<string, string>>;
  /** There is space for less than `bytes` more bytes. */
  readonly fill: (dice: Dice, bytes: number) => Promise<End>;
  /** It goes away at some moment of the next `withinMs`. */
  readonly leave: (dice: Dice, withinMs: number) => Promise<End>;
  /** Everything in it, complete or not. */
  readonly names: () => Promise<readonly string[]>;
}

/** In a directory of a file system of `bytes` bytes. */
export async function directoryPlace(bytes: number): Promise<SoakPlace> {
  const mount = await mountNewTmpfs(bytes);
  const store = mount.file('exports');
  await mkdir(store, { mode: 0o700 });
  return {
    address: store,
    env: {},
    async fill(dice, limit) {
      const { bavail, bsize } = await statfs(mount.path);
      const free = Math.floor(dice.roll() * limit);
      await writeFile(mount.file('ballast'), Buffer.alloc(Math.max(0, bavail * bsize - free)));
      return () => rm(mount.file('ballast'));
    },
    async leave(dice, withinMs) {
      const stop = new AbortController();
      const away = mount.file('away');
      const going = wait(dice.roll() * withinMs, undefined, { signal: stop.signal }).then(
        () => rename(store, away),
        () => undefined,
      );
      return async () => {
        stop.abort();
        await going;
        // Something else may be there only if the command made it, which fails then.
        await rename(away, store).catch((error: unknown) => {
          if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
        });
      };
    },
    async names() {
      const entries = await readdir(store, { recursive: true, withFileTypes: true });
      return entries.map(({ parentPath, name }) => join(parentPath, name).slice(store.length + 1)).toSorted();
    },
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}

/** In a bucket of a Ceph Object Gateway, behind two proxies. */
export async function bucketPlace(): Promise<SoakPlace> {
  await using scope = new AsyncDisposableStack();
  const ceph = scope.use(await startCeph());
  const faults = scope.use(await startFaultProxy(ceph.endpoint));
  const network = scope.use(await startCutProxy(Number(new URL(faults.endpoint).port)));
  const bucket = `soak-${randomBytes(6).toString('hex')}`;
  await createBucket(ceph, bucket);
  const options = new URLSearchParams({ endpoint: `http://127.0.0.1:${network.port}`, retrySeconds: '1', stallSeconds: '5' });
  const all = scope.move();
  return {
    address: `s3://${bucket}/exports?${options.toString()}`,
    env: { AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey },
    async fill(dice) {
      let passes = Math.floor(dice.roll() * 10);
      const end = faults.inject({
        when: ({ method, query }) => (method === 'PUT' || (method === 'POST' && !query.has('delete'))) && (passes -= 1) < 0,
        fault: { kind: 'answer', status: 403, code: 'QuotaExceeded' },
      });
      return async () => end();
    },
    async leave(dice) {
      network.cutAfter(Math.floor(dice.roll() * 3 * MIB));
      return async () => network.heal();
    },
    async names() {
      const { body } = await s3Request(ceph, `/${bucket}?list-type=2`);
      const keys = [...body.matchAll(/<Key>exports\/(.*?)<\/Key>/g)].map(([, key = '']) => key);
      return [...keys, ...(await listUnfinishedUploads(ceph, bucket)).map((key) => `upload of ${key}`)].toSorted();
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
