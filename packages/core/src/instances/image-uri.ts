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
  const { format = '', path } = parseFileUri(uri) ?? {};
  return path !== undefined && isImageFormat(format) ? { format, path } : undefined;
}

/** The same in any format that libvirt may name, such as `vdi:/srv/vm/web1.vdi`; undefined where the URI does not name a file of this host. */
export function parseFileUri(uri: string | undefined): { readonly format: string; readonly path: string } | undefined {
  const [, format = '', encoded = ''] = URI.exec(uri ?? '') ?? [];
  try {
    const path = decodeURIComponent(encoded);
    // After two slashes comes a host.
    return path === '' || path.includes('\0') || path.startsWith('//') ? undefined : { format, path };
  } catch {
    return undefined;
  }
}

export function isImageFormat(text: string): text is ImageFormat {
  return FORMATS.has(text);
}
