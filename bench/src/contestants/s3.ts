import type { S3Server } from '@gantry/testkit';
import type { Contestant } from '../contestant.ts';
import { quote } from '../contestant.ts';
import { RAW, gantry } from './gantry.ts';

/** Clients of one bucket. The figures for processor and memory do not include the service. */
export function s3Contestants(server: S3Server, bucket: string): readonly Contestant[] {
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_DEFAULT_REGION: 'us-east-1' };
  const rclone = {
    RCLONE_CONFIG: '/dev/null',
    // rclone 1.60 does not start if it is set.
    AWS_CA_BUNDLE: '',
    RCLONE_CONFIG_S3_TYPE: 's3',
    RCLONE_CONFIG_S3_PROVIDER: 'Ceph',
    RCLONE_CONFIG_S3_ENDPOINT: endpoint,
    RCLONE_CONFIG_S3_ACCESS_KEY_ID: accessKeyId,
    RCLONE_CONFIG_S3_SECRET_ACCESS_KEY: secretAccessKey,
  };
  const { host } = new URL(endpoint);
  const s3cmd = `s3cmd -q --no-ssl --host=${host} --host-bucket=${host} --access_key="$AWS_ACCESS_KEY_ID" --secret_key="$AWS_SECRET_ACCESS_KEY"`;
  const aws = `/usr/bin/aws --endpoint-url ${endpoint}`;
  const packed = (disk: string): string => `cat ${quote(disk)} | zstd -q -3 -T0 -c`;
  const restic = { ...keys, RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: 'cache', RESTIC_PROGRESS_FPS: '0' };
  const repository = (own: string): string => quote(`s3:${endpoint}/${bucket}/restic-${own.split('/').at(-1)}`);
  const store = (): string => quote(`s3://${bucket}/gantry?${new URLSearchParams({ endpoint }).toString()}`);
  return [
    {
      name: 'zstd | aws s3 cp -',
      environment: keys,
      export: ({ disk, bytes }) => `${packed(disk)} | ${aws} s3 cp --quiet --expected-size ${bytes} - s3://${bucket}/aws`,
      import: ({ target }) => `${aws} s3 cp --quiet s3://${bucket}/aws - | zstd -q -dc >${quote(target)}`,
    },
    {
      name: 'zstd | rclone rcat',
      environment: rclone,
      export: ({ disk }) => `${packed(disk)} | rclone rcat s3:${bucket}/rclone`,
      import: ({ target }) => `rclone cat s3:${bucket}/rclone | zstd -q -dc >${quote(target)}`,
    },
    {
      name: 'zstd | s3cmd put -',
      environment: keys,
      export: ({ disk }) => `${packed(disk)} | ${s3cmd} put - s3://${bucket}/s3cmd`,
      import: ({ target }) => `${s3cmd} get --force s3://${bucket}/s3cmd - | zstd -q -dc >${quote(target)}`,
    },
    {
      name: 'restic backup --stdin',
      note: 'a new repository each time',
      environment: restic,
      prepare: ({ own }) =>
        `${aws} s3 rm --quiet --recursive s3://${bucket}/restic-${own.split('/').at(-1)}; restic -r ${repository(own)} init -q`,
      export: ({ disk, own }) => `cat ${quote(disk)} | restic -r ${repository(own)} backup -q --stdin --stdin-filename disk`,
      import: ({ target, own }) => `restic -r ${repository(own)} dump -q latest disk >${quote(target)}`,
    },
    gantry({ name: 'gantry', os: 'cat', note: 'every part with a digest that the service verifies', store, environment: keys }),
    gantry({ name: 'gantry raw', os: 'raw', note: RAW, store, environment: keys }),
  ];
}
