import { execFile } from 'node:child_process';
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { promisify } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { loadInstanceFile } from './load-instance-file.ts';

const least = 'name: web1.example.com\nos: raw\nhypervisor: kvm\n';

test('a YAML file: paths count from its directory, the primary node is this host', async () => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('web1.yaml'), `# the web server\n${least}disks:\n  - path: web1-0.img\n    size: 64\n`);
  expect(await loadInstanceFile(scratch.file('web1.yaml'))).toMatchObject({
    name: 'web1.example.com',
    primary_node: hostname(),
    disks: [{ path: scratch.file('web1-0.img'), size: 64, access: 'rw' }],
  });
});

test('a JSON file says the same', async () => {
  await using scratch = await makeTemporaryDirectory();
  const document = {
    name: 'web1.example.com',
    os: 'raw',
    hypervisor: 'kvm',
    disks: [{ path: 'a.img', size: 64 }],
    osparams: { count: 5, on: true },
  };
  await writeFile(scratch.file('web1.json'), JSON.stringify(document, null, '\t'));
  expect(await loadInstanceFile(scratch.file('web1.json'), { hostName: 'node1' })).toMatchObject({
    primary_node: 'node1',
    disks: [{ path: scratch.file('a.img'), size: 64 }],
    osparams: { count: '5', on: 'true' },
  });
});

test('a byte order mark, as some editors write it, is passed over', async () => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('web1.yaml'), `\uFEFF${least}`);
  expect(await loadInstanceFile(scratch.file('web1.yaml'))).toMatchObject({ name: 'web1.example.com' });
});

describe('a file that cannot be used', () => {
  test('is not there', async () => {
    const loading = loadInstanceFile('/nonexistent/web1.yaml');
    await expect(loading).rejects.toMatchObject({
      code: 'INSTANCE_FILE_UNREADABLE',
      message: expect.stringMatching(/\.yaml: no such file or directory$/),
    });
  });

  test('is a directory, or a device that never ends', async () => {
    await using scratch = await makeTemporaryDirectory();
    await mkdir(scratch.file('web1.yaml'));
    await symlink('/dev/zero', scratch.file('web2.yaml'));
    for (const name of ['web1.yaml', 'web2.yaml']) {
      const loading = loadInstanceFile(scratch.file(name));
      await expect(loading).rejects.toMatchObject({
        code: 'INSTANCE_FILE_UNREADABLE',
        message: expect.stringContaining('it is not a regular file'),
      });
    }
  });

  test('may not be read', async () => {
    await using scratch = await makeTemporaryDirectory();
    await writeFile(scratch.file('web1.yaml'), least, { mode: 0o600 });
    process.seteuid?.(65_534);
    try {
      await expect(loadInstanceFile(scratch.file('web1.yaml'))).rejects.toMatchObject({
        code: 'INSTANCE_FILE_UNREADABLE',
        message: expect.stringMatching(/: permission denied$/),
      });
    } finally {
      process.seteuid?.(0);
    }
  });

  test('is larger than any instance file, though it may be sparse', async () => {
    await using scratch = await makeTemporaryDirectory();
    await writeFile(scratch.file('web1.yaml'), least);
    await truncate(scratch.file('web1.yaml'), 1024 ** 4);
    const loading = loadInstanceFile(scratch.file('web1.yaml'));
    await expect(loading).rejects.toMatchObject({
      code: 'INSTANCE_FILE_UNREADABLE',
      message: expect.stringContaining('larger than 1 MiB'),
    });
  });

  test('is a named pipe that nobody writes to', async () => {
    await using scratch = await makeTemporaryDirectory();
    await promisify(execFile)('mkfifo', [scratch.file('web1.yaml')]);
    await expect(loadInstanceFile(scratch.file('web1.yaml'))).rejects.toMatchObject({
      code: 'INSTANCE_FILE_UNREADABLE',
      message: expect.stringContaining('not a regular file'),
    });
  });

  test('is not text', async () => {
    await using scratch = await makeTemporaryDirectory();
    await writeFile(scratch.file('web1.yaml'), Buffer.from([0x6e, 0xff, 0xfe]));
    await expect(loadInstanceFile(scratch.file('web1.yaml'))).rejects.toMatchObject({ code: 'INSTANCE_FILE_SYNTAX' });
  });

  test('is empty, or not YAML, or describes no instance: the message has its name', async () => {
    await using scratch = await makeTemporaryDirectory();
    const path = scratch.file('web1.yaml');
    for (const [text, code] of [
      ['', 'INSTANCE_INVALID'],
      ['a: [', 'INSTANCE_FILE_SYNTAX'],
      ['name: web1', 'INSTANCE_INVALID'],
    ]) {
      await writeFile(path, text ?? '');
      await expect(loadInstanceFile(path)).rejects.toMatchObject({ code, message: expect.stringContaining(path) });
    }
  });

  test('nothing is read for a caller that has gone', async () => {
    const reason = new Error('enough');
    await expect(loadInstanceFile('/nonexistent', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
