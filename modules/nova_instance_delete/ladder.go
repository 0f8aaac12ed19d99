package main

import (
	"fmt"
	"slices"

	"nova-orphan/internal/compute"
)

// The methods are Nova's own ways to delete an instance.
const (
	byDelete = "delete"
	byReset  = "reset_state"
	byForce  = "force_delete"
)

// methods are all of them, the least invasive first.
var methods = []string{byDelete, byReset, byForce}

// resets says that the method first resets a task.
func resets(method string) bool { return method != byDelete }

// What a method may have come to, beside the outcomes of an instance.
const (
	skipped = "skipped"
	planned = "planned" // in check mode
)

// tried is what a method has come to.
type tried struct {
	Method  string `json:"method"`
	Outcome string `json:"outcome"` // empty until it is known
	Msg     string `json:"msg"`
}

// ladder has the given methods, each once, in the order in which they are tried.
type ladder []tried

func newLadder(given []string) (l ladder) {
	for _, method := range methods {
		if slices.Contains(given, method) {
			l = append(l, tried{Method: method})
		}
	}
	return l
}

// method is the one to try, empty if none is left.
func (l ladder) method() string {
	for _, one := range l {
		if one.Outcome == "" {
			return one.Method
		}
	}
	return ""
}

// leaveOut skips the methods that are not for the server as it is at the first look.
func (l ladder) leaveOut(s *compute.Server) {
	for i := range l {
		one, why := &l[i], ""
		switch {
		case s == nil:
			why = "the API does not find it"
		case s.IsRequest() && one.Method != byDelete && l[0].Method == byDelete:
			why = "no cell has the instance, so that there is no state to reset: a delete of its build request is all that there is"
		case !s.IsRequest() && s.TaskState != "" && one.Method == byDelete && len(l) > 1:
			why = fmt.Sprintf("in its task state (%s) Nova may ignore a delete: %s resets it first", s.TaskState, l[1].Method)
		}
		if why != "" {
			one.Outcome, one.Msg = skipped, why
		}
	}
}

// note writes down what the method that was to be tried has come to, and says whether there is a next to try: only
// that the instance is still there is a reason for one.
func (l ladder) note(outcome, msg string) (goOn bool) {
	method := l.method()
	for i := range l {
		if l[i].Method == method {
			l[i].Outcome, l[i].Msg = outcome, msg
		}
	}
	switch outcome {
	case stillThere:
	case planned:
		l.rest(planned, "if it is still there then")
	case gone:
		l.rest(skipped, "it is gone")
	default:
		l.rest(skipped, fmt.Sprintf("it was stopped: the outcome of %s is %s", method, outcome))
	}
	return l.method() != ""
}

// rest is what becomes of those that were not tried.
func (l ladder) rest(outcome, why string) {
	for i := range l {
		if l[i].Outcome == "" {
			l[i].Outcome, l[i].Msg = outcome, why
		}
	}
}
