/** An image of Ceph's RBD, as the URI of a disk names it. */
export interface RbdImage {
  /** `POOL/IMAGE` or `POOL/NAMESPACE/IMAGE`. */
  readonly spec: string;
  /** Options of the client: `id`, `conf`, `mon_host` and so on, in the order of the URI. */
  readonly options: readonly (readonly [name: string, value: string])[];
}

const SPEC = /^[\w.+][\w.+-]*(?:\/[\w.+][\w.+-]*){1,2}$/;
/** What Ceph's client takes as a setting. Keys would be visible to every user in the list of processes. */
const OPTION = /^(?!key$)[a-z][a-z0-9_]*$/;

/**
 * Reads `rbd:POOL/IMAGE[:NAME=VALUE…]`, in which a backslash stands before what divides options.
 * https://docs.ceph.com/en/latest/rbd/qemu-rbd/
 *
 * @returns undefined for a URI of another kind; for one of RBD that cannot be used, why: one clause
 */
export function parseRbdUri(uri: string): RbdImage | { readonly reason: string } | undefined {
  const [scheme, spec = '', ...rest] = split(uri);
  if (scheme !== 'rbd') return undefined;
  if (spec.includes('@')) return { reason: `${spec} is a snapshot itself` };
  if (!SPEC.test(spec)) return { reason: `"${spec}" is not the name of an image, POOL/IMAGE` };
  const options = rest.map((option) => {
    const [name, value] = [option.slice(0, Math.max(0, option.indexOf('='))), option.slice(option.indexOf('=') + 1)];
    return [name, value] as const;
  });
  const wrong = options.find(([name, value]) => !OPTION.test(name) || value === '');
  return wrong === undefined ? { spec, options } : { reason: `"${wrong[0]}" cannot be an option of its URI` };
}

/** What {@link parseRbdUri} reads. */
export function imageUri({ spec, options }: RbdImage): string {
  const escaped = options.map(([name, value]) => `${name}=${value.replaceAll(/[\\:@=;]/g, String.raw`\$&`)}`);
  return ['rbd', spec, ...escaped].join(':');
}

/** The image's snapshot of that name, for QEMU. */
export function snapshotUri({ spec, options }: RbdImage, snapshot: string): string {
  return imageUri({ spec: `${spec}@${snapshot}`, options });
}

/** The same options for the command `rbd`: it takes every setting of a client as an option. */
export function clientOptions({ options }: RbdImage): readonly string[] {
  return options.map(([name, value]) => `--${name}=${value}`);
}

/** At colons without a backslash, which are removed. */
function split(uri: string): readonly string[] {
  return [...uri.matchAll(/(?:^|:)((?:\\.|[^:\\])*)/gs)].map(([, part = '']) => part.replaceAll(/\\(.)/gs, '$1'));
}
