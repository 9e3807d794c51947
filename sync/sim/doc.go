// Package sim proves sync by simulation: whole client engines over real SQLite
// databases and the whole server in one process, under a virtual clock, on
// virtual disks that lose power and behind a virtual network that loses,
// delays, repeats, reorders and cuts what it carries. It has no code beside its
// tests.
//
//	make sim SEEDS=1000 SEED_BASE=7
//
// runs seeds 7 to 1006; README.md says how to go on from one that fails, and how to
// add a fault or a check. A seed fixes everything: the schema and its later
// versions, the devices, what their apps write and when, and each fault.
// Running one twice gives the same trace, and a test holds it to that.
//
// What is checked, at every step and against a model of a few lines that folds
// the log as a list:
//
//   - A device shows the fold of a prefix of the log with its own pending
//     transactions on top, every cell of it, at whatever version its app is.
//   - Devices declare the tables each in its own way (NOT NULL, STRICT, other types,
//     guards, generated columns, indexes on expressions, in some version of the
//     app). A row that a device's table cannot hold, by an INSERT into one of
//     another database, is quarantined there, and no other is.
//   - No effect before its cause: each transaction writes down what its device
//     had seen of all others, and a device that sees the transaction must see those too.
//   - A device always sees its own acknowledged writes, also after its power
//     was cut, and never loses sight of what it saw.
//   - The log only grows; each transaction is in it once, in its author's order.
//   - A device that starts over with a snapshot takes writes meanwhile, and loses
//     sight of none that it saw. As soon as the snapshot has ended it shows a prefix
//     again, with its own pending transactions on top.
//   - Where the server was put back to a backup, the devices give it back what it
//     has lost of theirs: each once. (Between devices that has no order: then
//     causes are not looked for.)
//   - In a sealed space the model reads the log as a member does. Nothing in it is void
//     to members that the app's rule has not refused, and no device finds the honest
//     server tampered with.
//   - No digest ever differs from the server's: a repair would cover up what went
//     wrong.
//   - Once the faults end, every device has nothing pending, all rows and
//     digests are equal, and the tables that triggers fill agree: within a
//     bounded time, or the run counts as stuck.
package sim
