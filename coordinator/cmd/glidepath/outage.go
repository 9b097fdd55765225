package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

// outage bears that the fleet is out of reach for a while, once something that is watched has been seen: it says so, once for each reason.
type outage struct {
	stderr io.Writer
	seen   bool
	said   string
}

func (a *app) outage() *outage { return &outage{stderr: a.stderr} }

// bear takes what came of a look, and returns an error if that ends the watch: what is not there at first, and what the fleet refuses, is not waited for.
func (o *outage) bear(err error) error {
	var told *v1.Error
	switch {
	case err == nil:
		o.seen, o.said = true, ""
	case !o.seen || errors.As(err, &told) && told.Code != v1.CodeUnavailable:
		return err
	case err.Error() != o.said:
		o.said = err.Error()
		fmt.Fprintf(o.stderr, "glidepath: %s\n", o.said)
	}
	return nil
}
