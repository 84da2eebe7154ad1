import type { DefineRequest } from '@gantry/core/inventory';
import { expect, onTestFinished, test, vi } from 'vitest';
import { clusterWith } from '../test/fake-cluster.ts';
import { GanetiManager } from './manager.ts';

test('what runs is not started, and what is stopped is not stopped again', async () => {
  const running = clusterWith('running', {});
  await new GanetiManager(running.cluster).start('web1');
  const stopped = clusterWith('ADMIN_down', {});
  await new GanetiManager(stopped.cluster).stop('web1', { timeoutMs: 1000 });
  expect([running.calls, stopped.calls]).toEqual([[], []]);
});

test('a guest that does not shut down in time is not powered off by then', async () => {
  const { cluster, calls } = clusterWith('running', { status: 'running' });
  await expect(new GanetiManager(cluster).stop('web1', { timeoutMs: 100 })).rejects.toMatchObject({
    code: 'failed',
    message: expect.stringMatching(/^job 7 to shut web1\.example\.com down .* is not finished after 0\.1 s: it is running$/),
  });
  expect(calls).toEqual(['stop web1.example.com 840', 'cancel 7']);
});

test('a start that waits for locks of another job is given up', async () => {
  const { cluster, calls } = clusterWith('ADMIN_down', { status: 'waiting' });
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  const job: typeof cluster.job = async (id) => {
    now += 10 * 60 * 1000;
    return await cluster.job(id);
  };
  await expect(new GanetiManager({ ...cluster, job }).start('web1')).rejects.toMatchObject({
    code: 'failed',
    message: 'job 7 to start web1.example.com is not finished after 900 s: it waits for locks of another job',
  });
  expect(calls).toEqual(['start web1.example.com', 'cancel 7']);
});

test('a job that succeeds without an effect is not taken for one', async () => {
  const { cluster } = clusterWith('ERROR_down', {});
  await expect(new GanetiManager(cluster).start('web1')).rejects.toMatchObject({
    code: 'failed',
    message: 'web1.example.com is not running, although the job of the cluster succeeded: it is stopped',
  });
  const down = clusterWith('ERROR_nodedown', {});
  await expect(new GanetiManager(down.cluster).stop('web1', { timeoutMs: 1000 })).rejects.toThrow('its node does not say');
});

test('Ganeti neither takes disks that are there, nor forgets an instance without its disks', async () => {
  const { cluster, calls } = clusterWith('ADMIN_down', {});
  const manager = new GanetiManager(cluster);
  const instance: DefineRequest['instance'] = {
    name: 'new.example.com',
    os: 'raw',
    hypervisor: 'kvm',
    primary_node: 'node1',
    secondary_nodes: [],
    tags: [],
    disks: [],
    nics: [],
    osparams: {},
    osparams_private: {},
    beparams: {},
    hvparams: {},
  };
  const request: DefineRequest = { instance, native: [], newIdentity: false };
  for (const call of [manager.checkDefine(request), manager.define(request)])
    await expect(call).rejects.toMatchObject({ code: 'failed', hint: expect.stringContaining('gantry import') });
  await expect(manager.undefine('web1')).rejects.toMatchObject({
    code: 'failed',
    hint: expect.stringContaining('gnt-instance remove web1.example.com'),
  });
  expect(calls).toEqual([]);
});
