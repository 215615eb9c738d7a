//go:build !race

package auth

const argonMemory = 64 << 10 // KiB
