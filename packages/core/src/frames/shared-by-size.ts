/**
 * Makes a buffer of each size once, for all callers, who must not modify it. Frames of a dump have the same size, except the last: when
 * `maxSizes` are known, they are forgotten.
 */
export function sharedBySize(maxSizes: number, make: (bytes: number) => Uint8Array): (bytes: number) => Uint8Array {
  const buffers = new Map<number, Uint8Array>();
  return (bytes) => {
    const known = buffers.get(bytes);
    if (known !== undefined) return known;
    const made = make(bytes);
    if (buffers.size >= maxSizes) buffers.clear();
    buffers.set(bytes, made);
    return made;
  };
}
