// Package subreaper makes a process the one that adopts its orphaned
// descendants, and asks the kernel whether it has any left.
//
// A walk over /proc cannot tell that a process tree is empty: while it reads,
// a process that it has not reached yet forks a successor behind it and
// exits. Two questions are answered by the kernel in one step, under the lock
// that forks and exits take, and so are proof:
//
//   - waitid with no child left fails with ECHILD ([NoChildren]);
//   - the list of adopted children is empty ([Reap]). Orphans are adopted by
//     the main thread of a subreaper. Children that are started by
//     [Thread.Do], on another thread, are never in that list, so it tells of
//     orphans alone.
//
// What descends from a subreaper cannot leave it: an orphan is adopted by the
// nearest subreaper above it, of its own PID namespace or a parent of that,
// and a subreaper of its own or the init of a PID namespace is in turn a
// descendant. So if no child is left, no descendant is. Linux only.
package subreaper
