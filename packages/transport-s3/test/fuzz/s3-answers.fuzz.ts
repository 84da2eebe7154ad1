import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { assertKey, StoreError } from '@gantry/transport';
import { serve } from '../serve.ts';

let answer = '';
let opened: Promise<Store> | undefined;

/** With these a client waits for what does not come: `stalls.test.ts` and `faults.test.ts` are about that. */
const LEFT_OUT: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'connection', 'upgrade', 'trailer']);

/** Answers everything with status, headers and body of the current input. */
async function openStore(): Promise<Store> {
  const server = await serve((_request, response) => {
    const [head = '', body = ''] = splitOnce(answer, '\n\n');
    const [status = '', ...headers] = head.split('\n');
    for (const header of headers) {
      const [name = '', value = ''] = splitOnce(header, ':');
      try {
        if (!LEFT_OUT.has(name.toLowerCase())) response.setHeader(name, value);
      } catch {
        // Node sends no such header.
      }
    }
    const code = Number(status);
    response.writeHead(Number.isInteger(code) && code >= 200 && code <= 599 ? code : 200).end(body);
  });
  const parameters = new URLSearchParams({
    endpoint: server.endpoint,
    region: 'x',
    conditionalWrites: 'full',
    retrySeconds: '0',
    stallSeconds: '2',
  });
  const { openS3Store } = await loadTransport();
  return await openS3Store(new URL(`s3://backups/exports?${parameters.toString()}`), {
    cwd: '/',
    env: { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' },
    warn: () => undefined,
  });
}

/** Before a try is repeated, a random part of a time passes: here none. */
async function loadTransport(): Promise<typeof import('../../src/index.ts')> {
  const { random } = Math;
  Math.random = () => 0;
  try {
    return await import('../../src/index.ts');
  } finally {
    Math.random = random;
  }
}

function splitOnce(text: string, by: string): readonly string[] {
  const at = text.indexOf(by);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + by.length)];
}

const XML = '200\ncontent-type: application/xml\n\n<?xml version="1.0"?>\n';
const object = (key: string): string =>
  `<Contents><Key>${key}</Key><Size>5</Size><LastModified>2026-11-23T08:15:00.000Z</LastModified></Contents>`;

/** What a service of S3 answers: listings, objects, errors. A listing names only valid keys. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    `${XML}<ListBucketResult><Name>backups</Name><EncodingType>url</EncodingType>${object('exports/web1/a')}${object('exports/web1/b%2B')}<IsTruncated>false</IsTruncated></ListBucketResult>`,
    `${XML}<ListBucketResult><Name>backups</Name>${object('exports/a')}<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>`,
    `${XML}<ListMultipartUploadsResult><Bucket>backups</Bucket><IsTruncated>false</IsTruncated><Upload><Key>exports/a</Key><UploadId>u</UploadId><Initiated>2026-11-23T08:15:00.000Z</Initiated></Upload></ListMultipartUploadsResult>`,
    '404\ncontent-type: application/xml\n\n<Error><Code>NoSuchKey</Code><Message>no</Message></Error>',
    '403\ncontent-type: text/html\n\n<html>no</html>',
    '200\netag: "0123456789abcdef0123456789abcdef"\nlast-modified: Mon, 23 Nov 2026 08:15:00 GMT\ncontent-range: bytes 0-4/5\n\nhello',
    '206\netag: "x"\nlast-modified: Mon, 23 Nov 2026 08:15:00 GMT\ncontent-range: bytes 0-4/5\n\nhello',
  ],
  words: [
    '<Contents>',
    '</Contents>',
    '<Key>',
    '<Size>',
    '<IsTruncated>true</IsTruncated>',
    '<!DOCTYPE a [<!ENTITY b "c">]>',
    '&b;',
    '<Code>',
    'content-range: bytes ',
  ],
  oneOf: 10,
  async run(text) {
    answer = text;
    const store = await (opened ??= openStore());
    const { signal } = new AbortController();
    let left = 100;
    await refusing(async () => {
      for await (const { key, size, modified } of store.list('', { signal })) {
        assertKey(key);
        if (Number.isNaN(modified.getTime()) || !(size >= 0)) throw new Error(`${key} has ${size} bytes since ${modified.getTime()}`);
        if ((left -= 1) === 0) break;
      }
    });
    await refusing(async () => {
      const { size } = await store.stat('web1/a', { signal });
      if (!(size >= 0)) throw new Error(`${size} bytes`);
    });
    await refusing(async () => {
      await using source = await store.read('web1/a', { signal });
      for await (const _chunk of source) if ((left -= 1) < -100) break;
    });
    await refusing(async () => {
      for await (const { key } of store.pending('', { signal })) {
        assertKey(key);
        if ((left -= 1) < -200) break;
      }
    });
  },
});

export default target;

async function refusing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    assertRefusal(error, (each) => each instanceof StoreError);
  }
}
