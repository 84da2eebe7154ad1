import { readdir, readFile } from 'node:fs/promises';

/**
 * The UUID of a device-mapper device, set by the program that made it: `LVM-…`, `CRYPT-…`, `mpath-…`. It says what the device is,
 * independent of its names.
 *
 * @param number as the kernel writes it, `MAJOR:MINOR`
 * @returns undefined for any other device
 */
export async function deviceMapperUuid(number: string): Promise<string | undefined> {
  return readFile(`/sys/dev/block/${number}/dm/uuid`, 'utf8').then(
    (text) => text.trimEnd(),
    () => undefined,
  );
}

/** Whether there is a device with this UUID. */
export async function isDeviceMapperUuid(uuid: string): Promise<boolean> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('dm-'));
  const found = await Promise.all(names.map((name) => readFile(`/sys/block/${name}/dm/uuid`, 'utf8').catch(() => '')));
  return found.some((text) => text.trimEnd() === uuid);
}
