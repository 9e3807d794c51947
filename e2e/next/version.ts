// web/src/shared/version.ts of a later version, for the tests of two versions in two tabs.
export const PROTOCOL = 3;
