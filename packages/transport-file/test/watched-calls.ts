import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

/** The system calls that decide what survives a power cut: `fsync PATH`, `fdatasync PATH`, `link PATH`, `rename PATH`, `unlink PATH`. */
export interface WatchedCalls extends AsyncDisposable {
  readonly steps: string[];
}

/**
 * Records the calls of this process from now on. Paths are relative to `root`, without random names.
 *
 * @param fail which of them fail with EIO and do nothing
 */
export async function watchCalls(root: string, fail: (step: string, nth: number) => boolean = () => false): Promise<WatchedCalls> {
  const steps: string[] = [];
  const note = (call: string, path: string): void => {
    const step = `${call} ${shown(root, path)}`;
    steps.push(step);
    if (fail(step, steps.length)) throw Object.assign(new Error(`EIO: ${step}`), { code: 'EIO', errno: -5, syscall: call });
  };
  await using handle = await fs.promises.open('/proc/self/exe');
  const undo = [
    replaceMethod(Object.getPrototypeOf(handle), 'sync', (self) => note('fsync', pathOf(self))),
    replaceMethod(Object.getPrototypeOf(handle), 'datasync', (self) => note('fdatasync', pathOf(self))),
    replaceMethod(fs.promises, 'link', (_self, args) => note('link', real(args[1]))),
    replaceMethod(fs.promises, 'rename', (_self, args) => note('rename', real(args[1]))),
    replaceMethod(fs.promises, 'unlink', (_self, args) => note('unlink', real(args[0]))),
  ];
  syncBuiltinESMExports();
  return {
    steps,
    [Symbol.asyncDispose]: async () => {
      for (const each of undo) each();
      syncBuiltinESMExports();
    },
  };
}

function replaceMethod(target: object, name: string, before: (self: unknown, args: readonly unknown[]) => void): () => void {
  const method: unknown = Reflect.get(target, name);
  if (typeof method !== 'function') throw new TypeError(`no method ${name}`);
  Reflect.set(
    target,
    name,
    new Proxy(method, {
      apply: async (call, self, args) => {
        before(self, args);
        return Reflect.apply(call, self, args);
      },
    }),
  );
  return () => void Reflect.set(target, name, method);
}

function pathOf(handle: unknown): string {
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) throw new TypeError('not a file handle');
  return fs.readlinkSync(`/proc/self/fd/${String(handle.fd)}`);
}

/** The real path of `/proc/self/fd/N/NAME`. */
function real(path: unknown): string {
  const text = String(path);
  const [, fd, rest = ''] = /^\/proc\/self\/fd\/(\d+)(.*)$/.exec(text) ?? [];
  return fd === undefined ? text : `${fs.readlinkSync(`/proc/${process.pid}/fd/${fd}`)}${rest}`;
}

function shown(root: string, path: string): string {
  return path
    .replace(root, '.')
    .replace(/new-[^/]*/, 'new')
    .replace(/[0-9a-f]{32}/, 'TOKEN')
    .replace(/-[0-9a-f]{16}/, '');
}
