package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"offsite/agent"
	"offsite/configs"
)

// socketPath is where a running agent answers questions: the journal is its alone while it runs. The state directory is
// the user's alone, and so is the socket.
func socketPath(c *configs.Config) string { return filepath.Join(c.State, "agent.sock") }

// serving runs the agent and answers on its socket meanwhile. Without a socket the agent runs all the same.
func serving(ctx context.Context, c *configs.Config, a *agent.Agent, log *slog.Logger) error {
	path := socketPath(c)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an agent that was killed
		log.Warn("no questions can be asked of this agent", "err", err)
		return a.Run(ctx)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		log.Warn("no questions can be asked of this agent", "err", err)
		return a.Run(ctx)
	}
	server := &http.Server{Handler: questions(a), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	err = a.Run(ctx)
	server.Close()
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func questions(a *agent.Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /not-kept", func(w http.ResponseWriter, _ *http.Request) {
		all, err := a.NotKept()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(all)
	})
	return mux
}

// ask puts a question to the running agent.
func ask(ctx context.Context, c *configs.Config, question string, answer any) error {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socketPath(c))
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+question, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		return fmt.Errorf("the agent runs and does not answer (one with --once does not; try again when it has ended): %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the agent answered %s", response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
