// Command cluster runs servers over one PostgreSQL, which it starts itself in a
// temporary directory and removes when it is interrupted:
//
//	go run ./e2e/cluster -servers 2 -port 8787 -static web/demo/dist
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
)

func main() {
	servers := flag.Int("servers", 2, "how many")
	port := flag.Int("port", 8787, "of the first; the others follow it")
	binary := flag.String("binary", "bin/heddle", "the server's `file`")
	static := flag.String("static", "", "a `directory` that each serves as well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *static, *servers, *port); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run runs the servers until ctx ends, or one of them does.
func run(ctx context.Context, binary, static string, servers, port int) (err error) {
	database, err := pgtest.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Remove()) }()
	url, err := database.Database(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, servers)
	begun := 0
	defer func() {
		for cancel(); begun > 0; begun-- {
			<-ended
		}
	}()
	for i := range servers {
		args := []string{"serve", "--dev", "--addr", fmt.Sprintf("127.0.0.1:%d", port+i), "--store", url}
		if static != "" {
			args = append(args, "--static", static)
		}
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		begun++
		go func() { ended <- cmd.Wait() }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		begun--
		return fmt.Errorf("a server has ended: %w", err)
	}
}
