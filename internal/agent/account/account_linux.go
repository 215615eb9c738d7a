package account

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"leasehold/internal/agent/trash"
)

// Can reports whether this process may lend accounts.
func Can() bool { return os.Geteuid() == 0 }

// Reserve lends an account of the range that nothing on this machine uses, to
// the session whose folder holder is; the folder must be there, a number whose
// holder is gone is free again. The error is [ErrNone] if all are in use.
func Reserve(registry string, r Range, holder string) (uid int, err error) {
	if r.First <= 0 || r.Last < r.First {
		return 0, fmt.Errorf("reserve an account: no range: %d to %d", r.First, r.Last)
	}
	// What it lies in holds the sessions too, unless they were told another place, and their
	// accounts must get through there.
	err = os.MkdirAll(filepath.Dir(registry), 0o711)
	if err == nil {
		err = os.MkdirAll(registry, 0o700)
	}
	if err != nil {
		return 0, fmt.Errorf("reserve an account: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(registry, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("reserve an account: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return 0, fmt.Errorf("reserve an account: %w", err)
	}
	living, err := living()
	if err != nil {
		return 0, fmt.Errorf("reserve an account: %w", err)
	}
	// Anywhere in the range, so that what was missed of an old session is not
	// soon another's.
	size := r.Last - r.First + 1
	for i, offset := 0, rand.IntN(size); i < size; i++ {
		uid := r.First + (offset+i)%size
		if len(living[uid]) > 0 || known(uid) {
			continue
		}
		path := filepath.Join(registry, strconv.Itoa(uid))
		if b, err := os.ReadFile(path); err == nil {
			if _, err := os.Stat(string(b)); err == nil {
				continue
			}
		}
		if err := os.WriteFile(path, []byte(holder), 0o600); err != nil {
			return 0, fmt.Errorf("reserve an account: %w", err)
		}
		return uid, nil
	}
	return 0, fmt.Errorf("reserve an account: %w: %d to %d", ErrNone, r.First, r.Last)
}

// Release takes back what the holder was lent; the number may be another's by
// now, then it stays that.
func Release(registry string, uid int, holder string) error {
	path := filepath.Join(registry, strconv.Itoa(uid))
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(b) != holder {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("release an account: %w", err)
	}
	return nil
}

// known reports whether the machine has a user or group of that number.
func known(id int) bool {
	n := strconv.Itoa(id)
	if _, err := user.LookupId(n); err == nil {
		return true
	}
	if _, err := user.LookupGroupId(n); err == nil {
		return true
	}
	_, err := os.Lstat("/run/systemd/dynamic-uid/" + n)
	return err == nil
}

// living returns the living processes of each user.
func living() (map[int][]int, error) {
	procs, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	of := make(map[int][]int)
	for _, p := range procs {
		status, err := p.NewStatus()
		if err != nil {
			continue // it has ended
		}
		seen := make(map[uint64]bool)
		for _, uid := range status.UIDs {
			if stat, err := p.Stat(); !seen[uid] && err == nil && stat.State != "Z" && stat.State != "X" {
				of[int(uid)] = append(of[int(uid)], p.PID)
			}
			seen[uid] = true
		}
	}
	return of, nil
}

// Processes returns the living processes of a user.
func Processes(uid int) ([]int, error) {
	of, err := living()
	if err != nil {
		return nil, fmt.Errorf("find the processes of user %d: %w", uid, err)
	}
	return of[uid], nil
}

// Clear ends every process of a lent account and removes what it has left in
// the machine's public folders and as System V IPC. It is for an account that
// is lent, and for no other: it asks nothing.
func Clear(ctx context.Context, uid int) error {
	if uid <= 0 {
		return fmt.Errorf("clear up behind user %d: that is no account of a session", uid)
	}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		// Before anything is concluded from a walk: what was killed so does not
		// fork any more, and what does not fork no walk can miss.
		if Can() {
			if err := killAll(ctx, uid); err != nil {
				return err
			}
		}
		pids, err := Processes(uid)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			break
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("end the processes of user %d: %w", uid, ctx.Err())
		}
	}
	return errors.Join(removeFiles(ctx, uid), removeIPC(uid))
}

// killAll kills every process of a user in one step. A process of that user
// sends the signal to all that it may signal, and the kernel lets nobody fork
// meanwhile, so that none gets away by forking. It needs /bin/sh.
func killAll(ctx context.Context, uid int) error {
	for {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "kill -s KILL -- -1; echo sent")
		cmd.Dir, cmd.Env = "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		out, err := cmd.Output()
		var exit *exec.ExitError
		switch {
		case err == nil && string(out) == "sent\n":
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("end the processes of user %d: %w", uid, ctx.Err())
		case !errors.As(err, &exit) || exit.Exited():
			return fmt.Errorf("end the processes of user %d: %w", uid, errors.Join(err, errors.New("kill did not run")))
		}
		// One of those processes was quicker, and has killed ours.
	}
}

// public are the folders where any user may leave something.
var public = []string{"/tmp", "/tmp/.X11-unix", "/tmp/.ICE-unix", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/screen"}

func removeFiles(ctx context.Context, uid int) error {
	var errs []error
	for _, dir := range public {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // not every machine has each
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue
			}
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) == uid {
				errs = append(errs, trash.Remove(ctx, filepath.Join(dir, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

// ipcRemove is IPC_RMID.
const ipcRemove = 0

// removeIPC removes a user's shared memory, semaphores and queues.
func removeIPC(uid int) error {
	var errs []error
	for name, remove := range map[string]func(id uintptr) syscall.Errno{
		"shm": func(id uintptr) syscall.Errno {
			_, _, e := unix.Syscall(unix.SYS_SHMCTL, id, ipcRemove, 0)
			return e
		},
		"msg": func(id uintptr) syscall.Errno {
			_, _, e := unix.Syscall(unix.SYS_MSGCTL, id, ipcRemove, 0)
			return e
		},
		"sem": func(id uintptr) syscall.Errno {
			_, _, e := unix.Syscall6(unix.SYS_SEMCTL, id, 0, ipcRemove, 0, 0, 0)
			return e
		},
	} {
		b, err := os.ReadFile("/proc/sysvipc/" + name)
		if err != nil {
			continue // a kernel without
		}
		lines := strings.Split(string(b), "\n")
		column := slices.Index(strings.Fields(lines[0]), "uid")
		for _, line := range lines[1:] {
			f := strings.Fields(line)
			if column < 0 || len(f) <= column || f[column] != strconv.Itoa(uid) {
				continue
			}
			id, err := strconv.Atoi(f[1]) // key, then id
			if err != nil {
				continue
			}
			if e := remove(uintptr(id)); e != 0 && e != unix.EINVAL && e != unix.EIDRM {
				errs = append(errs, fmt.Errorf("remove %s %d: %w", name, id, e))
			}
		}
	}
	return errors.Join(errs...)
}
