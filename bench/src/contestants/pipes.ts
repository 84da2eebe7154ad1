import type { Contestant } from '../contestant.ts';
import { quote } from '../contestant.ts';

function pipe(name: string, pack: string, unpack: string, { note, once = false }: Pick<Contestant, 'note' | 'once'> = {}): Contestant {
  return {
    name,
    once,
    ...(note === undefined ? {} : { note }),
    export: ({ disk }) => `cat ${quote(disk)} | ${pack} >stream`,
    import: ({ target }) => `${unpack} <stream | cat >${quote(target)}`,
  };
}

/** Pipes as administrators write them: without checksum and manifest, and not durable unless the name says so. */
export const PIPES: readonly Contestant[] = [
  pipe('script | zstd -3 -T0', 'zstd -q -3 -T0 -c', 'zstd -q -dc'),
  {
    name: 'script | zstd -3 -T0, and sync',
    note: 'made durable, as Gantry does',
    export: ({ disk }) => `cat ${quote(disk)} | zstd -q -3 -T0 -c >stream && sync stream`,
    import: ({ target }) => `zstd -q -dc <stream | cat >${quote(target)} && sync ${quote(target)}`,
  },
  pipe('script | pigz', 'pigz -c', 'pigz -dc', { once: true }),
  pipe('script | gzip -1', 'gzip -1 -c', 'gzip -dc', { once: true }),
  pipe('script > file', 'cat', 'cat', { note: 'no compression' }),
  {
    name: 'script > file, and sync',
    note: 'no compression, made durable, as Gantry does',
    export: ({ disk }) => `cat ${quote(disk)} >stream && sync stream`,
    import: ({ target }) => `cat <stream >${quote(target)} && sync ${quote(target)}`,
  },
];
