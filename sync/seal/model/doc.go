// Package model is the definition of sealed spaces as a small program: the log's
// entries, who is a member, how an entry is judged, sending, heads, what happens
// after a server was restored, and snapshots: who makes, proves and starts from
// them, and how far the log is cut. It has no code beside its tests.
//
// Cryptography is ideal here: a signature names who made it and what it covers, a
// box names its key and its associated data, a hash collides with no other. So a
// world costs microseconds, and what the model finds is a fault of the rules and
// not of a cipher.
//
//	make seal-model WORLDS=100000 SEED_BASE=1
//
// runs worlds. A world is made of its seed alone and is of one kind:
//
//   - honest: the server follows its rules. Devices race, are added, removed and
//     copied, keys are rotated, requests are lost and come late; or the server is put
//     back to a backup. No replica may stop, and all end with the same log.
//   - members: the server is honest, some members are not. They sign whatever they
//     like, and push it. No replica may stop.
//   - server: the server is the attacker. It forks, replays, leaves out, reorders,
//     forges, rolls back, hides and repeats heads, has the help of members and of
//     removed devices, and users who say yes to its histories.
//
// Beside that, in each world: members make snapshots, and die while they do; members
// that lie make false ones (rows, digests, clients, members, positions, chunks); others
// prove them; the honest server cuts its log behind those; the one that attacks offers
// old ones, altered and mixed ones, those of members that were removed, other chunks
// and other Changes. New devices start from what they are offered. Where the server is
// honest each of them has to end with the rows and members that the honest judge of the
// whole log gives, or to say that it has begun with a member's lie; and it does not begin
// with one while there is a proved snapshot. Rows are few here: a hash for each range
// of keys, which each transaction in that range changes.
//
// An observer, who knows what each honest device has done, looks at each entry that
// a replica takes: see observer_test.go for what must hold. Each rule is left out in
// turn (a mutant), and the worlds have to show it.
//
// Time is short in a model: what is kept for 8,192 entries in a space is kept for
// window entries here.
package model
