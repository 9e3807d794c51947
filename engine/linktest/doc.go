// Package linktest tests engine/link and web/src/engine.ts together, under Node.
package linktest
