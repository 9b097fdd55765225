package pki

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	// firstRetry and lastRetry bound the pauses between attempts to renew. A third of the lifetime is left for them.
	firstRetry = 10 * time.Second
	lastRetry  = 10 * time.Minute
	// longestSleep is how long the renewer sleeps at a stretch. Timers stand still while a machine is suspended, so it looks at the time of day in between.
	longestSleep = 10 * time.Minute
)

// Renewer keeps a certificate from expiring: it renews at two thirds of its lifetime and, when that fails, goes on trying, also
// after the expiry.
type Renewer struct {
	Credentials *Credentials
	// Renew sends a request (PKCS #10, DER) to whoever can sign it and returns the new certificate and the CA's, both PEM.
	Renew func(ctx context.Context, csr []byte) (cert, ca []byte, err error)
	// Save makes them durable before they are used.
	Save func(cert, ca []byte) error
	Log  *slog.Logger
}

// Run renews until ctx ends, which is no error. It returns no other.
func (r *Renewer) Run(ctx context.Context) error {
	failures := 0
	due := renewalDue(r.Credentials)
	for {
		if wait := time.Until(due); wait > 0 {
			timer := time.NewTimer(min(wait, longestSleep))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil
			}
			continue
		}
		switch err := r.once(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++
			pause := jitter(min(firstRetry<<min(failures-1, 10), lastRetry))
			due = time.Now().Add(pause)
			r.Log.Warn("renewing the certificate failed", "error", err, "expires", stamp(r.Credentials.Certificate().Leaf.NotAfter), "retry_in", pause)
		default:
			failures = 0
			due = renewalDue(r.Credentials)
			r.Log.Info("certificate renewed", "expires", stamp(r.Credentials.Certificate().Leaf.NotAfter), "next", stamp(due))
		}
	}
}

func (r *Renewer) once(ctx context.Context) error {
	csr, err := r.Credentials.CSR()
	if err != nil {
		return err
	}
	cert, ca, err := r.Renew(ctx, csr)
	if expiry := r.Credentials.Certificate().Leaf.NotAfter; err != nil && time.Since(expiry) > Grace {
		return fmt.Errorf("%w; it expired more than %d days ago: join again with a new token", err, Grace/(24*time.Hour))
	}
	if err != nil {
		return err
	}
	// Judged before it replaces a good one on the disk.
	if err := r.Credentials.Check(cert, ca); err != nil {
		return fmt.Errorf("the new certificate is no good: %w", err)
	}
	if err := r.Save(cert, ca); err != nil {
		return fmt.Errorf("save the new certificate: %w", err)
	}
	return r.Credentials.Install(cert, ca)
}

// renewalDue is two thirds into the lifetime, counted from the issue, and up to a twentieth earlier by chance, so that a fleet
// whose certificates were made in one hour does not renew in one second.
func renewalDue(c *Credentials) time.Time {
	leaf := c.Certificate().Leaf
	issued := leaf.NotBefore.Add(Backdate)
	life := leaf.NotAfter.Sub(issued)
	return issued.Add(life*2/3 - rand.N(max(life/20, 1)))
}

// jitter shortens a pause by up to a quarter.
func jitter(pause time.Duration) time.Duration { return pause - rand.N(pause/4) }
