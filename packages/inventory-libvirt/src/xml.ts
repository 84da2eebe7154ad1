import { errorText, InventoryError } from '@gantry/core/inventory';
import type { Document, Element } from '@xmldom/xmldom';
import { DOMParser, MIME_TYPE, XMLSerializer } from '@xmldom/xmldom';

/** Characters. libvirt itself allows 4 MiB for its messages. */
const MAX_XML_LENGTH = 4 * 1024 * 1024;
/** Parts of a domain that libvirt writes once. Of several it would take all, and what is here only the first. */
const ONCE = ['name', 'uuid', 'os', 'devices'];
/** The parser repeats names of elements, characters. */
const MAX_REASON_LENGTH = 200;
/** Far more than libvirt nests: a disk has as many levels as images behind it. What is done with them later goes as deep as they do. */
const MAX_DEPTH = 500;

/**
 * Reads the XML of a domain. It has no document type, so that there are no entities but XML's own five.
 * @param of whose it is, for errors
 * @throws InventoryError `failed`
 */
export function parseDomain(xml: string, of: string): Element {
  const root = parse(xml, of).documentElement;
  if (root !== null && isTooDeep(root))
    throw new InventoryError('failed', { message: `the XML of ${of} has more than ${MAX_DEPTH} levels` });
  const twice = root === null ? undefined : ONCE.find((name) => childrenOf(root, name).length > 1);
  if (twice !== undefined) throw new InventoryError('failed', { message: `the XML of ${of} has more than one <${twice}>` });
  if (root?.nodeName === 'domain') return root;
  throw new InventoryError('failed', { message: `the XML of ${of} does not describe a domain` });
}

function parse(xml: string, of: string): Document {
  if (xml.length > MAX_XML_LENGTH)
    throw new InventoryError('failed', { message: `the XML of ${of} has more than ${MAX_XML_LENGTH} characters` });
  if (xml.includes('<!DOCTYPE')) throw new InventoryError('failed', { message: `the XML of ${of} has a document type` });
  try {
    const onError = (level: string, message: string): void => {
      if (level !== 'warning') throw new Error(message);
    };
    return new DOMParser({ onError }).parseFromString(xml, MIME_TYPE.XML_TEXT);
  } catch (cause) {
    const [why = ''] = errorText(cause).split('\n');
    throw new InventoryError('failed', { message: `the XML of ${of} cannot be read: ${why.slice(0, MAX_REASON_LENGTH)}`, cause });
  }
}

/** Level by level, since recursion would fail first. */
function isTooDeep(root: Element): boolean {
  let level: readonly Element[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((element) => childrenOf(element));
  }
  return false;
}

export function serialize(element: Element): string {
  return `${new XMLSerializer().serializeToString(element)}\n`;
}

/** The child elements, all of them or those of one name. */
export function childrenOf(parent: Element | undefined, name?: string): readonly Element[] {
  return [...(parent?.childNodes ?? [])].filter(
    (node): node is Element => node.nodeType === node.ELEMENT_NODE && (name === undefined || node.nodeName === name),
  );
}

/** The element at a path of names below another, the first where there are several. */
export function find(parent: Element | undefined, ...path: readonly string[]): Element | undefined {
  return path.reduce((at, name) => childrenOf(at, name)[0], parent);
}

export function attributesOf({ attributes }: Element): readonly { readonly name: string; readonly value: string }[] {
  return Array.from({ length: attributes.length }, (_, index) => attributes.item(index)).filter((each) => each !== null);
}

/** An attribute; undefined where it is absent or empty. */
export function attribute(element: Element | undefined, name: string): string | undefined {
  const value = element?.getAttribute(name);
  return value === null || value === '' ? undefined : value;
}

/** The text of an element without white space around it; undefined where there is none. */
export function textOf(element: Element | undefined): string | undefined {
  const text = element?.textContent?.trim();
  return text === '' ? undefined : text;
}

/** Replaces the text of the child of that name, which is added where it is absent. */
export function setText(parent: Element, name: string, text: string): void {
  const child = find(parent, name) ?? addChild(parent, name);
  child.textContent = text;
}

function addChild(parent: Element, name: string, attributes: Readonly<Record<string, string>> = {}): Element {
  const child = create(parent, name, attributes);
  parent.appendChild(child);
  return child;
}

/** A new element for the document of another. */
export function create(other: Element, name: string, attributes: Readonly<Record<string, string>> = {}): Element {
  const document = other.ownerDocument;
  if (document === null) throw new TypeError('an element without a document');
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export function remove(element: Element): void {
  element.parentNode?.removeChild(element);
}
