import { writeFile } from 'node:fs/promises';
import { makeRandomFile, oneIn, startSilentServer, startSshServer } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { ok } from './three-disks.ts';
import type { Workbench } from './workbench.ts';
import { makeWorkbench, waitForFile } from './workbench.ts';

/* A peer that is silent, from the start or suddenly: every wait times out with an error that says so, and nothing is left here. */

const MIB = 1024 * 1024;

/** Makes a script wait until the test has frozen the peer. */
const WAIT = 'touch "$PWD/reached"; until [ -e "$PWD/frozen" ]; do sleep 0.1; done';

async function freezeWhenReached(bench: Workbench, freeze: () => Promise<void>): Promise<void> {
  await waitForFile(bench.file('os', 'waiting', 'reached'));
  await freeze();
  await writeFile(bench.file('os', 'waiting', 'frozen'), '');
}

describe.each(oneIn(2, ['openssh', 'ssh2']))('a peer, by %s,', (engine) => {
  test('that accepts connections and stays silent', async () => {
    await using bench = await makeWorkbench();
    await using silent = await startSilentServer();
    await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const peer = `ssh://127.0.0.1:${silent.port}`;
    const options = `?config=none&engine=${engine}&connectTimeout=1`;
    const store = `${peer}/store${options}`;
    for (const args of [
      ['export', instance, store],
      ['import', store, 'web1.example.com', '--to', instance],
    ]) {
      const outcome = await bench.gantry(...args);
      expect(outcome.exitCode, outcome.stderr).toBe(8);
      expect(outcome.stderr).toMatch(/accepts connections, but did not answer.*STORE_UNAVAILABLE/s);
    }
    const moved = await bench.gantry('move', instance, `${peer}${options}`, '--to', instance);
    expect(moved.exitCode, moved.stderr).toBe(12);
    expect(moved.stderr).toMatch(/accepts connections, but did not answer.*PEER_UNAVAILABLE/s);
    expect(await bench.journal()).toEqual([]);
  });

  test('whose receiver stays silent', async () => {
    await using bench = await makeWorkbench();
    await using mute = await startSshServer({ config: ['ForceCommand exec sleep 1000'] });
    await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const outcome = await bench.gantry('move', instance, mute.address('', { engine }), '--to', instance, '--peer-timeout', '1');
    expect(outcome.exitCode, outcome.stderr).toBe(12);
    expect(outcome.stderr).toMatch(/nothing came from ssh:\S+ for 1 s.*PEER_STALLED/s);
    expect(await bench.journal()).toEqual([]);
  });

  test('that freezes during an export', async () => {
    await using bench = await makeWorkbench();
    await using peer = await startSshServer();
    await bench.defineOs('waiting', { export: `head -c 3000000 /dev/urandom; ${WAIT}; exec cat /dev/urandom`, import: 'cat >/dev/null' });
    await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
    const instance = await bench.describeInstance('web1.example.com', { os: 'waiting', disks: ['disk.img'] });
    const running = bench.start('export', instance, peer.address(bench.file('peer'), { engine, stallTimeout: '2', connectTimeout: '2' }));
    await freezeWhenReached(bench, () => peer.freeze());
    const outcome = await running.outcome;
    expect(outcome.exitCode, outcome.stderr).toBe(8);
    expect(outcome.stderr).toMatch(/no byte passed for 2 s.*STORE_UNAVAILABLE/s);
    expect(await bench.journal()).toEqual([]);
  });

  test('that freezes during an import', async () => {
    await using bench = await makeWorkbench();
    await using peer = await startSshServer();
    await bench.defineOs('waiting', { export: 'exec cat "$DISK_0_PATH"', import: `head -c 1000 >/dev/null; ${WAIT}; exec cat >/dev/null` });
    await makeRandomFile(bench.file('disk.img'), 64 * MIB, 'disk');
    const instance = await bench.describeInstance('web1.example.com', { os: 'waiting', disks: ['disk.img'] });
    const store = peer.address(bench.file('peer'), { engine, stallTimeout: '2', connectTimeout: '2' });
    const reference = await ok(bench.gantry('export', instance, store));
    const running = bench.start('import', store, reference, '--to', instance);
    await freezeWhenReached(bench, () => peer.freeze());
    const outcome = await running.outcome;
    expect(outcome.exitCode, outcome.stderr).toBe(8);
    expect(outcome.stderr).toMatch(/no byte passed for 2 s.*STORE_UNAVAILABLE/s);
    expect(await bench.journal()).toEqual([]);
  });
});
