// Command vpa answers what the recommender of Kubernetes' Vertical Pod Autoscaler would have said of recorded series, by its own code.
// It is a module of its own, so that what it depends on is nobody else's.
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := answer(os.Stdin, out)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vpa:", err)
		os.Exit(1)
	}
}
