// Messages of the database's BroadcastChannel: package broadcast.

import { Reader } from "./codec.js";
import { readAnnouncement, VERSION, type Announcement } from "./messages.gen.js";

/** Decodes a message; undefined is one of another version, which says no more than that something was written. */
export function decodeAnnouncement(message: Uint8Array): Announcement | undefined {
  try {
    const announcement = readAnnouncement(new Reader(message));
    return announcement.version === VERSION ? announcement : undefined;
  } catch {
    return undefined;
  }
}
