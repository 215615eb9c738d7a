//go:build race

package agent_test

// stride passes over most of the writes: the race detector makes each life slow.
const stride = 5
