// Package scenarios holds the end-to-end tests: a live Redis and other services, two real hosts and three coordinators, and what can go wrong
// between them.
package scenarios
