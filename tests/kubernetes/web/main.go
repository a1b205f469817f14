// Command web is what Pods of the scenes serve: every answer tells which Pod gave it, on which node, and to whom.
//
// It listens on port 8080 of every address, and ends on SIGTERM after the requests under way are answered.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	pod, node := os.Getenv("POD"), os.Getenv("NODE")
	if pod == "" {
		pod, _ = os.Hostname()
	}
	server := &http.Server{
		Addr:              ":8080",
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "pod=%s node=%s client=%s\n", pod, node, r.RemoteAddr)
		}),
	}
	// Each request is a connection, so that each is balanced anew.
	server.SetKeepAlivesEnabled(false)

	end, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-end.Done()
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(within); err != nil {
			log.Print("requests were cut off: ", err)
		}
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal("cannot serve: ", err)
	}
	<-done
}
