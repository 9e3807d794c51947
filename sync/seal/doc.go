// Package seal has the formats of sealed spaces: what a server orders without being
// able to read it. docs/SECURITY.md says what they are for, and sync/seal/model what
// the rules around them are.
//
// # What is in here
//
//   - [Sealed] is a transaction's body as the server sees it: encrypted, signed, and
//     bound to its place in its author's history and in the log.
//   - [Change] is what admins and members say about who is a member. It stands in the
//     log in the open, in a Sealed of its own kind.
//   - [Key] is the key of an epoch: of the time between two changes of the key. All
//     other keys are derived from it.
//   - [Log] judges entries, and [Records] say who is a member: pure functions of the log,
//     which a server runs without a key, and a replica with them.
//   - [Manifest] says what a space was at an entry of its log, in chunks that it names.
//   - [Head] is what a device tells the other members of the log that it follows.
//   - [RecoveryCode] is a key that is written down.
//
// # What is not
//
// Private keys. In a browser they do not leave WebCrypto, and Go's own X25519 and
// Ed25519 would make its program larger: so signing, verifying and HPKE are what
// package native does for Go programs, and TypeScript for browsers. This package
// gives the bytes that are signed, and takes signatures.
//
// # Encoding
//
// Messages are canonical as in docs/PROTOCOL.md, section 2: what decodes encodes again
// to the same bytes. All hashes are BLAKE2b-256 over a domain, which ends in a zero
// byte, and what follows it.
package seal
