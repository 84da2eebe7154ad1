import { z } from 'zod';

export const text: z.ZodType<string> = z.string().min(1);
export const count: z.ZodType<number> = z.int().nonnegative();
export const truth: z.ZodType<boolean> = z.boolean();
/** ISO 8601, UTC. */
export const time: z.ZodType<string> = z.iso.datetime();
export const texts: z.ZodType<string[]> = z.array(z.string());
/** Described elsewhere. */
export const anything: z.ZodType<Record<string, unknown>> = z.looseObject({});

/** An object with fields that are always there, and fields that may be; others may be added. */
export function loose(always: z.ZodRawShape, sometimes: z.ZodRawShape = {}): z.ZodType<Record<string, unknown>> {
  const optional = Object.fromEntries(Object.entries(sometimes).map(([name, schema]) => [name, z.optional(schema)]));
  return z.looseObject({ ...always, ...optional });
}

/** A list of such objects. */
export function list(always: z.ZodRawShape, sometimes: z.ZodRawShape = {}): z.ZodType<Record<string, unknown>[]> {
  return z.array(loose(always, sometimes));
}
