/**
 * A path without the slashes at its end. Its time grows with the length of the path alone; that of the regular expression `/\/+$/` grows
 * with the square of the number of slashes that are not at the end.
 */
export function trimSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end -= 1;
  return path.slice(0, end);
}
