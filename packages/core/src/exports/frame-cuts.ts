/**
 * How a plain stream is cut into frames: at multiples of the frame size, or where its content says. Only exports that cut alike share
 * frames.
 */
export type FrameCut = (typeof FRAME_CUTS)[number];

export const FRAME_CUTS: readonly ['place', 'content'] = ['place', 'content'];
