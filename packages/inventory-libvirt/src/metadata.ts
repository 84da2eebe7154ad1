import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, find } from './xml.ts';

/** The namespace of what users say of an instance in libvirt's metadata. */
const METADATA_URI = 'urn:gantry:instance';

/** What a user says of an instance to Gantry, in its domain: `<instance os="…"><tag>…</tag><osparam name="…">…</osparam></instance>`. */
export interface Metadata {
  readonly os: string;
  readonly tags: readonly string[];
  readonly osparams: Readonly<Record<string, string>>;
}

const TAG = /^\S{1,128}$/;
const DEFAULT_OS = 'raw';

/** Tags that an instance cannot have are left out. */
export function readMetadata(domain: Element): Metadata {
  const own = childrenOf(find(domain, 'metadata')).find((each) => each.namespaceURI === METADATA_URI && each.localName === 'instance');
  const named = (name: string): readonly Element[] => childrenOf(own).filter(({ localName }) => localName === name);
  const tags = named('tag').map(({ textContent }) => textContent?.trim() ?? '');
  const osparams = named('osparam').flatMap((each) => {
    const name = attribute(each, 'name');
    return name === undefined ? [] : [[name, each.textContent ?? ''] as const];
  });
  return {
    os: attribute(own, 'os') ?? DEFAULT_OS,
    tags: [...new Set(tags.filter((tag) => TAG.test(tag)))],
    osparams: Object.fromEntries(osparams),
  };
}
