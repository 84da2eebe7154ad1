import { writeFile } from 'node:fs/promises';
import type { PeerChannel } from '@gantry/transport';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { LiveRequest } from '../src/flow/live-request.ts';
import { loadInstanceFile } from '../src/instances/load-instance-file.ts';
import type { MoveRequest, MoveResult } from '../src/operations/move.ts';
import { moveInstance } from '../src/operations/move.ts';
import type { ReceiveResult } from '../src/operations/receive.ts';
import { receiveInstance } from '../src/operations/receive.ts';
import { GantryError } from '../src/report/errors.ts';
import type { GantryEvent } from '../src/report/events.ts';
import type { ChannelPair } from './peer/channel-pair.ts';
import { channelPair } from './peer/channel-pair.ts';

/** An instance described in `here.yaml`, and its target in `there.yaml`. Their disks do not exist yet: `here.img` and `there.img`, then `here-1.img` and so on. */
export interface LiveBench extends AsyncDisposable {
  readonly here: string;
  readonly there: string;
  /** Moves in rounds; the channel is new each time. */
  move(live: Partial<LiveRequest>, more?: Partial<MoveRequest> & { readonly cutAtCommit?: boolean }): Promise<LiveOutcome>;
  readonly file: (...names: readonly string[]) => string;
  /** Of the move that is under way. */
  pair(): ChannelPair;
}

interface LiveOutcome {
  readonly source: PromiseSettledResult<MoveResult>;
  readonly receiver: PromiseSettledResult<ReceiveResult>;
  readonly events: readonly GantryEvent[];
}

export async function makeLiveBench(disks = 1): Promise<LiveBench> {
  const directory = await makeTemporaryDirectory();
  const file: LiveBench['file'] = (...names) => directory.file(...names);
  for (const side of ['here', 'there']) {
    const list = Array.from({ length: disks }, (_, index) => `  - path: ${side}${index === 0 ? '' : `-${index}`}.img\n`).join('');
    await writeFile(file(`${side}.yaml`), `name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks:\n${list}`);
  }
  let pair = channelPair();
  return {
    here: file('here.img'),
    there: file('there.img'),
    file,
    pair: () => pair,
    async move(live, { cutAtCommit = false, ...more } = {}) {
      pair = channelPair();
      const events: GantryEvent[] = [];
      const receiving = closing(
        pair.receiver,
        receiveInstance({
          channel: pair.receiver,
          cwd: directory.path,
          stateDirectory: file('state-there'),
          osSearchPath: [directory.path],
        }),
      );
      const sending = closing(
        pair.source,
        moveInstance({
          instance: await loadInstanceFile(file('here.yaml')),
          peer: cutAtCommit ? cuttingAtCommit(pair) : pair.source,
          to: 'there.yaml',
          yes: true,
          snapshot: 'none',
          stateDirectory: file('state'),
          live: { rounds: 3, stillness: { kind: 'stopped' }, ...live },
          ...more,
          onEvent: (event) => {
            events.push(event);
            more.onEvent?.(event);
          },
        }),
      );
      const [source, receiver] = await Promise.allSettled([sending, receiving]);
      return { source, receiver, events };
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** What comes of `work`, with the channel closed as soon as it does. */
async function closing<T>(channel: PeerChannel, work: Promise<T>): Promise<T> {
  await using _ = channel;
  return await work;
}

/** The error that one side failed with. */
export function failureOf(result: PromiseSettledResult<unknown>): GantryError {
  if (result.status === 'rejected' && result.reason instanceof GantryError) return result.reason;
  throw new Error('no GantryError', { cause: result });
}

/** The source's end of a channel that breaks when it has said "commit". */
function cuttingAtCommit({ source, sourceStream }: ChannelPair): PeerChannel {
  return {
    ...source,
    write: async (parts, options) => {
      await source.write(parts, options);
      if (Buffer.concat(parts).includes('"kind":"commit"')) sourceStream.destroy();
    },
  };
}
