import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { beforeAll, describe, expect, test } from 'vitest';
import { PATIENTLY } from '../patience.ts';
import { ganetiBase } from './base.ts';
import { startGanetiCluster } from './cluster.ts';

// The base system may have to be made first.
beforeAll(ganetiBase, 1_800_000);

describe('a Ganeti cluster', () => {
  test('has two nodes, answers RAPI inside and outside of its network, and is gone when it is disposed', async () => {
    const cluster = await startGanetiCluster();
    try {
      const nodes = await cluster.master.run('gnt-node', 'list', '--no-headers', '-o', 'name,role');
      expect(nodes.split('\n').map((line) => line.trim().split(/\s+/))).toEqual([
        ['node1.example.com', 'M'],
        ['node2.example.com', 'C'],
      ]);
      const ask = ['curl', '--silent', '--insecure', '--user', `${cluster.rapi.user}:${cluster.rapi.password}`];
      const outside = await execa('curl', [...ask.slice(1), `https://127.0.0.1:${cluster.rapi.port}/2/info`]);
      expect(JSON.parse(outside.stdout)).toMatchObject({ name: 'gnt.example.com', software_version: '3.0.2' });
      const [enter, ...enterArgs] = cluster.enter;
      const inside = await execa(enter, [...enterArgs, ...ask, `${cluster.rapi.url}/2/instances`]);
      expect(JSON.parse(inside.stdout)).toEqual([]);
    } finally {
      await cluster[Symbol.asyncDispose]();
    }
    await expect(cluster.master.run('true')).rejects.toThrow(/nsenter/);
  });

  test('ends with the process that started it, even if that is killed', async () => {
    const program = `
      const { startGanetiCluster } = await import(${JSON.stringify(module('cluster.ts'))});
      const { processTree } = await import(${JSON.stringify(module('../servers/process-tree.ts'))});
      await startGanetiCluster();
      console.log(...(await processTree(process.pid)));`;
    const args = ['--conditions=@gantry/source', '--input-type=module', '--eval', program];
    const child = execa(process.execPath, args, { reject: false, stdin: 'ignore' });
    try {
      const [line] = await once(createInterface(child.stdout), 'line');
      const tree = String(line).split(' ').map(Number);
      expect(tree.length).toBeGreaterThan(10);
      child.kill('SIGKILL');
      await child;
      await expect.poll(() => tree.filter(isAlive), PATIENTLY).toEqual([]);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

function module(path: string): string {
  return new URL(path, import.meta.url).href;
}

/** A zombie has no memory any more. */
function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/statm`, 'utf8') !== '0 0 0 0 0 0 0\n';
  } catch {
    return false;
  }
}
