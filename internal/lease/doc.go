// Package lease holds the rules of leases: how long one lives, which generation and run
// it is for, when the seat behind it is free, and what an agent does with one that
// arrives late.
//
// A running app is a tenant. The server grants its session a [Grant]; the agent keeps
// what it received in a [Holder] and ends the app when the grant ends. Neither side
// trusts a message to arrive, to arrive once, or to arrive in order, so every rule here
// holds with any message lost, doubled or late. The rules were found by exhaustive
// search over small histories; [Rule] names each of them so that a test can take one out
// and show the history that then goes wrong.
//
// Everything here is pure: no clock, no network, no storage. Callers pass the time in.
package lease
