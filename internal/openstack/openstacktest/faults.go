package openstacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Fault is an answer that is none.
type Fault struct {
	Name   string
	Answer http.HandlerFunc
	// Hangs says that it lasts as long as it is waited for.
	Hangs bool
}

// Faults are what a service, or a proxy before it, may answer. Those in words hold
// the secrets and the token that it was sent, as a debugging service's might.
func Faults(secrets ...string) (all []Fault) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		all = append(all, Fault{Name: fmt.Sprint("answers ", status), Answer: says(status, secrets)})
	}
	return append(all,
		Fault{"does not answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
		Fault{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		Fault{"hangs up in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			half(w)
			panic(http.ErrAbortHandler)
		}, false},
		Fault{"stalls in the middle", func(w http.ResponseWriter, r *http.Request) {
			half(w)
			<-r.Context().Done()
		}, true},
		Fault{"answers with a page", raw("text/html", "<html>It works!</html>"), false},
		Fault{"answers with nothing", raw("application/json", ""), false},
		Fault{"answers with what is not JSON", raw("application/json", "{'a': 1}"), false},
		Fault{"answers with something else", raw("application/json", `{"a": 1}`), false},
		Fault{"sends elsewhere", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.invalid/v3")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, false},
	)
}

func says(status int, secrets []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		message := fmt.Sprintf("debug: %s %s", strings.Join(secrets, " "), r.Header.Get("X-Auth-Token"))
		body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message}})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

func half(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"server": {`)
	w.(http.Flusher).Flush()
}

func raw(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}
