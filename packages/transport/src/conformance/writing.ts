import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expectBytes, expectEqual } from './expect.ts';

export const writing: readonly Check[] = [
  {
    title: 'an object is read as it was written, by another connection too',
    check: async (fixture) => {
      const bytes = bytesOf(100_000, 1);
      await fixture.write('disk0.zst', bytes);
      expectBytes(await fixture.read('disk0.zst'), bytes, 'the object');
      expectBytes(await fixture.read('disk0.zst', {}, await fixture.another()), bytes, 'the object, by another connection');
    },
  },
  {
    title: 'an object may be empty',
    check: async (fixture) => {
      await fixture.write('empty', Buffer.alloc(0));
      expectEqual((await fixture.store.stat(fixture.key('empty'))).size, 0, 'its size');
      expectBytes(await fixture.read('empty'), Buffer.alloc(0), 'the empty object');
      expectEqual(await fixture.names(), ['empty'], 'the listing');
    },
  },
  {
    title: 'an object of 9 MiB in odd pieces, in two appends, is read completely',
    check: async (fixture) => {
      const bytes = bytesOf(9 * MiB + 17, 2);
      const half = 4 * MiB + 3;
      await using pending = await fixture.begin('odd', { expectedBytes: 5 });
      await pending.append(inPieces(bytes.subarray(0, half), 1, 65_537, 0, MiB + 1, 4_095));
      await pending.append(inPieces(bytes.subarray(half), 3 * MiB, 7, 1_000_003));
      await pending.commit(digestOf(bytes));
      expectBytes(await fixture.read('odd'), bytes, 'the object');
    },
  },
  {
    title: 'nothing is visible before commit',
    check: async (fixture) => {
      const bytes = bytesOf(300_000, 3);
      await using pending = await fixture.begin('early');
      await fixture.expectAbsent('early', 'after begin');
      await pending.append(inPieces(bytes, 64 * 1024));
      await fixture.expectAbsent('early', 'after append');
      await pending.commit(digestOf(bytes));
      expectEqual(await fixture.names(await fixture.another()), ['early'], 'the listing after commit');
    },
  },
  {
    title: 'several objects can be written in parallel',
    check: async (fixture) => {
      const other = await fixture.another();
      const names = ['x/1', 'x/2', 'x/y/3', 'x/y/4', 'z/5', '6'];
      await Promise.all(
        names.map((name, index) => fixture.write(name, bytesOf(200_000 + index, index), {}, index % 2 === 0 ? fixture.store : other)),
      );
      for (const [index, name] of names.entries()) expectBytes(await fixture.read(name), bytesOf(200_000 + index, index), name);
    },
  },
  {
    title: 'objects can be written where others are removed at the same time',
    check: async (fixture) => {
      const other = await fixture.another();
      for (let round = 0; round < 8; round += 1) {
        const [gone, comes] = [`shared/${round}`, `shared/${round + 1}`];
        await fixture.write(gone, bytesOf(10, round), { ifExists: 'replace' });
        await Promise.all([other.remove([fixture.key(gone)]), fixture.write(comes, bytesOf(20, round))]);
        expectBytes(await fixture.read(comes), bytesOf(20, round), `round ${round}`);
      }
    },
  },
  {
    title: 'the capabilities are valid, and the same for every connection',
    check: async (fixture) => {
      const { capabilities, address } = fixture.store;
      const other = await fixture.another();
      expectEqual(other.capabilities, capabilities, 'the capabilities of another connection');
      expectEqual(other.address, address, 'the address of another connection');
      expectEqual(capabilities.maxObjectBytes > 0, true, 'maxObjectBytes is more than 0');
    },
  },
];
