package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// process is one process of the job.
type process struct{ pid int }

// processStart tells when a living process started.
func processStart(pid int) (string, error) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", err
	}
	defer windows.CloseHandle(h)
	var code uint32
	const stillActive = 259
	if err := windows.GetExitCodeProcess(h, &code); err != nil {
		return "", err
	}
	if code != stillActive {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return "", err
	}
	return strconv.FormatInt(created.Nanoseconds(), 10), nil
}

// tree is a job object: what the app starts cannot leave it, and the system
// ends all of it when the guard's handle, the only one, is closed.
type tree struct {
	job windows.Handle
	log *slog.Logger
}

func newTree(spec Spec, log *slog.Logger) (*tree, error) {
	unlimited(spec, log, errNoCgroup, errNoCgroup, errNoCgroup)
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make a job object: %w", err)
	}
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		return nil, errors.Join(fmt.Errorf("limit a job object: %w", err), windows.CloseHandle(job))
	}
	return &tree{job: job, log: log}, nil
}

func (t *tree) cgroup() string { return "" }

func (t *tree) leaveCgroup() {}

func (t *tree) outOfMemory() bool { return false }

func (t *tree) close() { _ = windows.CloseHandle(t.job) }

// start starts the app suspended, so that nothing of it runs outside the job.
func (t *tree) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := t.adopt(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	return nil
}

func (t *tree) adopt(pid int) error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return fmt.Errorf("open the app's process: %w", err)
	}
	defer windows.CloseHandle(h)
	if err := windows.AssignProcessToJobObject(t.job, h); err != nil {
		return fmt.Errorf("put the app into its job: %w", err)
	}
	return resume(uint32(pid))
}

// resume lets a suspended process go on: os/exec keeps the handle of its
// thread to itself.
func resume(pid uint32) error {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(snapshot)
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snapshot, &entry); err == nil; err = windows.Thread32Next(snapshot, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return err
		}
		_, err = windows.ResumeThread(thread)
		return errors.Join(err, windows.CloseHandle(thread))
	}
	return fmt.Errorf("find the app's thread: %w", err)
}

func (t *tree) startOwn(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
	return cmd.Start()
}

func (t *tree) reap() {}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	_               [4]int64 // times
	_               uint32   // page faults
	_               uint32   // processes so far
	activeProcesses uint32
	_               uint32 // processes that a limit ended
}

// vacant reports whether the system counts no process in the job.
func (t *tree) vacant() bool {
	var a accounting
	err := windows.QueryInformationJobObject(t.job, windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	if err != nil {
		t.log.Error("cannot see the app's processes", "error", err)
	}
	return err == nil && a.activeProcesses == 0
}

// proof is that count: what is started in a job cannot leave it.
func (t *tree) proof() (Proof, bool) { return ProofJob, t.vacant() }

// processList is JOBOBJECT_BASIC_PROCESS_ID_LIST with room for many.
type processList struct {
	assigned, listed uint32
	ids              [4096]uintptr
}

// tenants returns the processes in the job; of more than 4096 the first.
func (t *tree) tenants() ([]process, error) {
	list := new(processList)
	err := windows.QueryInformationJobObject(t.job, windows.JobObjectBasicProcessIdList,
		uintptr(unsafe.Pointer(list)), uint32(unsafe.Sizeof(*list)), nil)
	if err != nil && !errors.Is(err, windows.ERROR_MORE_DATA) {
		return nil, err
	}
	var out []process
	for _, id := range list.ids[:min(int(list.listed), len(list.ids))] {
		out = append(out, process{int(id)})
	}
	return out, nil
}

// terminate has nothing to send: windows were asked already, and Windows has
// no SIGTERM. Console programs get a break for their process group.
func (t *tree) terminate(bool) {
	list, err := t.tenants()
	if err != nil {
		return
	}
	for _, p := range list {
		_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.pid))
	}
}

func (t *tree) kill() error { return windows.TerminateJobObject(t.job, 1) }

var postMessage = windows.NewLazySystemDLL("user32.dll").NewProc("PostMessageW")

// closeWindows posts WM_CLOSE to the top windows of the app and returns how
// many there are.
func closeWindows(t *tree) int {
	list, err := t.tenants()
	if err != nil {
		return 0
	}
	pids := make(map[uint32]bool)
	for _, p := range list {
		pids[uint32(p.pid)] = true
	}
	const wmClose = 0x10
	asked := 0
	each := syscall.NewCallback(func(hwnd windows.HWND, _ uintptr) uintptr {
		var pid uint32
		if _, err := windows.GetWindowThreadProcessId(hwnd, &pid); err == nil && pids[pid] && windows.IsWindowVisible(hwnd) {
			if ok, _, _ := postMessage.Call(uintptr(hwnd), wmClose, 0, 0); ok != 0 {
				asked++
			}
		}
		return 1
	})
	_ = windows.EnumWindows(each, nil)
	return asked
}

// killStray has nothing to do: the system ends the job with the guard's handle.
// But with the handle went the way to ask whether it has.
func killStray(context.Context, Spec, string) (bool, Proof, error) { return false, ProofNone, nil }

func cgroupPaths(Spec) []string { return nil }

func legacyPaths(Spec) []string { return nil }

func removeCgroups([]string) {}

// childSignals: the end of the main process is told by its Wait, and that of
// the others is seen once a second.
func childSignals() (<-chan os.Signal, func()) { return nil, func() {} }

func exitOf(s *os.ProcessState) (code *int, signal string) {
	if s == nil {
		return nil, ""
	}
	n := s.ExitCode()
	return &n, ""
}

// startDetached starts a guard without our console, and outside of our job if
// that lets us: else it ends with the player.
func startDetached(cmd *exec.Cmd) error {
	const flags = windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: flags | windows.CREATE_BREAKAWAY_FROM_JOB}
	err := cmd.Start()
	if !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return err
	}
	*cmd = exec.Cmd{Path: cmd.Path, Args: cmd.Args, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
		SysProcAttr: &syscall.SysProcAttr{CreationFlags: flags}}
	return cmd.Start()
}

// syncDir: NTFS journals the names in a folder by itself.
func syncDir(string) error { return nil }
