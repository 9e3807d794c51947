/** Version of what tabs say to each other: protocol.ts, names.ts, and package rpc. It goes up with each change that an
 * older build could not ignore. Tabs that differ in it meet at builds.ts alone. */
export const PROTOCOL = 2;
