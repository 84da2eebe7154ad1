import { X509Certificate } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { DiskSender } from '../disk-sender.ts';

/* Sends zeros without end, to be killed. What it needs comes as JSON on its standard input; it writes a line when data is under way. */

const input = z
  .object({
    address: z.object({ host: z.string(), port: z.number(), magic: z.string() }),
    identity: z.object({ key: z.string(), certificate: z.string() }),
    peer: z.string(),
  })
  .parse(JSON.parse(await text(process.stdin)));

const { signal } = new AbortController();
const sender = await DiskSender.connect(input.address, { identity: input.identity, peer: new X509Certificate(input.peer), signal });

async function* zeros() {
  for (let sent = 0; ; sent += 1) {
    yield await Promise.resolve({ zeros: 1024 * 1024 });
    if (sent === 5) process.stdout.write('under way\n');
  }
}

await sender.send(zeros());
