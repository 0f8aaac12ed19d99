package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
)

// place is one in a log: in which file, and how many bytes into it.
type place struct {
	inode  uint64
	offset int64
}

func (p place) String() string { return fmt.Sprintf("%d+%d", p.inode, p.offset) }

func parsePlace(text string) (p place, err error) {
	if _, err := fmt.Sscanf(text, "%d+%d", &p.inode, &p.offset); err != nil || p.String() != text || p.offset < 0 {
		return p, fmt.Errorf("takes the log_end of the restart, like 131073+52412, got: %q", text)
	}
	return p, nil
}

func checkPlace(value any) (any, error) {
	_, err := parsePlace(value.(string))
	return value, err
}

// openAt opens a log, and tells where it ends.
func openAt(path string) (file *os.File, end place, err error) {
	file, err = os.Open(path)
	if err != nil {
		return nil, end, fmt.Errorf("read nova-compute's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, end, fmt.Errorf("read nova-compute's log: %w", err)
	}
	return file, place{info.Sys().(*syscall.Stat_t).Ino, info.Size()}, nil
}

// journal is a log that is read on and on.
type journal struct {
	path    string
	at      place
	rotated bool
}

// read returns the lines that were added since it was last read. Where there is another file by now, or a shorter one, the log was
// rotated (renamed, or copied and truncated), and all of it is new: what the old one got meanwhile is not seen.
func (j *journal) read() (string, error) {
	file, end, err := openAt(j.path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if end.inode != j.at.inode || end.offset < j.at.offset {
		j.rotated, j.at = true, place{end.inode, 0}
	}
	text, err := io.ReadAll(io.NewSectionReader(file, j.at.offset, math.MaxInt64-j.at.offset))
	if err != nil {
		return "", fmt.Errorf("read nova-compute's log: %w", err)
	}
	// The last line may be in the middle of being written.
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	j.at.offset += int64(len(text))
	return string(text), nil
}
