import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expectBytes, expectEqual } from './expect.ts';

export const writing: readonly Check[] = [
  {
    title: 'an object comes back as it was written, to another connection too',
    check: async (room) => {
      const bytes = bytesOf(100_000, 1);
      await room.write('disk0.zst', bytes);
      expectBytes(await room.read('disk0.zst'), bytes, 'the object');
      expectBytes(await room.read('disk0.zst', {}, await room.another()), bytes, 'the object, by another connection');
    },
  },
  {
    title: 'an object may be empty',
    check: async (room) => {
      await room.write('empty', Buffer.alloc(0));
      expectEqual((await room.store.stat(room.key('empty'))).size, 0, 'its size');
      expectBytes(await room.read('empty'), Buffer.alloc(0), 'the empty object');
      expectEqual(await room.names(), ['empty'], 'the listing');
    },
  },
  {
    title: 'an object of 9 MiB in odd pieces, in two appends, comes back whole',
    check: async (room) => {
      const bytes = bytesOf(9 * MiB + 17, 2);
      const half = 4 * MiB + 3;
      await using pending = await room.begin('odd', { expectedBytes: 5 });
      await pending.append(inPieces(bytes.subarray(0, half), 1, 65_537, 0, MiB + 1, 4_095));
      await pending.append(inPieces(bytes.subarray(half), 3 * MiB, 7, 1_000_003));
      await pending.commit(digestOf(bytes));
      expectBytes(await room.read('odd'), bytes, 'the object');
    },
  },
  {
    title: 'nothing can be seen before commit',
    check: async (room) => {
      const bytes = bytesOf(300_000, 3);
      await using pending = await room.begin('early');
      await room.expectAbsent('early', 'after begin');
      await pending.append(inPieces(bytes, 64 * 1024));
      await room.expectAbsent('early', 'after append');
      await pending.commit(digestOf(bytes));
      expectEqual(await room.names(await room.another()), ['early'], 'the listing after commit');
    },
  },
  {
    title: 'several objects can be written at once',
    check: async (room) => {
      const other = await room.another();
      const names = ['x/1', 'x/2', 'x/y/3', 'x/y/4', 'z/5', '6'];
      await Promise.all(
        names.map((name, index) => room.write(name, bytesOf(200_000 + index, index), {}, index % 2 === 0 ? room.store : other)),
      );
      for (const [index, name] of names.entries()) expectBytes(await room.read(name), bytesOf(200_000 + index, index), name);
    },
  },
  {
    title: 'objects can be written where others are removed at the same time',
    check: async (room) => {
      const other = await room.another();
      for (let round = 0; round < 8; round += 1) {
        const [gone, comes] = [`shared/${round}`, `shared/${round + 1}`];
        await room.write(gone, bytesOf(10, round), { ifExists: 'replace' });
        await Promise.all([other.remove([room.key(gone)]), room.write(comes, bytesOf(20, round))]);
        expectBytes(await room.read(comes), bytesOf(20, round), `round ${round}`);
      }
    },
  },
  {
    title: 'the capabilities are the same for every connection, and make sense',
    check: async (room) => {
      const { capabilities, address } = room.store;
      const other = await room.another();
      expectEqual(other.capabilities, capabilities, 'the capabilities of another connection');
      expectEqual(other.address, address, 'the address of another connection');
      expectEqual(capabilities.maxObjectBytes > 0, true, 'maxObjectBytes is more than 0');
    },
  },
];
