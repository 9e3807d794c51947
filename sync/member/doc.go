// Package member is a device's part in a sealed space: one that its server orders
// without being able to read it. docs/SECURITY.md says what that is for, and package
// seal has the formats and the rules.
//
// A [Member] stands between a replica and its log. It judges and opens each entry that
// is pulled, and keeps what judging the next one takes in the app's database, in the
// transaction that applies the entry. What is pushed it seals, when it is sent: with the
// newest key, and with where the log is then. It makes the Changes that add and remove
// members.
//
// # Keys
//
// A device's private keys are a [seal.Identity]: a browser's do not leave WebCrypto. The
// keys of epochs are nowhere kept: the Changes in the database have them, wrapped for
// this device, and each one has the key before it. In memory they are found by what the
// log says of them ([seal.Key.Commit]), so it does not matter who has told a device of
// one: another key than the members' is never used.
//
// # What is in the database
//
//   - heddle_seal_chain: the chain hashes of the last entries, those that came together in one row.
//   - heddle_seal_client: for each client its device, its last counter that counts, and
//     its digest.
//   - heddle_seal_run: the digests of the seals that this device has sent, until the log has them.
//   - heddle_seal_head: the newest head of each other member.
//   - heddle_seal_chunk: what this device's last snapshot was made of.
//   - heddle_change: the Changes that count, in order.
//   - heddle_seal_mark: what is left of starting over with a restored server's log, what has stopped the
//     device last, what it has told of its heads, and who has confirmed the last snapshot.
//
// # Seals need not be kept
//
// An own entry is told by its content: opened, it is the oldest pending transaction, or
// another has made it under this replica's id. So a seal that a crash has lost is made
// again, with other bytes, and whichever of the two the log has is known. The digest of
// each seal is kept before it is sent all the same: a snapshot counts a client's
// transactions without showing them, and names the digest of the last one's seal.
package member
