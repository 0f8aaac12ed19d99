package ansible_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
)

// probe is a module that does what its option says.
var probe = ansible.Module{
	Name: "probe",
	Options: []ansible.Option{
		{Name: "text", Aliases: []string{"words"}, Type: ansible.Str},
		{Name: "number", Type: ansible.Int, Check: ansible.Between(3, 1000)},
		{Name: "flag", Type: ansible.Bool, Default: false},
		{Name: "ids", Type: ansible.List, Elements: ansible.Str, Check: ansible.UUID},
		{Name: "map", Type: ansible.Dict},
		{Name: "file", Type: ansible.Path, Check: ansible.Absolute},
		{Name: "color", Type: ansible.Str, Choices: []string{"red", "green"}},
		{Name: "colors", Type: ansible.List, Elements: ansible.Str, Choices: []string{"red", "green"}},
		{Name: "shade", Type: ansible.Str, Check: func(value any) (any, error) {
			if value == "panic" {
				panic("at the check of panic")
			}
			return value, nil
		}},
		{Name: "password", Type: ansible.Str, NoLog: true, AllowEmpty: true},
		{Name: "auth", Type: ansible.Dict, NoLog: true},
		{Name: "do", Type: ansible.Str, Required: true},
		ansible.Timeout,
	},
	Rules: []ansible.Rule{
		ansible.MutuallyExclusive("text", "number"),
		ansible.RequiredIf("color", "red", "text"),
		ansible.RequiredBy("file", "color"),
		ansible.OnlyIf("shade", "color", "green"),
	},
	Run: runProbe,
}

type probeAnswer struct {
	ansible.Result
	Verdict string         `json:"verdict,omitempty"`
	Reasons []string       `json:"reasons,omitempty"`
	Echo    map[string]any `json:"echo,omitempty"`
	UUID    string         `json:"uuid,omitempty"`
	Last    bomb           `json:"last,omitempty"`
}

// bomb is an answer that cannot be written.
type bomb string

func (b bomb) MarshalText() ([]byte, error) { panic("at the answer with " + string(b)) }

func runProbe(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var options struct {
		Text     string         `option:"text"`
		Number   int            `option:"number"`
		Flag     bool           `option:"flag"`
		IDs      []string       `option:"ids"`
		Map      map[string]any `option:"map"`
		File     string         `option:"file"`
		Color    string         `option:"color"`
		Colors   []string       `option:"colors"`
		Shade    string         `option:"shade"`
		Password string         `option:"password"`
		Auth     map[string]any `option:"auth"`
		Do       string         `option:"do"`
	}
	if err := call.Decode(&options); err != nil {
		return nil, err
	}
	answer := &probeAnswer{Echo: map[string]any{
		"text": options.Text, "number": options.Number, "flag": options.Flag, "ids": options.IDs, "map": options.Map, "colors": options.Colors,
		"file": options.File, "check": call.Check,
	}}
	answer.Diff = &ansible.Diff{Before: map[string]any{"a": 1}, After: map[string]any{}}
	switch options.Do {
	case "echo":
		return answer, nil
	case "fail":
		return answer, fmt.Errorf("connect with %s and %v", options.Password, options.Auth["password"])
	case "panic":
		panic("at the disco with " + options.Password)
	case "panic aside":
		o := <-ansible.Go(func() (ansible.Answer, error) { panic("at the disco with " + options.Password) })
		return o.Value, o.Err
	case "panic in answer":
		answer.Changed, answer.Last = true, bomb(options.Password)
		return answer, nil
	case "judge":
		answer.Verdict, answer.UUID = "stuck", "6695eb01-f6a4-8304-79aa-97f2502e193f"
		answer.Reasons = []string{"it is stuck", "nova says so (true)"}
		return answer, fmt.Errorf("the instance is stuck: connect to %s: password %s, %q, pwd=%s: still stuck",
			options.Text, options.Password, options.Password, options.Password)
	case "wait":
		<-ctx.Done()
		return nil, fmt.Errorf("wait: %w", ctx.Err())
	case "hang":
		select {}
	case "terminate":
		return answer, errors.Join(interrupted(ctx, call, os.Interrupt), errors.New("stopped"))
	case "write":
		err := interrupted(ctx, call, syscall.SIGHUP)
		return answer, errors.Join(err, os.WriteFile(options.File, []byte("whole"), 0o600))
	case "log":
		log.Print(`{"changed": false}`)
		slog.Error(`{"changed": false}`)
		return answer, nil
	default:
		return nil, errors.New("do takes echo, fail, panic, panic aside, panic in answer, judge, wait, hang, terminate, write or log")
	}
}

// interrupted sends the signal to itself, and says whether a write that is under way then ends.
func interrupted(ctx context.Context, call *ansible.Call, signal os.Signal) error {
	steadfast, cancel := call.WithoutInterrupt(ctx)
	defer cancel()
	process, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := process.Signal(signal); err != nil {
		return err
	}
	<-ctx.Done()
	return steadfast.Err()
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"probe": func() {
			ansible.SetGrace(time.Second)
			os.Exit(ansible.Main(os.Args, os.Stdout, probe))
		},
		"visitor": func() { os.Exit(ansible.Main(os.Args, os.Stdout, visitor)) },
	})
}

func TestTheProtocolAsAnsibleSeesIt(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands("probe")})
}
