import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { get, put, sampleHeader } from '../../test/sample-export.ts';
import { claimExport, takeOverClaim } from './claim.ts';
import { exportPrefix } from './export-id.ts';
import { CLAIM_FILE } from './layout.ts';

test('a claim is taken over only while it is still that of the dead run', async () => {
  const store = new MemoryStore();
  const request = { ...sampleHeader, started: new Date(sampleHeader.started) };
  const { id, text: dead } = await claimExport(store, request, {});
  const key = `${exportPrefix(request.instance, id)}${CLAIM_FILE}`;
  await put(store, key, 'the claim of another run');
  expect(await takeOverClaim(store, id, { dead, request }, {})).toBeUndefined();
  expect(await get(store, key)).toBe('the claim of another run');
  await put(store, key, dead);
  const taken = await takeOverClaim(store, id, { dead, request: { ...request, runId: 'another' } }, {});
  expect(taken).toMatchObject({ id });
  expect(await get(store, key)).not.toBe(dead);
});
