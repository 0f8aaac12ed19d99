package reap

import (
	"testing"

	"nova-orphan/internal/ansible"
)

func TestAQuestionThatPanickedIsNoAnswerForTheOthers(t *testing.T) {
	asked := &once{}
	if outcome := <-ansible.Go(func() (bool, error) { return true, asked.ask(func() error { panic("found") }) }); outcome.Err == nil {
		t.Fatal("it did not panic")
	}
	if err := asked.ask(func() error { return nil }); err == nil {
		t.Error("the next one takes it for answered")
	}
}
