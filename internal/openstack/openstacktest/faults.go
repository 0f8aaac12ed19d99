package openstacktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Fault is an answer that is none.
type Fault struct {
	Name   string
	Answer http.HandlerFunc
	// Hangs says that it lasts as long as it is waited for.
	Hangs bool
	// told is what the message of a call says of it, with SERVICE for the service's name.
	told []string
}

// Told is what the message of a call says of it, if this service answers so.
func (f Fault) Told(service string) []string {
	told := make([]string, len(f.told))
	for i, words := range f.told {
		told[i] = strings.ReplaceAll(words, "SERVICE", service)
	}
	return told
}

// Faults are what a service, or a proxy before it, may answer. Those in words hold
// the secrets and the token that it was sent, as a debugging service's might.
func Faults(secrets ...string) (all []Fault) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		all = append(all, Says(status, "", secrets...))
	}
	const lost = "SERVICE gave no usable answer"
	return append(all,
		Fault{"does not answer", hang, true, []string{lost, "deadline"}},
		Fault{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, []string{lost, "EOF"}},
		Fault{"hangs up in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			half(w)
			panic(http.ErrAbortHandler)
		}, false, []string{lost, "status 20", "unexpected EOF"}},
		Fault{"stalls in the middle", func(w http.ResponseWriter, r *http.Request) {
			half(w)
			hang(w, r)
		}, true, []string{lost, "status 20", "deadline"}},
		Fault{"answers without end", flood, false, []string{lost, "more than 32 MiB"}},
		Fault{"answers with a page", raw(200, "text/html", "<html>It works!</html>"), false,
			[]string{lost, `status 200, but "text/html" instead of JSON`}},
		Fault{"answers with nothing", raw(200, "application/json", ""), false, []string{lost, "status 200, but an empty answer"}},
		Fault{"answers with what is not JSON", raw(200, "application/json", "{'a': 1}"), false,
			[]string{lost, "status 200, but an answer that calls itself JSON and is not"}},
		Fault{"answers with something else", raw(200, "application/json", `{"a": 1}`), false, nil},
		Fault{"sends elsewhere", func(w http.ResponseWriter, _ *http.Request) {
			userinfo := url.UserPassword("u", strings.Join(secrets, "")).String()
			w.Header().Set("Location", "http://"+userinfo+"@elsewhere.invalid/v3")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, false, []string{"SERVICE answered 307", "it sends on to http://elsewhere.invalid", "the token is not carried there"}},
	)
}

// Says is an error with a status, and a code as Placement gives one.
func Says(status int, code string, secrets ...string) Fault {
	return Fault{strings.TrimSpace(fmt.Sprint("answers ", status, " ", code)), func(w http.ResponseWriter, r *http.Request) {
		message := fmt.Sprintf("debug: %s %s", strings.Join(secrets, " "), r.Header.Get("X-Auth-Token"))
		body, _ := json.Marshal(object{"error": object{"message": message}, "errors": []object{{"code": code, "detail": message}}})
		raw(status, "application/json", string(body))(w, r)
	}, false, []string{fmt.Sprint("SERVICE answered ", status)}}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func half(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"server": {`)
	w.(http.Flusher).Flush()
}

func flood(w http.ResponseWriter, r *http.Request) {
	half(w)
	for chunk := bytes.Repeat([]byte(" "), 1<<20); r.Context().Err() == nil; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func raw(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
