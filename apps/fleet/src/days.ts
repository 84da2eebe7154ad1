export const DAY_SECONDS: number = 24 * 3600;
export const DAY_MS: number = DAY_SECONDS * 1000;
