package hypervisor

import (
	"errors"
	"fmt"
	"strings"
)

// What a caller can do something about. An Error is one of these by errors.Is.
var (
	ErrNoDomain    = errors.New("no such domain")
	ErrBusy        = errors.New("another job holds the domain")
	ErrActive      = errors.New("the domain is running")
	ErrRestarted   = errors.New("the domain was started anew since it was looked at")
	ErrChanged     = errors.New("the domain is another now than when it was looked at")
	ErrUnreachable = errors.New("libvirt cannot be reached")
	ErrDenied      = errors.New("libvirt denies it")
	ErrNoLibrary   = errors.New("libvirt is not installed")
	errNoDriver    = errors.New("no such driver")
)

// Error is what libvirt said to one request.
type Error struct {
	Op      string // what was asked, with the domain's uuid
	URI     string
	Code    int    // virErrorNumber (virterror.h)
	Message string // libvirt's own words
	class   error
}

// Numbers of virterror.h: virErrorNumber and, for whom it speaks, virErrorDomain.
const (
	codeInternal        = 1
	codeNoConnect       = 5
	codeOperationDenied = 29
	codeSystem          = 38
	codeRPC             = 39
	codeNoDomain        = 42
	codeAuthFailed      = 45
	codeTimeout         = 68
	codeAccessDenied    = 88
	codeAuthUnavailable = 94 // polkit asks for a password, and nobody is there to give it

	fromNone = 0
	fromRPC  = 7
)

const (
	connecting = "connect to libvirt"
	library    = "libvirt.so.0"
)

// NewError sorts what libvirt said by its numbers: code is the error's, domain
// that of the part of libvirt which speaks.
func NewError(op, uri string, code, domain int, message string) *Error {
	class := map[int]error{
		codeNoDomain: ErrNoDomain, codeTimeout: ErrBusy, codeNoConnect: errNoDriver,
		codeOperationDenied: ErrDenied, codeAuthFailed: ErrDenied, codeAccessDenied: ErrDenied, codeAuthUnavailable: ErrDenied,
	}[code]
	switch {
	// 38 is any failed system call; a QEMU that survives SIGKILL has it too.
	case (code == codeSystem || code == codeRPC) && (domain == fromRPC || op == connecting),
		code == codeInternal && domain == fromRPC: // a call on a connection that was lost before
		class = ErrUnreachable
	// libvirt itself says as much of a URI that it cannot read; what the binding says comes from the loader, which names the file
	// (libvirt.org/go/libvirt, libvirtLoad).
	case op == connecting && code == codeInternal && domain == fromNone && strings.Contains(message, library):
		class = ErrNoLibrary
	}
	return &Error{op, uri, code, message, class}
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s (libvirt error %d at %s)", e.Op, e.Message, e.Code, e.URI)
	if e.class != nil && advice[e.class] != "" {
		text += ": " + advice[e.class]
	}
	return text
}

// Is tells errors.Is the error's class.
func (e *Error) Is(target error) bool { return e.class != nil && target == e.class }

var advice = map[error]string{
	ErrUnreachable: "is libvirtd or virtqemud running here (systemctl status libvirtd virtqemud)? " +
		"Where its socket is elsewhere, name it: uri: qemu+unix:///system?socket=PATH; where permission is denied, become: true",
	ErrDenied: "run it as root (become: true), or as a member of the group libvirt; where libvirt's access control is on, the user needs " +
		"the domain's delete permission",
	ErrNoLibrary: "the library " + library + " comes with the package libvirt0 or libvirt-libs, and with the container in which libvirtd " +
		"runs (then become: true); is this host a hypervisor at all, and does its libvirtd run?",
	ErrBusy:     "another job (a migration, a backup, a hung disk) holds the domain: see virsh domjobinfo",
	errNoDriver: "this libvirt has no driver for that uri",
}
