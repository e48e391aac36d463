package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/agent"
	"offsite/configs"
)

// socketPath is where a running agent answers questions: the journal is its alone while it runs.
func socketPath(c *configs.Config) string {
	if c.Socket != "" {
		return c.Socket
	}
	return filepath.Join(cmp.Or(os.Getenv("RUNTIME_DIRECTORY"), runtimeDirectory(), c.State), "agent.sock")
}

// runtimeDirectory is that of the service, if it is there: whoever asks is not the service, and has no $RUNTIME_DIRECTORY.
func runtimeDirectory() string {
	const path = "/run/offsite"
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return path
	}
	return ""
}

// socketGroup is the group whose members may ask.
const socketGroup = "offsite"

// listenSocket opens the socket for the owner and the group.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	listener, err := listenShared(ctx, path)
	if err != nil {
		return nil, err
	}
	if g, err := user.LookupGroup(socketGroup); err == nil {
		if id, err := strconv.Atoi(g.Gid); err == nil {
			os.Chown(path, -1, id) // that it may not is no harm: then the owner asks
		}
	}
	return listener, nil
}

// answering answers questions until ctx ends: at the socket that systemd has opened for that, or else at one of its own. Without a socket the
// agent runs all the same.
func answering(ctx context.Context, c *configs.Config, a *agent.Agent, given []*os.File, log *slog.Logger) error {
	all, err := listeners(given)
	if path := socketPath(c); !slices.ContainsFunc(all, func(l net.Listener) bool { return l.Addr().String() == path }) {
		own, openErr := listenSocket(ctx, path)
		if err = errors.Join(err, openErr); own != nil {
			all = append(all, own)
		}
	}
	if err != nil {
		log.Warn("not every socket for questions to this agent can be used", "err", err)
	}
	var group errgroup.Group
	for _, l := range all {
		group.Go(func() error { return answerAt(ctx, l, a, log) })
	}
	return group.Wait()
}

func answerAt(ctx context.Context, listener net.Listener, a *agent.Agent, log *slog.Logger) error {
	server := &http.Server{Handler: questions(a), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// mostAsked is how long a question may be, in bytes.
const mostAsked = 16 << 20

// questions are what a running agent answers. It removes and ships nothing by them.
func questions(a *agent.Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /not-kept", func(w http.ResponseWriter, _ *http.Request) { answer(w)(a.NotKept()) })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w)(a.Status()) })
	mux.HandleFunc("POST /look", func(w http.ResponseWriter, r *http.Request) {
		damaged := map[string][]string{}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostAsked)).Decode(&damaged); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.Look(damaged)
		answer(w)(true, nil)
	})
	mux.HandleFunc("POST /accept-loss", func(w http.ResponseWriter, r *http.Request) {
		var name string
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostAsked)).Decode(&name); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w)(a.AcceptLoss(name))
	})
	return mux
}

// answer writes what a question gave.
func answer(w http.ResponseWriter) func(value any, err error) {
	return func(value any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(value)
	}
}

// errSilent: the agent runs, and has no socket that can be reached.
var errSilent = errors.New("the agent runs and does not answer")

// ask puts a question to the running agent.
func ask(ctx context.Context, c *configs.Config, method, question string, with, answer any) error {
	path := socketPath(c)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	text, err := json.Marshal(with)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+question, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(request)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: you may not ask at %s: be root or of the group %s", errSilent, path, socketGroup)
	case err != nil:
		return fmt.Errorf("%w at %s: %v", errSilent, path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the agent answered %s", response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// lookAgain tells a running agent that something has changed on the targets. If there is none, or it does not answer, it sees that by itself
// within a day. damaged are objects of which this process knows that they are, by target.
func lookAgain(ctx context.Context, c *configs.Config, damaged map[string][]string) {
	if damaged == nil {
		damaged = map[string][]string{}
	}
	var seen bool
	_ = ask(ctx, c, http.MethodPost, "/look", damaged, &seen)
}
