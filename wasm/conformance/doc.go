// Package conformance runs the conformance suite of package opfs where it
// ships: the linked engine over real files of the browser, in a worker. Its test
// binary is built and run by e2e/storage/opfs.spec.ts.
package conformance
