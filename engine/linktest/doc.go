// Package linktest tests engine/link and web/src/worker/engine.ts together, under Node.
package linktest
