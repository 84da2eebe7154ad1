import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { CutProxy, SshServer } from '@gantry/testkit';
import { startCutProxy, startSshServer } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { openSshStore } from '@gantry/transport-ssh';
import type { Call, FaultPoint, Faults } from './faults.ts';
import { directoryMedium } from './file-place.ts';
import type { Medium } from './place.ts';

/** At how many bytes of all that goes over the network a connection breaks. */
const PLACES = 12;
/** How long a network that has stalled stays so after the operation was cancelled, ms. */
const STALLED_MS = 300;

/** A store on a peer, through a network that breaks at a byte: once, for good, or without a sign. */
export async function sshMedium(): Promise<Medium> {
  await using scope = new AsyncDisposableStack();
  const server = scope.use(await startSshServer());
  const medium = await directoryMedium({ name: 'ssh', openFaulted: (path, faults) => openThrough(server, path, faults), points });
  const owned = scope.move();
  return {
    ...medium,
    [Symbol.asyncDispose]: async () => {
      await medium[Symbol.asyncDispose]();
      await owned.disposeAsync();
    },
  };
}

function points(calls: readonly Call[]): readonly FaultPoint[] {
  return calls.flatMap(({ bytes = 0 }, index) =>
    Array.from({ length: PLACES }, (_, place) => Math.floor((bytes * place) / PLACES)).flatMap((byte) =>
      (['breaks off', 'fails', 'stalls at'] as const).map((kind) => ({ call: index + 1, kind, byte })),
    ),
  );
}

async function openThrough(server: SshServer, path: string, faults: Faults): Promise<Store> {
  const proxy = await startCutProxy(server.port);
  const { call, fault } = faults.next('bytes over the network', 'adds');
  const knownHosts = `${server.directory}/known_hosts-${proxy.port}`;
  await writeFile(knownHosts, `[127.0.0.1]:${proxy.port} ${await readFile(`${server.hostKeyFile}.pub`, 'utf8')}`);
  const url = new URL(server.address(path, { knownHosts, engine: 'ssh2', connectTimeout: '120', stallTimeout: '20' }));
  url.port = String(proxy.port);
  const store = await openSshStore(url, { cwd: '/', warn: () => undefined, env: { ...process.env, SSH_AUTH_SOCK: undefined } });
  const before = proxy.passedBytes;
  if (fault !== undefined) void breakAt(proxy, faults, fault.kind === 'stalls at' ? 'stalls at' : fault.kind, fault.byte);
  return alterStore(store, {
    [Symbol.asyncDispose]: async () => {
      call.bytes = proxy.passedBytes - before;
      await store[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  });
}

async function breakAt(proxy: CutProxy, faults: Faults, kind: FaultPoint['kind'], byte: number): Promise<void> {
  if (kind === 'stalls at') proxy.freezeAfter(byte);
  else proxy.cutAfter(byte);
  await proxy.broken();
  faults.reached('bytes over the network');
  if (kind === 'breaks off') proxy.heal();
  if (kind !== 'stalls at') return;
  faults.cancel();
  setTimeout(() => proxy.cutAfter(0), STALLED_MS);
}
