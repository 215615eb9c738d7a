//go:build race

package auth

// Under the race detector, which only tests are built with, a hash takes ten times as long:
// a third of all that the pages' tests did was hashing.
const argonMemory = 1 << 10 // KiB
