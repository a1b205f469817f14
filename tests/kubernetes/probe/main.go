// Command probe is a client that asks a URL over and over, each time on a new connection, and tells what it got.
//
// A line for each request: the time since the start in milliseconds, then the answer, or "lost" and why. A request that
// is not answered within a second is lost. It ends on SIGTERM, or after so many requests.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	every := flag.Duration("every", 20*time.Millisecond, "time from the start of one request to that of the next")
	times := flag.Int("times", 0, "end after so many requests; 0: go on until told to end")
	patience := flag.Duration("patience", time.Second, "a request that is not answered by then is lost")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: probe [--every 20ms] [--times 0] [--patience 1s] URL")
		os.Exit(64)
	}
	url := flag.Arg(0)
	client := &http.Client{Timeout: *patience, Transport: &http.Transport{DisableKeepAlives: true}}

	end, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	start := time.Now()
	lines := make(chan string, 64)
	var asking sync.WaitGroup
	ticks := time.NewTicker(*every)
	defer ticks.Stop()

	written := make(chan struct{})
	go func() {
		defer close(written)
		out := bufio.NewWriter(os.Stdout)
		for line := range lines {
			fmt.Fprintln(out, line)
			// A reader wants each line as it comes, and a burst at once.
			if len(lines) == 0 {
				out.Flush()
			}
		}
		out.Flush()
	}()

asking:
	for n := 0; *times == 0 || n < *times; n++ {
		asking.Add(1)
		go func(at time.Duration) {
			defer asking.Done()
			lines <- fmt.Sprintf("%d %s", at.Milliseconds(), ask(client, url))
		}(time.Since(start))
		select {
		case <-ticks.C:
		case <-end.Done():
			break asking
		}
	}
	asking.Wait()
	close(lines)
	<-written
}

func ask(client *http.Client, url string) string {
	answer, err := client.Get(url)
	if err != nil {
		return "lost " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return "lost " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return strings.TrimSpace(string(body))
}
