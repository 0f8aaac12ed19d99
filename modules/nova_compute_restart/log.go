package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// log is nova-compute's, which is read on and on.
type log interface {
	// place tells where it ends, or, once it was read, where that ended.
	place(ctx context.Context) (string, error)
	// read returns the lines that were added since it was last read.
	read(ctx context.Context) (string, error)
	// rotated says that some were lost between two reads.
	rotated() bool
	// String tells what is read.
	String() string
}

// openLog reads on from a place.
func (h host) openLog(place string) (log, error) {
	file, offset := &fileLog{}, strings.LastIndexByte(place, '@')
	switch {
	case place == "none":
		return noLog{}, nil
	case offset < 0:
	case strings.HasPrefix(place, "journal:"):
		return h.journal(strings.TrimPrefix(place[:offset], "journal:")).from(place[offset+1:]), nil
	default:
		file.path = place[:offset]
		_, err := fmt.Sscanf(place[offset:], "@%d+%d", &file.inode, &file.offset)
		if err == nil && filepath.IsAbs(file.path) && file.offset >= 0 && file.at() == place {
			return file, nil
		}
	}
	return nil, fmt.Errorf("takes the log_end of the restart, like %s@131073+52412, got: %q", packagesLog, place)
}

func checkPlace(value any) (any, error) {
	_, err := host{}.openLog(value.(string))
	return value, err
}

func checkLog(value any) (any, error) {
	if text := value.(string); text == "" || text == "journal" || text == "none" || filepath.IsAbs(text) {
		return value, nil
	}
	return nil, fmt.Errorf(`takes an absolute path, journal, none, or "" for the deployment's own, got: %q`, value)
}

// noLog is that of a nova-compute that has none.
type noLog struct{}

func (noLog) place(context.Context) (string, error) { return "none", nil }
func (noLog) read(context.Context) (string, error)  { return "", nil }
func (noLog) rotated() bool                         { return false }
func (noLog) String() string                        { return "none" }

// fileLog is in a file, of which inode and offset tell how far it was read.
type fileLog struct {
	path   string
	inode  uint64
	offset int64
	lost   bool
}

func (l *fileLog) rotated() bool  { return l.lost }
func (l *fileLog) String() string { return l.path }
func (l *fileLog) at() string     { return fmt.Sprintf("%s@%d+%d", l.path, l.inode, l.offset) }

func (l *fileLog) place(context.Context) (string, error) {
	file, inode, size, err := l.open()
	if err != nil {
		return "", err
	}
	l.inode, l.offset = inode, size
	return l.at(), file.Close()
}

func (l *fileLog) open() (file *os.File, inode uint64, size int64, err error) {
	if file, err = os.Open(l.path); err != nil {
		return nil, 0, 0, fmt.Errorf("read nova-compute's log: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: l.path, Err: errors.New("is no file")}
	}
	if err != nil {
		file.Close()
		return nil, 0, 0, fmt.Errorf("read nova-compute's log: %w", err)
	}
	return file, info.Sys().(*syscall.Stat_t).Ino, info.Size(), nil
}

// read takes another file by now, or a shorter one, for a log that was rotated (renamed, or copied and truncated), so that all of it is
// new: what the old one got meanwhile is not seen.
func (l *fileLog) read(context.Context) (string, error) {
	file, inode, size, err := l.open()
	if err != nil {
		return "", err
	}
	defer file.Close()
	if inode != l.inode || size < l.offset {
		l.lost, l.inode, l.offset = true, inode, 0
	}
	text, err := io.ReadAll(io.NewSectionReader(file, l.offset, math.MaxInt64-l.offset))
	if err != nil {
		return "", fmt.Errorf("read nova-compute's log: %w", err)
	}
	// The last line may be in the middle of being written.
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	l.offset += int64(len(text))
	return string(text), nil
}

// journalLog is what a unit's processes, or its container, have written to the journal.
type journalLog struct {
	command command
	unit    string
	matches []string
	// since is an option of journalctl.
	since string
}

const cursorMark = "-- cursor: "

func (h host) journal(unit string) *journalLog {
	name := strings.TrimSuffix(unit, ".service")
	l := &journalLog{command: h.command, unit: unit, matches: []string{"_SYSTEMD_UNIT=" + name + ".service"}}
	if container := deploymentOf(name).container; container != "" {
		// What its engine hands on (podman's and docker's log driver journald) is a process's of another unit.
		l.matches = append(l.matches, "+", "CONTAINER_NAME="+container)
	}
	return l
}

// from has it read on from an entry's cursor, or from a time in seconds.
func (l *journalLog) from(where string) *journalLog {
	if _, err := time.ParseDuration(where + "s"); err == nil {
		l.since = "--since=@" + where
	} else {
		l.since = "--after-cursor=" + where
	}
	return l
}

func (l *journalLog) rotated() bool  { return false }
func (l *journalLog) String() string { return "the journal of " + l.unit }

func (l *journalLog) place(context.Context) (string, error) {
	now := time.Now()
	l.since = fmt.Sprintf("--since=@%d.%06d", now.Unix(), now.Nanosecond()/1000)
	return "journal:" + l.unit + "@" + strings.TrimPrefix(l.since, "--since=@"), nil
}

func (l *journalLog) show(ctx context.Context, options ...string) (string, error) {
	argv := append([]string{"journalctl", "--quiet", "--no-pager", "--output=cat"}, options...)
	out, err := l.command(ctx, append(argv, l.matches...)...)
	if err != nil {
		return "", fmt.Errorf("read nova-compute's log: %w", err)
	}
	return out, nil
}

// hasEntries tells whether there is any, however old.
func (l *journalLog) hasEntries(ctx context.Context) (bool, error) {
	out, err := l.show(ctx, "--lines=1")
	return strings.TrimSpace(out) != "", err
}

// read reads on from the cursor that journalctl shows after the last entry.
func (l *journalLog) read(ctx context.Context) (string, error) {
	out, err := l.show(ctx, "--show-cursor", l.since)
	if at := strings.LastIndex(out, cursorMark); err == nil && at >= 0 {
		l.since = "--after-cursor=" + strings.TrimSpace(out[at+len(cursorMark):])
		out = out[:at]
	}
	return out, err
}
