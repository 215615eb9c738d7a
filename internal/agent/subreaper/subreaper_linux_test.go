package subreaper_test

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/subreaper"
)

// Jobs never run on the main thread, to which orphans come, and always on the same.
func TestThread(t *testing.T) {
	var threads []int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			thread := subreaper.NewThread()
			for range 3 {
				thread.Do(func() {
					mu.Lock()
					defer mu.Unlock()
					threads = append(threads, unix.Gettid())
				})
			}
		})
	}
	all.Wait()
	if slices.Contains(threads, os.Getpid()) {
		t.Error("a job ran on the main thread")
	}
	slices.Sort(threads)
	if n := len(slices.Compact(threads)); n != 50 {
		t.Errorf("%d threads of 50", n)
	}
}

// Children of one's own are no orphans; what they leave behind is, until it has ended.
func TestReap(t *testing.T) {
	if err := subreaper.Become(); err != nil {
		t.Fatal(err)
	}
	living, err := subreaper.Reap()
	if errors.Is(err, subreaper.ErrNoList) {
		t.Skip("this kernel does not list the children of a thread: its configuration lacks CONFIG_PROC_CHILDREN")
	}
	if err != nil || len(living) > 0 {
		t.Fatalf("at first %v, %v", living, err)
	}
	thread := subreaper.NewThread()
	own, parent := exec.Command("sleep", "1000"), exec.Command("/bin/sh", "-c", "sleep 0.4 & exit 0")
	for _, cmd := range []*exec.Cmd{own, parent} {
		thread.Do(func() { err = cmd.Start() })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := parent.Wait(); err != nil {
		t.Fatal(err)
	}
	living, err = subreaper.Reap()
	if err != nil || len(living) != 1 || living[0] == own.Process.Pid {
		t.Errorf("living %v, %v", living, err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(living) > 0; living, err = subreaper.Reap() {
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("living %v, %v", living, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if none, err := subreaper.NoChildren(); none || err != nil {
		t.Errorf("no children: %v, %v, and one sleeps", none, err)
	}
	_ = own.Process.Kill()
	_ = own.Wait()
	if none, err := subreaper.NoChildren(); !none || err != nil {
		t.Errorf("no children: %v, %v", none, err)
	}
}
