// Command go-git serves the repositories in a folder with go-git: go-git FOLDER PORT.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v6/osfs"
	"github.com/go-git/go-git/v6/backend"
	"github.com/go-git/go-git/v6/plumbing/transport"
)

func main() {
	folder, port := os.Args[1], os.Args[2]
	loader := transport.NewFilesystemLoader(osfs.New(folder), false)
	git := backend.New(loader)
	git.ErrorLog = log.Default()
	handler := func(w http.ResponseWriter, r *http.Request) {
		repository, isPush := strings.CutSuffix(r.URL.Path, "/git-receive-pack")
		reject, err := os.ReadFile(filepath.Join(folder, repository, "reject"))
		if !isPush || err != nil {
			git.ServeHTTP(w, r)
			return
		}
		refuse(loader, repository, strings.TrimSpace(string(reject)), w, r)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(handler)))
}

// refuse turns a push down with a reason, as a server with a policy does.
func refuse(loader transport.Loader, repository, reason string, w http.ResponseWriter, r *http.Request) {
	url, err := transport.ParseURL(strings.TrimPrefix(repository, "/"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	storer, err := loader.Load(url)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	request := &transport.ReceivePackRequest{StatelessRPC: true}
	request.Hooks.PreReceive = func(context.Context, *transport.PreReceiveInfo) error {
		return errors.New(reason)
	}
	if err := transport.ReceivePack(r.Context(), storer, r.Body, writer{w}, request); err != nil {
		log.Print(err)
	}
}

type writer struct{ http.ResponseWriter }

func (writer) Close() error { return nil }
