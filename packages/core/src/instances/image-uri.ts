/** An image in a format of QEMU, as the URI of a disk names it. */
export interface Image {
  readonly format: ImageFormat;
  /** Absolute. */
  readonly path: string;
}

export type ImageFormat = 'qcow2' | 'vmdk' | 'vhdx';

const FORMATS: ReadonlySet<string> = new Set(Object.keys({ qcow2: 1, vmdk: 1, vhdx: 1 } satisfies Record<ImageFormat, 1>));
const URI = /^([a-z0-9]+):(\/.+)$/s;

/** Reads `qcow2:/srv/vm/web1.qcow2`, where `%20` is a space. Undefined for a URI of another kind. */
export function parseImageUri(uri: string | undefined): Image | undefined {
  const [, format = '', encoded = ''] = URI.exec(uri ?? '') ?? [];
  if (!isImageFormat(format)) return undefined;
  try {
    const path = decodeURIComponent(encoded);
    return path.includes('\0') ? undefined : { format, path };
  } catch {
    return undefined;
  }
}

export function isImageFormat(text: string): text is ImageFormat {
  return FORMATS.has(text);
}
