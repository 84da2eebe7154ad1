import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { CephServer, S3Server } from '@gantry/testkit';
import { s3Request } from '@gantry/testkit';

const PAGE = fileURLToPath(new URL('../../../docs/reference/transports/s3.md', import.meta.url));

/** The policy of that name in the documentation. */
export async function documented(name: string): Promise<{ readonly text: string; readonly actions: readonly string[] }> {
  const page = await readFile(PAGE, 'utf8');
  const text = new RegExp(`^\`\`\`json ${name}\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1] ?? '';
  return { text, actions: [...new Set([...text.matchAll(/"(s3:\w+)"/g)].map(([, action = '']) => action))].toSorted() };
}

/** Creates a user for each of some documented policies, who has these rights in a bucket and no others. @returns their keys */
export async function grantRights(ceph: CephServer, bucket: string, names: readonly string[]): Promise<readonly S3Server[]> {
  const users: S3Server[] = [];
  const statements: string[] = [];
  for (const name of names) {
    const user = `user-${name}-${randomBytes(4).toString('hex')}`;
    users.push(await ceph.createUser(user));
    const { text } = await documented(name);
    const own = text
      .replaceAll('BUCKET', bucket)
      .replaceAll('"Effect"', `"Principal": { "AWS": ["arn:aws:iam:::user/${user}"] }, "Effect"`);
    const { Statement }: { readonly Statement: readonly unknown[] } = JSON.parse(own);
    statements.push(...Statement.map((statement) => JSON.stringify(statement)));
  }
  const body = `{ "Version": "2012-10-17", "Statement": [${statements.join(', ')}] }`;
  const answer = await s3Request(ceph, `/${bucket}?policy=`, { method: 'PUT', body });
  if (answer.status !== 204) throw new Error(`cannot set the policy of ${bucket}: ${answer.status} ${answer.body}`);
  return users;
}

/** As the environment of a command. */
export function keysOf({ accessKeyId, secretAccessKey }: S3Server): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
}
